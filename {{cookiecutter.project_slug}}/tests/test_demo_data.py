"""About the demo's data, bird strikes, alone: `make data SOURCE=` moves this file away."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from conftest import ROOT

from coldstart import BundlePredictor, Contract, Settings
from coldstart.data import prepare

from {{cookiecutter.__package}}.features import speed_by_height

Predict = Callable[[pl.DataFrame], np.ndarray]


def test_the_reports_are_split_at_the_chosen_years(settings: Settings, tmp_path: Path) -> None:
    everything = settings.model_copy(update={"training_rows": 500_000})
    with contextlib.chdir(tmp_path):
        (split,) = prepare(everything).splits
    assert [len(rows) for rows in vars(split).values()] == [10273, 2500, 5285, 1244]


def test_what_tells_the_outcome_does_not_reach_the_model() -> None:
    contract = Contract.load(ROOT / "schema.yaml")
    assert {"remarks", "strike_id", "date", "effect", "operator"}.isdisjoint(contract.features)
    assert contract.columns["remarks"].reason


def test_a_flight_is_disrupted_unless_the_effect_is_the_word_none() -> None:
    effect = Contract.load(ROOT / "schema.yaml").columns["effect"]
    words = pl.DataFrame({"effect": ["None", "Aborted Take-off", "Engine Shut Down"]})
    assert words.select(effect.parse(pl.col("effect"))).to_series().to_list() == [False, True, True]


def test_the_speed_by_height_is_missing_where_the_speed_is() -> None:
    columns = {"speed": np.array([140.0, np.nan]), "height": np.array([1000.0, 500.0])}
    np.testing.assert_array_equal(speed_by_height(columns), [70.0, np.nan])


def test_more_birds_make_a_disruption_more_likely(
    test_table: pl.DataFrame, predict: Predict
) -> None:
    one, some, many = (
        predict(test_table.with_columns(birds_struck=pl.lit(birds)))[:, 1]
        for birds in ("1", "2-10", "11-100")
    )
    assert (some >= one).mean() > 0.8
    assert one.mean() < some.mean() < many.mean()


def test_a_large_bird_disrupts_more_often_than_a_small_one(
    test_table: pl.DataFrame, predict: Predict
) -> None:
    small, large = (
        predict(test_table.with_columns(species=pl.lit(f"UNKNOWN BIRD - {size}")))[:, 1]
        for size in ("SMALL", "LARGE")
    )
    assert (large > small).mean() > 0.8


def test_a_quick_model_of_a_sample_is_twice_as_good_as_the_dummy_baseline(
    predictor: BundlePredictor,
) -> None:
    metrics = predictor.manifest.metrics
    assert metrics["test"]["roc_auc"] > 0.75
    assert metrics["test"]["average_precision"] > 2 * metrics["baseline"]["average_precision"]
    assert metrics["baseline"]["average_precision"] == pytest.approx(0.12, abs=0.03)
