"""The forecast horizon: recursive forecasts from origins in the test sets, evaluated by step.

The errors of those from origins in the validation sets give the prediction intervals.

A forecast begins after a row whose target is known, as `make predict` does. Its later steps may
be after the test set: no model that is evaluated was fitted on those rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from coldstart.bundle._conformal import Conformal
from coldstart.contract._contract import Contract
from coldstart.data._dataset import PREPARED, Dataset
from coldstart.data._lags import ROW_NUMBER, add_lags, series_bounds
from coldstart.data._recursive import forecast, limiting_lag, wanted_horizon
from coldstart.data._sampling import read_rows
from coldstart.train._folds import FittedPredictor, train_and_validation_rows

PREDICTIONS = 200_000  # of all origins and steps together: of more origins some are sampled
MIN_FORECASTS = 3  # of a step; with fewer it is not evaluated


@dataclass(frozen=True)
class ForecastPaths:
    """The forecasts to evaluate, from the origins of all splits.

    Parameters
    ----------
    table : polars.DataFrame
        The rows to forecast, with lags.
    splits : list of tuple of two ndarrays
        For each split the row number of each forecast's first step, and its number of steps.
    target : ndarray of shape (forecasts, horizon)
        Outcomes, NaN where there is none.
    naive : ndarray of shape (forecasts, horizon)
        The naive forecast: the last value before the first step.
    seasonal_naive : ndarray of shape (forecasts, horizon) or None
        The seasonal naive forecast: the last value of the same season. None without a season.
    note : str
        Why fewer steps are evaluated than are wanted; otherwise empty.

    References
    ----------
    Hyndman and Athanasopoulos, "Forecasting: Principles and Practice", 3rd edition, 2021,
    https://otexts.com/fpp3/tscv.html (evaluation on a rolling forecasting origin).
    """

    table: pl.DataFrame
    splits: list[tuple[np.ndarray, np.ndarray]]
    target: np.ndarray
    naive: np.ndarray
    seasonal_naive: np.ndarray | None
    note: str = ""


def forecast_paths(dataset: Dataset, part: str = "test") -> ForecastPaths | None:
    """Find the origins in the test sets, and the steps that can be evaluated from them.

    Parameters
    ----------
    dataset : Dataset
        The prepared rows. The other rows of the series are read from the prepared table.
    part : {"test", "validation"}, default="test"
        The part of each split. From origins in the validation sets only validation rows are
        forecast: the test rows do not decide how wide an interval is.

    Returns
    -------
    ForecastPaths or None
        None if the target has no lags, or too few forecasts can be evaluated.
    """
    contract = dataset.contract
    if not contract.target_lags:
        return None
    time, series = contract.names("time")[0], contract.names("series")
    sources = {contract.target, time, *series, *(str(lag.lag_of) for lag in contract.lags.values())}
    table = add_lags(pl.read_parquet(PREPARED, columns=sorted(sources)), contract)
    table = table.with_row_index(ROW_NUMBER).sort([*series, time], maintain_order=True)
    target, row = table[contract.target].to_numpy().astype(np.float64), np.arange(len(table))
    begin, end = series_bounds(table, contract)
    limit, wanted = limiting_lag(contract), wanted_horizon(contract)
    steps = np.minimum(end - row, min(wanted, limit[1]) if limit else wanted)
    starts_here = row - begin >= max(contract.target_lags.values())
    starts_here &= np.isfinite(np.roll(target, 1))  # the origin's target is known
    random = np.random.default_rng(0)
    most = max(MIN_FORECASTS, PREDICTIONS // (wanted * len(dataset.splits)))
    if part == "validation":  # so many rows follow in the series, up to the last of these
        each = [dataset.table[time][division.validation] for division in dataset.splits]
        allowed = (table[time] <= pl.concat(each).max()).to_numpy()
        before = np.append(0, np.cumsum(allowed))
        steps = np.minimum(steps, before[end] - before[:-1])
    starts = []
    for division in dataset.splits:
        times = dataset.table[time][getattr(division, part)]
        within = table[time].is_between(times.min(), times.max()).to_numpy()
        starts.append(np.sort(random.permutation(np.flatnonzero(starts_here & within))[:most]))
    first = np.concatenate(starts)
    shifts = np.arange(steps[first].max(initial=0))
    outcome = values_at(target, first[:, None] + shifts, shifts < steps[first, None])
    enough = np.isfinite(outcome).sum(axis=0) >= MIN_FORECASTS
    horizon = len(enough) if enough.all() else int(enough.argmin())
    if not horizon:
        return None
    steps, shifts, outcome = np.minimum(steps, horizon), shifts[:horizon], outcome[:, :horizon]
    naive = np.repeat(target[first - 1, None], horizon, axis=1)
    season = getattr(contract.columns[contract.target], "season", None) or 1
    earlier = first[:, None] + shifts - season * (shifts // season + 1)
    seasonal = values_at(target, earlier, earlier >= begin[first, None])
    needed = np.unique((first[:, None] + shifts)[shifts < steps[first, None]])
    return ForecastPaths(
        table=read_whole_rows(table[needed], len(table), contract),
        splits=[(np.searchsorted(needed, start), steps[start]) for start in starts],
        target=outcome,
        naive=naive,
        seasonal_naive=np.where(np.isnan(seasonal), naive, seasonal) if season > 1 else None,
        note=shortfall(horizon, wanted, limit, contract),
    )


def values_at(values: np.ndarray, rows: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return the values of rows, NaN where they are not known."""
    found: np.ndarray = np.where(known, values[np.where(known, rows, 0)], np.nan)
    return found


def read_whole_rows(some: pl.DataFrame, rows: int, contract: Contract) -> pl.DataFrame:
    """Return some rows of the prepared table with all features, in the same order."""
    numbers = some[ROW_NUMBER].to_numpy()
    chosen = np.zeros(rows, dtype=bool)
    chosen[numbers] = True
    table = read_rows(PREPARED, chosen, contract)[np.searchsorted(np.flatnonzero(chosen), numbers)]
    own = [name for name in contract.features if name not in contract.lags]
    # Added to the lags, which are always there: a series may have no other feature.
    return some.select(list(contract.lags)).with_columns(table.select(own).get_columns())


def shortfall(horizon: int, wanted: int, limit: tuple[str, int] | None, contract: Contract) -> str:
    """Return why fewer steps are evaluated than are wanted; empty if all are."""
    if horizon == wanted:
        return ""
    if limit and horizon == limit[1]:
        source = contract.lags[limit[0]].lag_of
        return (
            f"{source} is not known further ahead; to forecast more, remove {limit[0]!r} from "
            "schema.yaml"
        )
    return f"the rows after the training rows are too few for step {horizon + 1}"


def evaluate_horizon(
    dataset: Dataset,
    paths: ForecastPaths | None,
    fit: Callable[[np.ndarray], FittedPredictor],
    conformal: Conformal | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Forecast recursively from all origins, and measure the error of each step.

    Parameters
    ----------
    dataset : Dataset
        The prepared rows.
    paths : ForecastPaths or None
        The forecasts to evaluate.
    fit : callable
        Function from row numbers to a predictor that was fitted to them.
    conformal : Conformal, optional
        The prediction intervals.

    Returns
    -------
    dict
        `horizon`, a list with a dict for each step: `step`, the number of `forecasts`, `rmse` and
        `mae` of the model, `naive` and, with a season, `seasonal_naive`, the RMSE of these
        forecasts; for steps with a prediction interval `coverage`, the share of outcomes in it.
        Empty if there are no paths.
    """
    if paths is None:
        return {}
    own = forecast_errors(dataset, paths, fit)
    errors = {"naive": paths.naive - paths.target}
    if paths.seasonal_naive is not None:
        errors["seasonal_naive"] = paths.seasonal_naive - paths.target
    margins = conformal.margins if conformal else []
    lines = []
    for step, error in enumerate(own.T):
        known = np.abs(error[np.isfinite(error)])
        lines.append(
            {
                "step": step + 1,
                "forecasts": len(known),
                "rmse": rmse(error),
                "mae": float(known.mean()),
                **{name: rmse(other[:, step]) for name, other in errors.items()},
                **(
                    {"coverage": float(np.mean(known <= margins[step]))}
                    if step < len(margins)
                    else {}
                ),
            }
        )
    return {"horizon": lines}


def forecast_errors(
    dataset: Dataset,
    paths: ForecastPaths,
    fit: Callable[[np.ndarray], FittedPredictor],
    fitted_on: str = "train and validation",
) -> np.ndarray:
    """Forecast recursively from all origins, and return the errors.

    Parameters
    ----------
    dataset : Dataset
        The prepared rows.
    paths : ForecastPaths
        The forecasts.
    fit : callable
        Function from row numbers to a predictor that was fitted to them.
    fitted_on : {"train and validation", "train"}
        Parts of each split that the predictor is fitted on.

    Returns
    -------
    ndarray of shape (forecasts, horizon)
        Forecasts minus outcomes, NaN without an outcome.
    """
    found = np.full(paths.target.shape, np.nan)
    place = 0
    for division, (first, steps) in zip(dataset.splits, paths.splits, strict=True):
        if not len(first):
            continue
        rows = division.train if fitted_on == "train" else train_and_validation_rows(division)
        predictor = fit(rows)
        values = forecast(
            paths.table,
            dataset.contract,
            dataset.contract.target_lags,
            first,
            steps,
            predictor.predict,
        )
        found[place : place + len(first), : values.shape[1]] = values
        place += len(first)
    errors: np.ndarray = found - paths.target
    return errors


def rmse(error: np.ndarray) -> float:
    """Return the root mean squared error, without those that are NaN."""
    return float(np.sqrt(np.nanmean(error**2)))
