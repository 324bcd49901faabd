"""Calibrated probabilities: what the sigmoid is, when it is used, and that the graph has it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from bird_strikes.models import FAMILIES
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from coldstart.bundle._predictor import BundlePredictor
from coldstart.data._dataset import load, prepare
from coldstart.export import to_onnx
from coldstart.train._ensemble import Ensemble
from coldstart.train._evaluation import HeldOutPredictions
from coldstart.train._fitting import Fitter, predict
from coldstart.train._folds import predict_validation_rows
from coldstart.train._sigmoid import CalibratedFitter, CalibratedModel, Sigmoid, calibrate
from engine.held_out import held_out_once
from engine.support import load_settings, main

CERTAIN = {"tree": {"max_depth": 16, "min_samples_leaf": 2}}


def held(target: np.ndarray, prediction: np.ndarray) -> HeldOutPredictions:
    return held_out_once(np.arange(len(target)), target, prediction)


def classes(rows: int, slope: float, n_classes: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Return outcomes, and probabilities whose logarithms are too large by a factor."""
    random = np.random.default_rng(0)
    scores = random.normal(size=(rows, n_classes))
    true = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    target = (true.cumsum(axis=1) < random.random((rows, 1))).sum(axis=1)
    powers = true**slope
    return target, powers / powers.sum(axis=1, keepdims=True)


def test_two_classes_get_the_coefficients_of_a_logistic_regression() -> None:
    target, prediction = classes(3000, slope=3.0)
    odds = np.log(prediction[:, 1] / prediction[:, 0])[:, None] + 1
    shifted = 1 / (1 + np.exp(-odds))
    found = Sigmoid.of(held(target, np.hstack([1 - shifted, shifted])))
    oracle = LogisticRegression(C=np.inf).fit(odds, target)
    assert found.slope == pytest.approx(oracle.coef_[0, 0], abs=0.005)
    assert found.intercept == pytest.approx(oracle.intercept_[0], abs=0.005)


def test_of_many_classes_the_most_probable_stays_it() -> None:
    target, prediction = classes(3000, slope=2.5, n_classes=4)
    found = Sigmoid.of(held(target, prediction))
    assert found.slope == pytest.approx(1 / 2.5, abs=0.05)
    corrected = found(prediction)
    np.testing.assert_array_equal(corrected.argmax(axis=1), prediction.argmax(axis=1))
    np.testing.assert_allclose(corrected.sum(axis=1), 1)
    assert log_loss(target, corrected) < log_loss(target, prediction)


def test_a_weight_counts_as_so_many_rows() -> None:
    target, prediction = classes(400, slope=3.0)
    weight = np.random.default_rng(1).integers(1, 4, size=400)
    weighted = held_out_once(np.arange(400), target, prediction, sample_weight=weight.astype(float))
    repeated = held(np.repeat(target, weight), np.repeat(prediction, weight, axis=0))
    assert Sigmoid.of(weighted).slope == pytest.approx(Sigmoid.of(repeated).slope, rel=0.01)


def fitter(small_project: Callable[..., Path], family: str, **config: object) -> Fitter:
    small_project(**config)
    settings = load_settings()
    return Fitter(FAMILIES[family], settings, prepare(settings), CERTAIN.get(family, {}))


def test_a_tree_that_is_too_certain_is_calibrated_and_a_regression_is_not(
    small_project: Callable[..., Path],
) -> None:
    tree = fitter(small_project, "tree", split={"cross_validate_below": 0})
    found = calibrate(tree.dataset, tree)
    assert isinstance(found, CalibratedFitter)
    linear = Fitter(FAMILIES["linear"], tree.settings, tree.dataset)
    assert calibrate(tree.dataset, linear) is linear

    # The rows that nothing was chosen on are the judge.
    dataset, rows = tree.dataset, tree.dataset.fitting_rows
    tested = dataset.splits[0].test
    target, features = dataset.target(tested), dataset.features(tested)
    plain, corrected = predict(tree.fit(rows), features), predict(found.fit(rows), features)
    assert log_loss(target, corrected) < log_loss(target, plain)


def test_of_few_rows_those_that_are_tested_do_not_decide(
    small_project: Callable[..., Path],
) -> None:
    tree = fitter(small_project, "tree")
    dataset = tree.dataset
    assert len(dataset.splits) > 1
    division = dataset.splits[0]
    rows = np.concatenate([division.train, division.validation])
    right = predict_validation_rows(dataset, tree)
    wrong = right.prediction.copy()
    wrong[0, np.isin(right.rows, division.test)] = [[0.999, 0.001]]
    changed = held_out_once(right.rows, right.target, wrong[0])
    features = dataset.features(division.test)
    first = CalibratedFitter(tree, right).fit(rows)
    second = CalibratedFitter(tree, changed).fit(rows)
    np.testing.assert_array_equal(predict(first, features), predict(second, features))
    whole = np.arange(len(dataset.table))
    differs = CalibratedFitter(tree, changed).fit(whole).sigmoid
    assert differs != CalibratedFitter(tree, right).fit(whole).sigmoid


def test_the_bundle_predicts_calibrated_probabilities_and_the_card_says_so(
    small_project: Callable[..., Path],
) -> None:
    small_project(models=["tree"])
    assert main(["train"]) == 0
    folder = Path("bundles/challenger")
    made = json.loads((folder / "bundle.json").read_text())
    plain = load_settings()
    assert made["calibration"]["slope"] < 1
    assert "corrected by a sigmoid" in (folder / "MODEL_CARD.md").read_text()
    assert made["metrics"]["parity"] < 1e-4

    dataset = load(plain)
    features = dataset.features(np.arange(len(dataset.table)))
    model = Fitter(FAMILIES["tree"], plain, dataset).fit(dataset.fitting_rows)
    expected = Sigmoid(**made["calibration"])(predict(model, features))
    found = BundlePredictor(folder).predict(features)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found - predict(model, features)).max() > 0.01


def test_an_ensemble_is_calibrated_in_the_same_graph(small_project: Callable[..., Path]) -> None:
    tree = fitter(small_project, "tree")
    linear = Fitter(FAMILIES["linear"], tree.settings, tree.dataset)
    members = {"tree": tree, "linear": linear}
    ensemble = Ensemble(members, {"tree": 0.5, "linear": 0.5})
    rows = tree.dataset.fitting_rows
    model = CalibratedModel(ensemble.fit(rows), Sigmoid(0.5, 0.25))
    graph = to_onnx(model, tree.dataset.features(rows))
    kinds = [node.op_type for node in graph.graph.node]
    assert kinds[-1] == "Softmax"
    assert kinds.index("Sum") < len(kinds) - 1
