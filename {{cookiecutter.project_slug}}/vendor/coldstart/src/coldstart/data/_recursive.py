"""Recursive forecasts: the prediction of each step is a lag of the steps after it.

Step 1 is the row after the forecast origin, the last row whose target is known.

References
----------
Ben Taieb et al., "A review and comparison of strategies for multi-step ahead time series
forecasting", 2012, https://doi.org/10.1016/j.eswa.2012.01.039 (the recursive strategy).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import polars as pl

from coldstart.contract._contract import Contract, EncodedFeatures
from coldstart.contract.columns import Number
from coldstart.data._dataset import encode
from coldstart.data._lags import ROW_NUMBER, add_lags, series_bounds
from coldstart.errors import UserError

GAP = 1.5  # times the longest step between known rows: a longer one is a missing row

PredictFeatures = Callable[[EncodedFeatures], np.ndarray]
"""From n encoded rows to predictions of shape (n, 1)."""


def wanted_horizon(contract: Contract) -> int:
    """Return the number of steps to forecast: the target's `horizon`, or its default."""
    target = contract.columns[contract.target]
    assert isinstance(target, Number)
    season = target.season if (target.season or 1) > 1 else None
    return target.horizon or season or max(contract.target_lags.values())


def limiting_lag(contract: Contract) -> tuple[str, int] | None:
    """Return the lag that is known for the fewest steps, and their number.

    The target's lags are predicted, and a column that is a feature is known in advance. Any other
    column is not known after the forecast origin.
    """
    unknown = [
        (name, lag.steps)
        for name, lag in contract.lags.items()
        if lag.lag_of != contract.target and not contract.columns[str(lag.lag_of)].is_feature
    ]
    return min(unknown, key=lambda item: item[1], default=None)


def forecast(
    table: pl.DataFrame,
    contract: Contract,
    lags: Iterable[str],
    first: np.ndarray,
    steps: np.ndarray,
    predict: PredictFeatures,
) -> np.ndarray:
    """Forecast step after step, from n origins side by side.

    Parameters
    ----------
    table : polars.DataFrame
        Typed rows with lags. The rows of a forecast follow each other.
    contract : Contract
        What the columns are.
    lags : iterable of str
        Lags of the target that predictions replace where its value is after the origin.
    first : ndarray of int, shape (n,)
        Row number of the first step of each forecast.
    steps : ndarray of int, shape (n,)
        Number of steps of each forecast.
    predict : callable
        The model; see `PredictFeatures`.

    Returns
    -------
    ndarray of shape (n, most steps)
        The forecasts, NaN after the last step of each.
    """
    back = {name: contract.lags[name].steps for name in lags}
    found = np.full((len(first), int(steps.max(initial=0))), np.nan)
    for step in range(found.shape[1]):
        going = np.flatnonzero(steps > step)
        predicted = [
            pl.Series(name, found[going, step - shift])
            for name, shift in back.items()
            if shift <= step
        ]
        rows = table[first[going] + step].with_columns(predicted)
        found[going, step] = predict(encode(contract, rows))[:, 0]
    return found


def last_known(known: np.ndarray, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the last row of each row's series that is known; the one before the series if none."""
    last = np.maximum.accumulate(np.where(known, np.arange(len(known)), -1))[end - 1]
    found: np.ndarray = np.maximum(last, begin - 1)
    return found


def predict_series(
    table: pl.DataFrame, contract: Contract, horizon: int, predict: PredictFeatures
) -> tuple[np.ndarray, np.ndarray]:
    """Predict each row of whole series, and forecast those after the last known target.

    Parameters
    ----------
    table : polars.DataFrame
        n typed rows: the earlier rows of each series, and those to forecast without a target.
    contract : Contract
        What the columns are. The target has lags, of which the table lacks some.
    horizon : int
        Number of steps that were evaluated.
    predict : callable
        The model; see `PredictFeatures`.

    Returns
    -------
    tuple of two ndarrays of shape (n,)
        Values in the order of the rows, NaN where a row with a target has too few earlier rows; and
        the step of each, which is 1 for a row with a target.

    Raises
    ------
    UserError
        If a row to forecast has no origin, too few earlier rows or a missing row before it, or is
        more steps after the origin than were evaluated.
    """
    time, series = contract.names("time")[0], contract.names("series")
    computed = [name for name in contract.target_lags if name not in table.columns]
    rows = add_lags(table, contract).with_row_index(ROW_NUMBER)
    rows = rows.sort([*series, time], maintain_order=True)
    begin, end = series_bounds(rows, contract)
    row = np.arange(len(rows))
    known = rows[contract.target].is_not_null().to_numpy()
    origin = last_known(known, begin, end)
    step = row - origin
    longest = max(contract.target_lags[name] for name in computed)
    check_rows(rows, contract, horizon, longest, begin, origin)
    check_sources(rows, contract, set(table.columns), begin, end, step > 0)
    values = np.full(len(rows), np.nan)
    past = np.flatnonzero((step <= 0) & (row - begin >= longest))
    if len(past):
        values[past] = predict(encode(contract, rows[past]))[:, 0]
    first = np.flatnonzero(step == 1)
    steps = end[first] - first
    found = forecast(rows, contract, computed, first, steps, predict)
    values[step > 0] = found[np.arange(found.shape[1]) < steps[:, None]]
    order = np.argsort(rows[ROW_NUMBER].to_numpy())
    return values[order], np.maximum(step, 1)[order]


def check_rows(
    rows: pl.DataFrame,
    contract: Contract,
    horizon: int,
    longest: int,
    begin: np.ndarray,
    origin: np.ndarray,
) -> None:
    """Refuse rows that cannot be forecast, with the first of them."""
    time, target = contract.names("time")[0], contract.target
    step = np.arange(len(rows)) - origin

    def refuse(broken: np.ndarray, reason: str, fix: str) -> None:
        if broken.any():
            at = int(broken.argmax())
            values = {"step": step[at], "earlier": origin[at] + 1 - begin[at]}
            raise not_forecast(rows, contract, broken, f"{reason.format(**values)}. {fix}")

    refuse(
        (step > 0) & (origin < begin),
        f"no row before it has a value of {target}",
        f"Put the earlier rows into the file, and leave {target} empty in those to forecast",
    )
    refuse(
        (step > 0) & (origin + 1 - begin < longest),
        f"{{earlier}} rows come before the forecast, and its lags need {longest}",
        "Put more of the earlier rows into the file",
    )
    seconds = rows[time].cast(pl.Datetime("us")).dt.epoch("s").to_numpy().astype(np.float64)
    gap = np.diff(seconds, prepend=seconds[:1])
    inside = (step <= 0) & (np.arange(len(rows)) > begin)
    widest, narrowest = np.zeros(len(rows)), np.full(len(rows), np.inf)
    np.maximum.at(widest, begin[inside], gap[inside])
    np.minimum.at(narrowest, begin[inside], gap[inside])
    refuse(
        (step > 0) & (gap > GAP * widest[begin]) & (widest[begin] > 0),
        "rows are missing between it and the row before it",
        "A forecast needs a row for each step",
    )
    refuse(
        (step > 0) & (gap <= 0) & (narrowest[begin] > 0),
        "the row before it has the same time",
        "Give each step one row, or the column that names the series the role series",
    )
    limit = limiting_lag(contract)
    change = f"set horizon below {target} in schema.yaml"
    if limit and limit[1] == horizon:
        change = f"remove {limit[0]!r} from schema.yaml, which is not known further ahead,"
    refuse(
        step > horizon,
        f"it is step {{step}} after the last known {target}, and {horizon} step(s) were evaluated "
        "in training",
        f"Leave later rows out, or {change} and train again",
    )


def check_sources(
    rows: pl.DataFrame,
    contract: Contract,
    given: set[str],
    begin: np.ndarray,
    end: np.ndarray,
    asked: np.ndarray,
) -> None:
    """Refuse rows whose lag of another column is after the last known value of that column."""
    for name, lag in contract.lags.items():
        source = str(lag.lag_of)
        if name in given or source == contract.target or contract.columns[source].is_feature:
            continue
        last = last_known(rows[source].is_not_null().to_numpy(), begin, end)
        needed = np.arange(len(rows)) - lag.steps
        broken = asked & (needed >= begin) & (needed > last)
        if broken.any():
            reason = f"{name!r} is not known: {source} is empty in that row and in all after it"
            raise not_forecast(rows, contract, broken, f"{reason}. Fill it in, or leave rows out")


def not_forecast(
    rows: pl.DataFrame, contract: Contract, broken: np.ndarray, reason: str
) -> UserError:
    """Return the error for rows that cannot be forecast, of which the first is named."""
    at, time, series = int(broken.argmax()), contract.names("time")[0], contract.names("series")
    when = str(rows[time][at]).removesuffix(" 00:00:00")
    where = f" of {series[0]} {rows[series[0]][at]}" if series else ""
    return UserError(
        f"{time} {when}{where} cannot be forecast: {reason} ({int(broken.sum()):,} such row(s))"
    )


def add_known_lags(table: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """Add the lags of other columns than the target, which must be known.

    Parameters
    ----------
    table : polars.DataFrame
        Typed rows with the target's lags, if there are any.
    contract : Contract
        What the columns are.

    Returns
    -------
    polars.DataFrame
        The rows in their original order.

    Raises
    ------
    UserError
        If a value is after the last known one of its column, or no lag of the target has a value.
    """
    if lags := list(contract.target_lags):
        unknown = table.select(pl.all_horizontal(pl.col(lags).is_null())).to_series()
        if unknown.any():
            raise UserError(
                f"row {(unknown.arg_max() or 0) + 1} has no value of {', '.join(lags)}: a forecast "
                f"needs one of them ({int(unknown.sum()):,} such row(s))"
            )
    if set(contract.lags) <= set(table.columns):
        return table
    rows = add_lags(table, contract)
    time, series = contract.names("time")[0], contract.names("series")
    ordered = rows.sort([*series, time], maintain_order=True)
    begin, end = series_bounds(ordered, contract)
    every = np.ones(len(rows), dtype=bool)
    check_sources(ordered, contract, set(table.columns), begin, end, every)
    return rows
