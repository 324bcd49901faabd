"""Lags: earlier values of a series as features.

Lags are known before the row's own time. Training and batch prediction both compute them here,
on the whole table: a row whose value is missing is a step, too. The API receives their values.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from coldstart.contract._contract import Contract
from coldstart.errors import UserError

ROW_NUMBER = "__place__"


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

    Raises
    ------
    UserError
        If a row has no time.
    """
    absent = {name: lag for name, lag in contract.lags.items() if name not in table.columns}
    if not absent:
        return table
    time, series = contract.names("time")[0], contract.names("series")
    if unknown := table[time].null_count():
        raise UserError(f"{time}: {unknown} row(s) have no value, and lags need the time of each")
    values = {name: pl.col(str(lag.lag_of)).shift(lag.steps) for name, lag in absent.items()}
    within = {name: value.over(series) if series else value for name, value in values.items()}
    return (
        table.with_row_index(ROW_NUMBER)
        .sort(time, maintain_order=True)
        .with_columns(value.alias(name) for name, value in within.items())
        .sort(ROW_NUMBER)
        .drop(ROW_NUMBER)
    )


def has_history(table: pl.DataFrame, contract: Contract) -> pl.Series:
    """Return whether each row's series is as long as the longest lag of the target."""
    steps = [lag.steps for lag in contract.lags.values() if lag.lag_of == contract.target]
    time, series = contract.names("time")[0], contract.names("series")
    rank = pl.col(time).rank("ordinal")
    rank = rank.over(series) if series else rank
    return table.select(rank > max(steps, default=0)).to_series()


def series_bounds(table: pl.DataFrame, contract: Contract) -> tuple[np.ndarray, np.ndarray]:
    """Return where each row's series begins and ends, in a table sorted by series and time.

    Returns
    -------
    begin, end : ndarray of int64, shape (n,)
        Number of the first row of the series, and of the first row after it.
    """
    series = contract.names("series")
    runs = np.zeros(len(table), dtype=np.int64)
    if series:
        runs = table[series[0]].rle_id().to_numpy().astype(np.int64)
    begins = np.searchsorted(runs, np.arange(runs.max(initial=-1) + 2))
    return begins[runs], begins[runs + 1]


def read_lags(path: Path, contract: Contract) -> tuple[pl.DataFrame, pl.Series]:
    """Compute the lags of all rows of a file, of which only the columns needed are read.

    Parameters
    ----------
    path : Path
        Parquet file with all rows of the table, also those without a target.
    contract : Contract
        What the columns are.

    Returns
    -------
    lags : polars.DataFrame
        The lag columns, with a row for each row of the file.
    usable : polars.Series of bool
        Whether a row has a target and a series that is as long as the longest lag.
    """
    sources = {contract.target, *contract.names("time"), *contract.names("series")}
    sources |= {str(lag.lag_of) for lag in contract.lags.values()}
    table = add_lags(pl.read_parquet(path, columns=sorted(sources)), contract)
    usable = table[contract.target].is_not_null() & has_history(table, contract)
    return table.select(list(contract.lags)), usable
