"""The API: it predicts what it documents, and refuses everything else with the reason."""

from __future__ import annotations

import math
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from coldstart import BundlePredictor, Dataset
from coldstart.config import ServingSettings
from coldstart.contract.columns import Category, Text
from coldstart.serve import open_app

from {{cookiecutter.__package}}.__main__ import PROJECT

Row = dict[str, Any]


@pytest.fixture
def example(api: TestClient) -> Row:
    """Return the row that the API's documentation shows."""
    (body,) = api.get("/openapi.json").json()["components"]["schemas"]["Rows"]["examples"]
    (row,) = body["rows"]
    found: Row = row
    return found


def refused(api: TestClient, row: Row) -> dict[str, Any]:
    """Return what the API says is wrong with a row."""
    response = api.post("/predict", json={"rows": [row]})
    assert response.status_code == 422, response.text
    (problem,) = response.json()["detail"]
    found: dict[str, Any] = problem
    return found


def test_the_documented_example_is_predicted(
    api: TestClient, example: Row, predictor: BundlePredictor
) -> None:
    response = api.post("/predict", json={"rows": [example, example]})
    assert response.status_code == 200, response.text[:500]
    first, second = response.json()["predictions"]
    assert first == second
    if classes := predictor.manifest.classes:
        assert first["label"] in classes
        assert first["probability"] == first["probabilities"][first["label"]]
    else:
        assert first.get("low", -math.inf) <= first["value"] <= first.get("high", math.inf)


def test_a_field_that_is_needed_and_missing_is_named(
    api: TestClient, example: Row, dataset: Dataset
) -> None:
    for needed, column in dataset.contract.features.items():
        if not column.nullable:
            row = {name: value for name, value in example.items() if name != needed}
            assert refused(api, row)["loc"][-1] == needed


def test_a_value_of_another_type_is_named(api: TestClient, example: Row, dataset: Dataset) -> None:
    for name in dataset.contract.features:
        assert name in refused(api, example | {name: {"not": "a value"}})["loc"]


def test_a_field_that_is_unknown_is_named(api: TestClient, example: Row) -> None:
    assert refused(api, example | {"no such field": 1})["loc"][-1] == "no such field"


def test_a_text_that_is_too_long_is_refused(
    api: TestClient, example: Row, dataset: Dataset
) -> None:
    for name, column in dataset.contract.features.items():
        if isinstance(column, Category | Text):
            assert name in refused(api, example | {name: "x" * 100_001})["loc"]


def test_a_body_that_is_too_long_or_has_no_rows_is_refused(
    bundle: Any, api: TestClient, example: Row
) -> None:
    assert api.post("/predict", json={"rows": []}).status_code == 422
    small = TestClient(open_app(PROJECT, bundle, ServingSettings(max_bytes=100)))
    assert small.post("/predict", json={"rows": [example] * 100}).status_code == 413


def test_it_reports_its_model_and_its_health(api: TestClient, predictor: BundlePredictor) -> None:
    model = api.get("/model").json()
    assert model["target"] == predictor.contract.target
    assert model["metrics"]["test"] == predictor.manifest.metrics["test"]
    assert api.get("/health/live").json() == {"status": "alive"}
    assert api.get("/health/ready").json()["status"] == "ready"
    assert "predict" in api.get("/metrics").text


def test_a_route_of_your_own_answers_beside_the_others(app: FastAPI, api: TestClient) -> None:
    @app.get("/ping")
    async def ping() -> dict[str, str]:
        return {"ping": "pong"}

    response = api.get("/ping")
    assert response.json() == {"ping": "pong"}
    assert response.headers["X-Request-Id"]
