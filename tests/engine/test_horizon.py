"""The horizon: which forecasts are evaluated and which are made, with models known beforehand."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from coldstart.contract._contract import Contract, EncodedFeatures
from coldstart.data._dataset import Dataset, prepare
from coldstart.data._recursive import add_known_lags, predict_series
from coldstart.errors import UserError
from coldstart.train._folds import FittedPredictor
from coldstart.train._horizon import MIN_FORECASTS, evaluate_horizon, forecast_paths
from engine.support import load_settings

COLUMNS: dict[str, dict[str, Any]] = {
    "day": {"type": "date", "role": "time", "nullable": False},
    "shop": {"type": "category", "role": "series"},
    "sold": {"type": "number", "role": "target", "season": 7},
    "sold before": {"type": "number", "lag_of": "sold", "steps": 1},
    "sold a week before": {"type": "number", "lag_of": "sold", "steps": 7},
}
VISITORS = {
    "visitors": {"type": "number", "role": "ignore"},
    "visitors before": {"type": "number", "lag_of": "visitors", "steps": 3},
}


def contract(**columns: Any) -> Contract:
    return Contract.model_validate({"columns": COLUMNS | columns})


def dataset(small_project: Callable[..., Path], days: int, gap: int = 0, **more: Any) -> Dataset:
    """Prepare random sales of two shops, of which one in `gap` is unknown."""
    sold = np.random.default_rng(0).normal(100, 10, size=2 * days).round(2)
    first = dt.date(2020, 1, 1)
    lines = [
        f"{first + dt.timedelta(days=row // 2)},{'ab'[row % 2]},"
        f"{'' if gap and row % gap == 5 else value},{row}"
        for row, value in enumerate(sold)
    ]
    visitors = more.pop("visitors", {"visitors": {"type": "number", "role": "ignore"}})
    target = {"sold": COLUMNS["sold"] | more.pop("target", {})}
    table = "\n".join(["day,shop,sold,visitors", *lines]) + "\n"
    small_project(columns=COLUMNS | visitors | target, table=table)
    return prepare(load_settings(**more))


def predict_by(name: str, agreed: Contract) -> Callable[[EncodedFeatures], np.ndarray]:
    """Return a model that predicts a lag, and the mean of the sales where it is not known."""
    column = agreed.encoded_names["numbers"].index(name)
    return lambda features: np.nan_to_num(features.numbers[:, [column]], nan=-1.0)


@pytest.mark.parametrize("training_rows", [400, 10_000], ids=["a sample", "all rows"])
@pytest.mark.parametrize("days", [60, 700], ids=["few rows", "many rows"])
@pytest.mark.parametrize(
    ("lag", "naive"), [("sold before", "naive"), ("sold a week before", "seasonal_naive")]
)
def test_a_model_that_repeats_a_lag_is_as_good_as_the_naive_forecast_at_each_step(
    small_project: Callable[..., Path], training_rows: int, days: int, lag: str, naive: str
) -> None:
    data = dataset(small_project, days, training_rows=training_rows, target={"horizon": 9})
    fitted = FittedPredictor(data, predict_by(lag, data.contract))
    lines = evaluate_horizon(data, forecast_paths(data), lambda _: fitted)["horizon"]
    assert [line["step"] for line in lines] == list(range(1, 10))
    for line in lines:
        assert line["rmse"] == pytest.approx(line[naive], rel=1e-5)
        assert line["naive"] != pytest.approx(line["seasonal_naive"]) or line["step"] == 7
    forecasts = [line["forecasts"] for line in lines]
    assert forecasts == sorted(forecasts, reverse=True)


@pytest.mark.parametrize("days", [60, 700], ids=["few rows", "many rows"])
def test_forecasts_for_intervals_are_of_validation_rows_alone(
    small_project: Callable[..., Path], days: int
) -> None:
    data = dataset(small_project, days, target={"horizon": 9})
    paths = forecast_paths(data, "validation")
    assert paths is not None
    times = [data.table["day"][split.validation] for split in data.splits]
    first, last = min(one.min() for one in times), max(one.max() for one in times)
    within = data.table.filter(pl.col("day").is_between(first, last))["sold"].to_numpy()
    outcomes = paths.target[np.isfinite(paths.target)]
    assert np.isin(outcomes, within).all()
    assert set(outcomes) == set(within)
    counts = np.isfinite(paths.target).sum(axis=0)
    assert len(counts) == 9
    assert (np.diff(counts) < 0).all()  # the last rows begin no long forecast


def test_rows_without_a_target_are_steps_but_neither_origins_nor_outcomes(
    small_project: Callable[..., Path],
) -> None:
    data = dataset(small_project, 300, gap=11, target={"horizon": 4})
    paths = forecast_paths(data)
    assert paths is not None
    assert np.isfinite(paths.naive).all()
    assert 0.05 < np.isnan(paths.target[:, 0]).mean() < 0.13
    fitted = FittedPredictor(data, predict_by("sold before", data.contract))
    lines = evaluate_horizon(data, paths, lambda _: fitted)["horizon"]
    for line in lines:
        assert line["rmse"] == pytest.approx(line["naive"], rel=1e-5)


def test_each_split_is_forecast_by_the_model_of_its_own_rows(
    small_project: Callable[..., Path],
) -> None:
    data = dataset(small_project, 60)
    fitted_on = []

    def fit(rows: np.ndarray) -> FittedPredictor:
        fitted_on.append(data.table["day"][rows].max())
        return FittedPredictor(data, predict_by("sold before", data.contract))

    evaluate_horizon(data, forecast_paths(data), fit)
    assert len(data.splits) == len(set(fitted_on)) == 5
    for last, split in zip(fitted_on, data.splits, strict=True):
        assert last < data.table["day"][split.test].min()


def test_the_horizon_ends_where_too_few_forecasts_can_be_evaluated(
    small_project: Callable[..., Path],
) -> None:
    data = dataset(small_project, 60, target={"horizon": 50})
    paths = forecast_paths(data)
    assert paths is not None
    counts = np.isfinite(paths.target).sum(axis=0)
    assert 7 < len(counts) < 50
    assert counts.min() >= MIN_FORECASTS
    assert paths.note == f"the rows after the training rows are too few for step {len(counts) + 1}"


def test_the_horizon_ends_where_another_column_is_not_known(
    small_project: Callable[..., Path],
) -> None:
    paths = forecast_paths(dataset(small_project, 60, visitors=VISITORS))
    assert paths is not None
    assert paths.target.shape[1] == 3
    assert paths.note.startswith("visitors is not known further ahead; to forecast more, remove")


def test_a_column_known_in_advance_does_not_end_the_horizon(
    small_project: Callable[..., Path],
) -> None:
    known = VISITORS | {"visitors": {"type": "number"}}
    paths = forecast_paths(dataset(small_project, 60, visitors=known))
    assert paths is not None
    assert paths.target.shape[1] == 7  # a season


def sales(shop: str, known: list[float], future: int) -> pl.DataFrame:
    """Rows of a shop: days with sales, and days to forecast."""
    days = [dt.date(2024, 1, 1) + dt.timedelta(days=i) for i in range(len(known) + future)]
    return pl.DataFrame({"day": days, "shop": shop, "sold": [*known, *[None] * future]})


SHORT = {name: column for name, column in COLUMNS.items() if name != "sold a week before"}


def test_series_are_forecast_apart_each_from_its_own_origin() -> None:
    agreed = Contract.model_validate({"columns": SHORT})
    table = pl.concat([sales("a", [1, 2, 3], 3), sales("b", [10, 20], 2), sales("c", [5, 6], 0)])
    order = np.random.default_rng(0).permutation(len(table))

    def one_more(features: EncodedFeatures) -> np.ndarray:
        return np.asarray(features.numbers[:, [0]] + 1)

    found, _ = predict_series(table[order], agreed, 3, one_more)
    expected = np.array([np.nan, 2, 3, 4, 5, 6, np.nan, 11, 21, 22, np.nan, 6])
    np.testing.assert_array_equal(found, expected[order])


def test_a_series_without_an_origin_is_named() -> None:
    table = pl.concat([sales("a", [1, 2, 3], 1), sales("b", [], 2)])
    agreed = Contract.model_validate({"columns": SHORT})
    with pytest.raises(UserError, match=r"day 2024-01-01 of shop b .* no row before it .*\(2 such"):
        predict_series(table, agreed, 3, predict_by("sold before", agreed))


@pytest.mark.parametrize("known", [8, 9, 10])
def test_an_unknown_lag_of_another_column_is_refused(known: int) -> None:
    table = sales("a", [float(i) for i in range(10)], 2)
    visitors = [float(row) if row < known else None for row in range(12)]
    table = table.with_columns(visitors=pl.Series(visitors))
    agreed = contract(**VISITORS)
    predict = predict_by("sold before", agreed)
    if known == 8:  # the second step needs the row before the last known one
        with pytest.raises(UserError, match=r"2024-01-12 of shop a .* 'visitors before' is not"):
            predict_series(table, agreed, 3, predict)
    else:
        assert predict_series(table, agreed, 3, predict)[0][10:].tolist() == [9, 9]


def test_a_step_that_another_column_does_not_allow_is_refused_with_its_lag() -> None:
    table = sales("a", [float(i) for i in range(10)], 4)
    table = table.with_columns(visitors=pl.Series([float(row) for row in range(14)]))
    agreed = contract(**VISITORS)
    with pytest.raises(UserError, match=r"step 4 after .* remove 'visitors before' from schema"):
        predict_series(table, agreed, 3, predict_by("sold before", agreed))


def test_a_class_is_not_predicted_from_a_lag_that_is_not_known() -> None:
    columns = {
        "day": COLUMNS["day"],
        "rain": {"type": "boolean", "role": "target"},
        "pressure": {"type": "number", "role": "ignore"},
        "pressure before": {"type": "number", "lag_of": "pressure", "steps": 1},
    }
    agreed = Contract.model_validate({"columns": columns})
    table = sales("a", [1, 2, 3], 1).select("day", pressure="sold")
    assert add_known_lags(table, agreed)["pressure before"].to_list() == [None, 1, 2, 3]
    table = sales("a", [1, 2, 3], 2).select("day", pressure="sold")
    with pytest.raises(UserError, match="2024-01-05 cannot be forecast: 'pressure before'"):
        add_known_lags(table, agreed)
