"""The features: training, batch prediction and the API compute the same from a row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from conftest import as_rows
from fastapi.testclient import TestClient

from coldstart import BundlePredictor, Dataset
from coldstart.batch import predict_file
from coldstart.contract.columns import Category

Predict = Callable[[pl.DataFrame], np.ndarray]


def in_a_batch(bundle: Path, table: pl.DataFrame, folder: Path) -> np.ndarray:
    """Predict as `make predict FILE=` does."""
    table.write_parquet(folder / "in.parquet")
    predict_file(bundle, folder / "in.parquet", folder / "out.parquet")
    predictions = pl.read_parquet(folder / "out.parquet").drop(table.columns)
    return predictions.drop("label", "low", "high", "set", strict=False).to_numpy()


def test_training_batch_and_api_predict_the_same(
    dataset: Dataset,
    bundle: Path,
    predictor: BundlePredictor,
    test_table: pl.DataFrame,
    predict: Predict,
    tmp_path: Path,
) -> None:
    features = dataset.features(dataset.test_rows[: len(test_table)])
    trained = predictor.predict(features)
    scale = max(1.0, float(np.abs(trained).max()))
    served, batch = predict(test_table), in_a_batch(bundle, test_table, tmp_path)
    np.testing.assert_allclose(served, trained, rtol=1e-5, atol=1e-6 * scale)
    np.testing.assert_allclose(batch, served, rtol=1e-5, atol=1e-6 * scale)


def test_training_and_api_encode_a_row_alike(
    dataset: Dataset, predictor: BundlePredictor, test_table: pl.DataFrame
) -> None:
    trained = dataset.features(dataset.test_rows[: len(test_table)])
    served = predictor.contract.encode(predictor.columns(test_table.to_dicts()))
    np.testing.assert_array_equal(served.numbers, trained.numbers)
    np.testing.assert_array_equal(served.strings, trained.strings)


def test_a_derived_column_is_computed_from_the_row_alone(
    dataset: Dataset, predictor: BundlePredictor, test_table: pl.DataFrame
) -> None:
    together = dataset.features(dataset.test_rows[:20]).numbers
    for name in dataset.contract.derived:
        column = dataset.contract.encoded_columns().index(name)
        assert np.isfinite(dataset.encoded.numbers[:, column]).any(), f"{name} is always missing"
        for row, expected in zip(test_table[:20].to_dicts(), together[:, column], strict=False):
            alone = predictor.contract.encode(predictor.columns([row])).numbers[0, column]
            np.testing.assert_equal(alone, expected)


def test_the_model_reads_the_derived_columns_that_features_py_has(
    dataset: Dataset, predictor: BundlePredictor
) -> None:
    assert predictor.manifest.derived == list(dataset.contract.derived)


def test_a_row_without_any_value_that_may_be_missing_is_predicted(
    dataset: Dataset, test_table: pl.DataFrame, predict: Predict
) -> None:
    nothing = [
        pl.lit(None, values.dtype).alias(values.name)
        for values in test_table
        if dataset.contract.columns[values.name].nullable
    ]
    assert np.isfinite(predict(test_table[:1].with_columns(nothing))).all()


def test_a_category_that_is_new_is_predicted_or_refused_as_schema_yaml_says(
    dataset: Dataset, test_table: pl.DataFrame, api: TestClient
) -> None:
    for name, column in dataset.contract.features.items():
        if isinstance(column, Category):
            rows = as_rows(test_table[:1].with_columns(pl.lit("not seen before").alias(name)))
            status = api.post("/predict", json={"rows": rows}).status_code
            refused = column.unseen == "refuse" and bool(column.categories)
            assert status == (422 if refused else 200), name
