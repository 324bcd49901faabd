"""Lags: earlier values of a series as features.

Lags are known before the row's own time. Training and batch prediction both compute them here.
The API receives their values.
"""

from __future__ import annotations

import polars as pl

from coldstart.contract._contract import Contract


def add_lags(table: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """Add the lag columns that the table does not have.

    Parameters
    ----------
    table : polars.DataFrame
        Typed rows.
    contract : Contract
        What the columns are.

    Returns
    -------
    polars.DataFrame
        The rows in their original order. A value is null where the series had not begun.
    """
    absent = {name: lag for name, lag in contract.lags.items() if name not in table.columns}
    if not absent:
        return table
    time, series = contract.names("time")[0], contract.names("series")
    values = {name: pl.col(str(lag.lag_of)).shift(lag.steps) for name, lag in absent.items()}
    within = {name: value.over(series) if series else value for name, value in values.items()}
    row = "__place__"
    return (
        table.with_row_index(row)
        .sort(time, maintain_order=True)
        .with_columns(**within)
        .sort(row)
        .drop(row)
    )


def has_history(table: pl.DataFrame, contract: Contract) -> pl.Series:
    """Return whether each row's series is as long as the longest lag of the target."""
    steps = [lag.steps for lag in contract.lags.values() if lag.lag_of == contract.target]
    time, series = contract.names("time")[0], contract.names("series")
    rank = pl.col(time).rank("ordinal")
    rank = rank.over(series) if series else rank
    return table.select(rank > max(steps, default=0)).to_series()
