"""The model: what it depends on, how good it is, and whether its export is faithful."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from conftest import HYPERPARAMETERS, MODEL

from coldstart import BundlePredictor, Dataset, Settings
from coldstart.batch import predict_file
from coldstart.export import check_parity
from coldstart.train import Fitter, calibrate

from {{cookiecutter.__package}}.models import FAMILIES

# Write down here what you know of your data, and the tests hold the model to it. A feature, two
# values, and the class that is more probable with the second one (None without classes: the
# prediction is larger).
DIRECTIONS: list[tuple[str, object, object, str | None]] = [
    # ("rooms", 2, 5, None),
]
HOLDS_FOR = 0.8  # share of the test rows that a direction must hold for

Predict = Callable[[pl.DataFrame], np.ndarray]


@pytest.mark.skipif(not DIRECTIONS, reason="DIRECTIONS in test_model.py is empty: fill it in")
def test_a_prediction_moves_in_the_direction_that_is_known(
    predictor: BundlePredictor, test_table: pl.DataFrame, predict: Predict
) -> None:
    for feature, low, high, label in DIRECTIONS:
        column = predictor.manifest.classes.index(label) if label else 0
        before, after = (
            predict(test_table.with_columns(pl.lit(value).alias(feature)))[:, column]
            for value in (low, high)
        )
        assert (after >= before).mean() >= HOLDS_FOR, feature
        assert after.mean() > before.mean(), feature


def test_a_prediction_does_not_depend_on_the_other_rows_or_their_order(
    test_table: pl.DataFrame, predict: Predict
) -> None:
    together = predict(test_table)
    scale = max(1.0, float(np.abs(together).max()))
    np.testing.assert_allclose(predict(test_table.reverse())[::-1], together, atol=1e-6 * scale)
    np.testing.assert_allclose(predict(test_table[:1]), together[:1], atol=1e-6 * scale)


def test_a_prediction_does_not_depend_on_columns_that_are_no_features(
    dataset: Dataset, bundle: Path, test_table: pl.DataFrame, tmp_path: Path
) -> None:
    others = [
        name
        for name, column in dataset.contract.columns.items()
        if name not in test_table.columns and column.role != "target"
    ]
    plain, wide = tmp_path / "plain.parquet", tmp_path / "wide.parquet"
    test_table.write_parquet(plain)
    test_table.with_columns(pl.lit("1").alias(name) for name in others).write_parquet(wide)
    for file in (plain, wide):
        predict_file(bundle, file, file.with_stem(f"{file.stem}-out"))
    first, second = (
        pl.read_parquet(tmp_path / f"{name}-out.parquet") for name in ("plain", "wide")
    )
    assert second.drop(others).equals(first)


def test_fitted_again_the_pipeline_predicts_as_the_exported_graph(
    settings: Settings, dataset: Dataset, predictor: BundlePredictor
) -> None:
    fitter = calibrate(dataset, Fitter(FAMILIES[MODEL], settings, dataset, HYPERPARAMETERS))
    model = fitter.fit(dataset.fitting_rows)
    # Raises with the rows that differ, if some do.
    assert check_parity(model, predictor, dataset.features(dataset.test_rows)) < 1e-4


def test_probabilities_are_probabilities(
    dataset: Dataset, test_table: pl.DataFrame, predict: Predict
) -> None:
    predictions = predict(test_table)
    assert np.isfinite(predictions).all()
    if dataset.contract.classifies:
        assert ((predictions >= 0) & (predictions <= 1 + 1e-6)).all()
        np.testing.assert_allclose(predictions.sum(axis=1), 1, atol=1e-5)


def test_it_beats_the_dummy_baseline_where_a_single_column_does(
    predictor: BundlePredictor,
) -> None:
    metrics = predictor.manifest.metrics
    metric = metrics["primary"]
    model, column, dummy = (metrics[name][metric] for name in ("test", "column", "baseline"))
    if column > dummy + 0.02:  # else there may be nothing to learn
        assert model > dummy, f"{metric} {model:.3f}; the dummy baseline has {dummy:.3f}"
