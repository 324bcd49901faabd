"""The ensemble: its weights, its graph, what it costs, and when it is left out."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bird_strikes.models import FAMILIES
from mlflow import MlflowClient

from coldstart.bundle._predictor import BundlePredictor
from coldstart.contract._contract import EncodedFeatures
from coldstart.data._dataset import load, prepare
from coldstart.tracking import _registry as registry
from coldstart.train._ensemble import MEMBERS, ROUNDS, WeightedAverage, select
from coldstart.train._evaluation import HeldOutPredictions
from coldstart.train._fitting import Fitter, predict, predict_aligned
from coldstart.train._sigmoid import LEAST
from coldstart.tune._search import default_family
from engine.held_out import held_out_once
from engine.support import load_settings

Train = Callable[..., str]
SHAPES: dict[str, dict[str, Any]] = {
    "x": {"type": "number"},
    "step": {"type": "number"},
    "kind": {"type": "category"},
    "y": {"type": "number", "role": "target"},
}


def shapes(rows: int = 2000) -> str:
    """Return a table whose target is a line and steps: each model type learns one of them best."""
    random = np.random.default_rng(0)
    x, step = random.normal(size=rows), random.uniform(-3, 3, size=rows)
    kind = random.choice(["a", "b", "c"], size=rows)
    y = 4 * x + 2 * np.sign(np.sin(4 * step)) + (kind == "b") + random.normal(0, 1, size=rows)
    lines = [f"{a:.4f},{b:.4f},{c},{d:.4f}" for a, b, c, d in zip(x, step, kind, y, strict=True)]
    return "\n".join(["x,step,kind,y", *lines]) + "\n"


def manifest(alias: str = "challenger") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(f"bundles/{alias}/bundle.json").read_text())
    return found


def held(target: np.ndarray, prediction: np.ndarray) -> HeldOutPredictions:
    return held_out_once(np.arange(len(target)), target, prediction)


def test_the_weights_have_the_least_loss_of_all_averages() -> None:
    random = np.random.default_rng(0)
    target = random.normal(size=400)
    found = select(
        {
            name: held(target, (target + random.normal(0, noise, size=400))[:, None])
            for name, noise in (("near", 0.5), ("far", 1.0), ("lost", 30.0))
        }
    )
    # Of independent errors the best weights are in proportion to 1 / variance: 0.8 and 0.2.
    assert found.keys() == {"near", "far"}
    assert found["near"] == pytest.approx(0.8, abs=0.051)
    assert sum(found.values()) == pytest.approx(1)


def test_the_weights_of_classes_are_those_of_a_search_over_all() -> None:
    random = np.random.default_rng(1)
    target = random.integers(0, 3, size=300)
    truth = np.eye(3)[target]
    parts = []
    for noise in (0.5, 1.0):
        raw = np.exp(truth + random.normal(0, noise, size=truth.shape))
        parts.append(raw / raw.sum(axis=1, keepdims=True))
    found = select({"a": held(target, parts[0]), "b": held(target, parts[1])})

    def loss(weight: float) -> float:
        mixed = weight * parts[0] + (1 - weight) * parts[1]
        return float(-np.log(np.clip(mixed[np.arange(300), target], LEAST, 1)).mean())

    best = min(np.arange(ROUNDS + 1) / ROUNDS, key=loss)
    assert abs(found["a"] - best) <= 1 / ROUNDS + 1e-9


def test_it_has_three_members_at_most() -> None:
    random = np.random.default_rng(2)
    target = random.normal(size=200)
    some = {str(i): held(target, (target + random.normal(size=200))[:, None]) for i in range(6)}
    assert len(select(some)) == MEMBERS


def test_the_average_of_a_line_and_of_steps_is_better_than_both_and_one_graph(
    trained_here: Train,
) -> None:
    printed = trained_here(columns=SHAPES, table=shapes(), models=["linear", "tree", "ensemble"])
    made = manifest()
    assert made["family"] == "ensemble"
    assert "ensemble: " in printed
    assert made["metrics"]["parity"] < 1e-4

    # The graph predicts what the models predict that config.yaml names, by their weights.
    settings, predictor = load_settings(), BundlePredictor(Path("bundles/challenger"))
    dataset = load(settings)
    run = MlflowClient(settings.tracking_uri).get_run(made["provenance"]["run_id"]).data
    weights = {name: float(run.params[name]) for name in ("linear", "tree")}
    assert sum(weights.values()) == pytest.approx(1)
    assert all(weights.values())
    features = dataset.features(dataset.test_rows)
    expected = sum(
        weight
        * predict(Fitter(FAMILIES[name], settings, dataset).fit(dataset.fitting_rows), features)
        for name, weight in weights.items()
    )
    np.testing.assert_allclose(predictor.predict(features), expected, rtol=1e-4, atol=1e-4)

    # It brings as much on the test rows as both sides of the comparison say.
    versions = {
        name: registry.manifest_of(settings, version).metrics
        for name, version in (("linear", "1"), ("tree", "2"))
    }
    for metrics in versions.values():
        assert made["metrics"]["test"]["r2"] > metrics["test"]["r2"]
        assert made["metrics"]["validation"] > metrics["validation"]
    # What was fitted is not fitted again.
    fitted = sum(metrics["cpu_seconds"] for metrics in versions.values())
    assert made["metrics"]["cpu_seconds"] == pytest.approx(fitted)


def test_no_member_is_fitted_or_predicts_again_on_few_rows_or_without_unconfirmed_columns(
    trained_here: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits: list[bytes] = []
    predictions: list[tuple[int, bytes]] = []
    fit = Fitter._fit

    def counted(self: Fitter, rows: np.ndarray, report: Any) -> Any:
        names = "|".join(self.dataset.contract.features)
        fits.append(f"{self.family.__name__} {names} ".encode() + rows.tobytes())
        return fit(self, rows, report)

    def counted_prediction(model: Any, features: EncodedFeatures, classes: list[str]) -> np.ndarray:
        predictions.append((id(model), features.numbers.tobytes()))
        return predict_aligned(model, features, classes)

    monkeypatch.setattr(Fitter, "_fit", counted)
    monkeypatch.setattr("coldstart.train._fitting.predict_aligned", counted_prediction)
    columns = SHAPES | {"kind": {"type": "category", "available": "unconfirmed"}}
    trained_here(columns=columns, table=shapes(200), models=["linear", "tree", "ensemble"])
    made = manifest()
    assert made["family"] == "ensemble"
    assert made["metrics"]["confirmed"]["without"] == ["kind"]
    assert made["metrics"]["folds"] == 15
    assert len(fits) == len(set(fits))
    assert predictions
    assert len(predictions) == len(set(predictions))


def test_probabilities_of_classes_with_few_rows_are_averaged(trained_here: Train) -> None:
    lines = shapes(240).splitlines()
    values = [line.rpartition(",") for line in lines[1:]]
    named = [
        f"{a},{'high' if float(y) > 3 else 'low' if float(y) < -3 else 'mid'}" for a, _, y in values
    ]
    target = {"y": {"type": "category", "role": "target"}}
    trained_here(
        columns=SHAPES | target,
        table="\n".join([lines[0], *named]) + "\n",
        models=["linear", "tree", "ensemble"],
    )
    made = manifest()
    assert made["family"] == "ensemble"
    predictor = BundlePredictor(Path("bundles/challenger"))
    dataset = load(load_settings())
    found = predictor.predict(dataset.features(np.arange(len(dataset.table))))
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


def test_forecasts_are_averaged_and_the_horizon_is_evaluated(trained_here: Train) -> None:
    random = np.random.default_rng(0)
    days = [dt.date(2020, 1, 1) + dt.timedelta(days=day) for day in range(500)]
    sold = 100 + 20 * np.sin(np.arange(500) / 7 * 2 * np.pi) + 0.1 * np.arange(500)
    sold += random.normal(0, 6, size=500)
    columns: dict[str, Any] = {
        "day": {"type": "date", "role": "time", "nullable": False},
        "sold": {"type": "number", "role": "target", "season": 7},
        "sold before": {"type": "number", "lag_of": "sold", "steps": 1},
        "sold a week before": {"type": "number", "lag_of": "sold", "steps": 7},
    }
    lines = [f"{day},{value:.2f}" for day, value in zip(days, sold, strict=True)]
    trained_here(
        columns=columns,
        table="\n".join(["day,sold", *lines]) + "\n",
        models=["linear", "forest", "tree", "ensemble"],
        split={"cross_validate_below": 0},
    )
    made = manifest()
    assert made["family"] == "ensemble"
    horizon = made["metrics"]["horizon"]
    assert len(horizon) == 7
    assert horizon[-1]["rmse"] < horizon[-1]["naive"]


def test_where_one_model_is_right_no_average_is_trained(
    trained_here: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["x,step,kind,y"]
    for row in range(400):
        x = np.sin(row)
        lines.append(f"{x:.5f},{row % 7},{'abc'[row % 3]},{3 * x + 1:.5f}")
    table = "\n".join(lines) + "\n"
    printed = trained_here(columns=SHAPES, table=table, models=["linear", "tree", "ensemble"])
    assert "ensemble: not trained" in printed
    assert manifest()["family"] == "linear"


def test_models_that_are_named_are_trained_alone(trained_here: Train) -> None:
    printed = trained_here(columns=SHAPES, table=shapes(300), models=["linear", "tree"])
    assert "ensemble" not in printed


def test_an_ensemble_of_one_model_is_refused(
    small_project: Callable[..., Path], refusal: Callable[..., str]
) -> None:
    small_project(columns=SHAPES, table=shapes(300), models=["linear", "ensemble"])
    assert "an average of trained models; name at least two others" in refusal("train")
    assert "ensemble" in refusal("train", "--models", "linnear")


def test_tuning_has_a_model_type_when_the_challenger_is_an_ensemble(trained_here: Train) -> None:
    trained_here(columns=SHAPES, table=shapes(), models=["linear", "tree", "ensemble"])
    assert manifest()["family"] == "ensemble"
    assert default_family() == "boosting"


def test_probabilities_are_the_weighted_mean_of_the_members(
    small_project: Callable[..., Path],
) -> None:
    small_project()
    dataset = prepare(load_settings())
    rows = dataset.fitting_rows
    models = {
        name: Fitter(FAMILIES[name], load_settings(), dataset).fit(rows)
        for name in ("linear", "tree")
    }
    average = WeightedAverage(models, {"linear": 0.25, "tree": 0.75})
    features = dataset.features(rows)
    mixed = 0.25 * predict(models["linear"], features) + 0.75 * predict(models["tree"], features)
    np.testing.assert_allclose(predict(average, features), mixed)
