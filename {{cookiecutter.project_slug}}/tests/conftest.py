"""What the tests share: this project's own rows, and one quick model that is trained on them.

The tests read schema.yaml and config.yaml, so they hold for the data that these describe. They
write to temporary folders only, and a large table is sampled.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from coldstart import BundlePredictor, Dataset, Settings
from coldstart.config import ServingSettings
from coldstart.contract import register_derived
from coldstart.data import prepare
from coldstart.serve import open_app

from {{cookiecutter.__package}}.__main__ import PROJECT
from {{cookiecutter.__package}}.features import DERIVED
from {{cookiecutter.__package}}.train import train

ROOT = Path(__file__).parents[1]
MODEL = "linear"  # the model type that the tests train: a quick one
HYPERPARAMETERS = {"C": 0.3}  # fixed, so that no search takes time
SAMPLE = 3_000  # rows at most, so that the tests take seconds

Rows = list[dict[str, Any]]


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Load config.yaml, but work on fewer rows and in a temporary folder."""
    with contextlib.chdir(ROOT):
        settings = Settings.load(PROJECT)
    data, folder = settings.data, tmp_path_factory.mktemp("project")
    if isinstance(data.table, Path):  # else an address in an object store
        data.table = ROOT / data.table
        if not data.table.exists() and not any(data.table.parent.glob(data.table.name)):
            pytest.skip(f"{data.table} is not here: make collect")
    for join in data.joins:
        join.file = ROOT / join.file
    settings.contract = ROOT / settings.contract
    settings.tracking_uri = f"sqlite:///{folder}/mlflow.db"
    settings.models, settings.tuned = [MODEL], {MODEL: HYPERPARAMETERS}
    settings.training_rows = min(settings.training_rows, SAMPLE)
    settings.leak_threshold = None  # the score of a sample varies; make train applies the limit
    register_derived(DERIVED)
    with contextlib.chdir(folder):
        yield settings


@pytest.fixture(scope="session")
def dataset(settings: Settings) -> Dataset:
    """Read, type and split rows of the project's own data."""
    return prepare(settings)


@pytest.fixture(scope="session")
def bundle(settings: Settings) -> Path:
    """Run train.py once, and return the folder of the model that it registers."""
    train(settings)
    folder = Path("bundles/challenger").absolute()
    assert folder.is_dir(), f"{MODEL} cannot be trained on this data: see the output above"
    return folder


@pytest.fixture(scope="session")
def predictor(bundle: Path) -> BundlePredictor:
    """Load the trained model as the API does."""
    return BundlePredictor(bundle)


@pytest.fixture(scope="session")
def app(bundle: Path) -> FastAPI:
    """Make the project's API around the trained model."""
    return open_app(PROJECT, bundle, ServingSettings())


@pytest.fixture(scope="session")
def api(app: FastAPI) -> Iterator[TestClient]:
    """Connect to the API."""
    with TestClient(app) as client:
        yield client


@pytest.fixture(scope="session")
def test_table(dataset: Dataset) -> pl.DataFrame:
    """Return the features of some test rows, as typed columns."""
    return dataset.table[dataset.test_rows[:200]].select(list(dataset.contract.features))


@pytest.fixture(scope="session")
def predict(api: TestClient) -> Callable[[pl.DataFrame], np.ndarray]:
    """Return `predict(table)`, which asks the API: shape (n, classes), or (n, 1) for a number."""

    def predict(table: pl.DataFrame) -> np.ndarray:
        response = api.post("/predict", json={"rows": as_rows(table)})
        assert response.status_code == 200, response.text[:500]
        predictions = response.json()["predictions"]
        values = [
            one["probabilities"].values() if "probabilities" in one else [one["value"]]
            for one in predictions
        ]
        return np.array([list(row) for row in values])

    return predict


def as_rows(table: pl.DataFrame) -> Rows:
    """Return typed rows as a client sends them: dates in ISO 8601, null where one is missing."""
    rows: Rows = json.loads(json.dumps(table.to_dicts(), default=lambda date: date.isoformat()))
    return rows
