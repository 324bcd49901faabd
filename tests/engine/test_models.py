"""Every family, on every task, ends in a graph that agrees with what was fitted."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from bird_strikes.models import FAMILIES, unsuitable_families

from coldstart.bundle._bundle import CONTRACT, MODEL, Manifest, write_checksums
from coldstart.bundle._predictor import BundlePredictor, align
from coldstart.config._sections import NeuralSettings
from coldstart.contract._contract import Contract, EncodedFeatures
from coldstart.export._onnx import TOLERANCE, check_parity, to_onnx
from coldstart.train import Context
from coldstart.train._features import RobustNumbers, as_frame
from coldstart.train._fitting import predict_aligned
from coldstart.train._intervals import interval
from engine.held_out import held_out_once

TARGETS = {
    "two classes": {"type": "boolean"},
    "three classes": {"type": "category"},
    "regression": {"type": "number"},
}
COLUMNS = {
    "size": {"type": "number"},
    "noise": {"type": "number"},
    "rare": {"type": "number"},
    "wet": {"type": "boolean"},
    "shop": {"type": "category"},
    "day": {"type": "date"},
    "note": {"type": "text"},
}


def problem(task: str) -> tuple[Contract, EncodedFeatures, np.ndarray]:
    """Make rows of all types, with gaps and outliers, whose target depends on some of them."""
    dice = np.random.default_rng(0)
    n = 1500
    size = np.where(dice.random(n) < 0.1, np.nan, dice.normal(size=n))
    size[:5] = 1e12
    shop = np.where(dice.random(n) < 0.1, None, dice.choice(list("abcdefgh"), n))
    note = np.where(dice.random(n) < 0.5, "a fine day", "bad weather, Über alles; it's 2-10")
    hidden = np.nan_to_num(np.clip(size, -3, 3)) + 2.0 * (shop == "a") + (note == "a fine day")
    hidden = hidden + dice.normal(scale=0.3, size=n)
    table: dict[str, Any] = {
        "size": size,
        "noise": dice.normal(size=n) * 1e6,
        "rare": [1.0 if i % 100 == 0 else None for i in range(n)],
        "wet": dice.choice([True, False], n).tolist(),
        "shop": shop.tolist(),
        "day": np.array(dice.integers(0, 3000, n), dtype="datetime64[D]").tolist(),
        "note": note.tolist(),
    }
    target = {**TARGETS[task], "role": "target"}
    contract = Contract.model_validate({"columns": {**COLUMNS, "answer": target}})
    if task == "regression":
        answer = 1000 + 50 * hidden
    else:
        answer = np.digitize(hidden, [0.5] if task == "two classes" else [0, 1.5])
    return contract, contract.encode(table), answer


def fit(
    family: str, contract: Contract, rows: EncodedFeatures, answer: np.ndarray, folder: Path
) -> Any:
    """Fit a family on the rows."""
    context = Context(contract, 0, NeuralSettings(epochs=15), answer, folder / "checkpoints")
    return FAMILIES[family](context).fit(as_frame(rows), answer)


def bundled(
    model: Any, contract: Contract, rows: EncodedFeatures, classes: int, folder: Path
) -> BundlePredictor:
    """Export a model to a bundle, and load it."""
    onnx.save(to_onnx(model, rows), folder / MODEL)
    (folder / CONTRACT).write_text(contract.model_dump_json())
    names = [str(number) for number in range(classes)]
    threshold = 0.3 if classes == 2 else None
    write_checksums(
        folder, Manifest(family="any", target="answer", classes=names, threshold=threshold)
    )
    return BundlePredictor(folder)


@pytest.mark.parametrize("task", TARGETS)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_graph_agrees_with_the_model_and_beats_a_guess(
    family: str, task: str, tmp_path: Path
) -> None:
    contract, rows, answer = problem(task)
    model = fit(family, contract, rows[:1000], answer[:1000], tmp_path)
    classes = 0 if task == "regression" else len(np.unique(answer))
    folder = tmp_path / "bundle"
    folder.mkdir()
    predictor = bundled(model, contract, rows, classes, folder)

    assert check_parity(model, predictor, rows[1000:]) <= TOLERANCE

    found = predictor.predict(rows[1000:])
    if classes:
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
        shares = np.bincount(answer[:1000]) / 1000
        guess = np.tile(shares, (500, 1))
    else:
        guess = np.full((500, 1), answer[:1000].mean())
    rows, truth = np.arange(500), answer[1000:]
    low, _ = interval(held_out_once(rows, truth, found), held_out_once(rows, truth, guess))
    assert low > 0


@pytest.mark.parametrize("family", ["linear", "boosting"])
def test_a_skewed_quantity_is_learned_by_its_logarithm(family: str, tmp_path: Path) -> None:
    dice = np.random.default_rng(2)
    values = dice.normal(size=(900, 3))
    answer = np.exp(10 + values[:, 0] + 0.5 * values[:, 1] + dice.normal(scale=0.2, size=900))
    contract, rows = numbers(3, **TARGETS["regression"]), matrix(values)
    model = fit(family, contract, rows[:600], answer[:600], tmp_path)
    predictor = bundled(model, contract, rows, 0, tmp_path)
    assert check_parity(model, predictor, rows[600:]) <= TOLERANCE
    found = np.log(predictor.predict(rows[600:])[:, 0])
    assert np.corrcoef(found, np.log(answer[600:]))[0, 1] > 0.95
    far = predictor.predict(matrix(np.full((1, 3), 1e6)))
    assert far[0, 0] < 10 * answer.max()  # an exponential without limits would be infinite


def test_a_row_alone_gets_the_same_answer_as_among_others(tmp_path: Path) -> None:
    contract, rows, answer = problem("two classes")
    model = fit("boosting", contract, rows, answer, tmp_path)
    predictor = bundled(model, contract, rows, 2, tmp_path)
    alone = np.vstack([predictor.predict(rows[i : i + 1]) for i in range(50)])
    np.testing.assert_array_equal(alone, predictor.predict(rows)[:50])


def numbers(width: int, **target: Any) -> Contract:
    """A contract of so many numbers and a target."""
    columns = {f"x{i}": {"type": "number"} for i in range(width)}
    return Contract.model_validate({"columns": {**columns, "answer": {**target, "role": "target"}}})


def matrix(values: np.ndarray) -> EncodedFeatures:
    """Encoded rows of numbers alone."""
    return EncodedFeatures(values.astype(np.float32), np.empty((len(values), 0), dtype=object))


@pytest.mark.parametrize("family", ["linear", "forest", "svm", "tree", "boosting"])
@pytest.mark.parametrize("task", ["two classes", "regression"])
def test_thirty_rows_teach_what_is_plain(family: str, task: str, tmp_path: Path) -> None:
    """The library's own leaf sizes would leave a boosted or single tree without a split."""
    dice = np.random.default_rng(1)
    values = dice.normal(size=(230, 3))
    answer = values[:, 0] + 0.1 * values[:, 1]
    answer = (answer > 0).astype(np.int64) if task == "two classes" else 1e6 * answer
    contract, rows = numbers(3, **TARGETS[task]), matrix(values)
    model = fit(family, contract, rows[:30], answer[:30], tmp_path)
    found = predict_aligned(model, rows[30:], ["no", "yes"] if task == "two classes" else [])
    assert held_out_once(np.arange(200), answer[30:], found).score() > 0.6


def test_far_more_columns_than_rows_give_a_regularized_model_in_seconds(tmp_path: Path) -> None:
    dice = np.random.default_rng(0)
    answer = np.arange(128) % 2
    values = dice.normal(size=(128, 2500))
    values[:, :20] += answer[:, None]
    contract, rows = numbers(2500, type="category"), matrix(values)
    start = time.monotonic()
    model = fit("linear", contract, rows[:64], answer[:64], tmp_path)
    assert time.monotonic() - start < 30
    (tmp_path / "bundle").mkdir()
    predictor = bundled(model, contract, rows, 2, tmp_path / "bundle")
    check_parity(model, predictor, rows[64:])
    measured = held_out_once(np.arange(64), answer[64:], predictor.predict(rows[64:])).measure()
    assert measured["roc_auc"] > 0.75
    assert measured["log_loss"] < np.log(2)


@pytest.mark.parametrize("family", ["linear", "boosting", "forest", "tree"])
def test_classes_with_a_single_row_break_nothing(family: str, tmp_path: Path) -> None:
    """The answer of class 5, which no row has, is missing; the graph has the others' columns."""
    dice = np.random.default_rng(0)
    values = dice.normal(size=(400, 4))
    answer = np.digitize(values[:, 0], [-0.5, 0.5]).astype(np.int64)
    answer[[0, 1, 2]] = [3, 4, 6]
    contract, rows = numbers(4, type="category"), matrix(values)
    model = fit(family, contract, rows[:300], answer[:300], tmp_path)
    (tmp_path / "bundle").mkdir()
    predictor = bundled(model, contract, rows, 6, tmp_path / "bundle")
    check_parity(model, predictor, rows[300:])
    found = align(predictor.predict(rows[300:]), model.classes_.tolist(), range(7))
    assert (found[:, 5] == 0).all()
    held = held_out_once(np.arange(100), answer[300:], found)
    assert all(np.isfinite(value) for value in held.measure().values())
    assert held.measure()["accuracy"] > 0.8
    assert "svm" in unsuitable_families(contract, answer[:300])


def test_many_rare_classes_do_not_make_boosting_diverge(tmp_path: Path) -> None:
    dice = np.random.default_rng(0)
    answer = dice.zipf(1.5, 1500).clip(max=120).astype(np.int64) - 1
    values = np.column_stack([answer % 7, answer // 7, dice.normal(size=1500)])
    contract, rows = numbers(3, type="category"), matrix(values + dice.normal(0, 0.1, (1500, 3)))
    start = time.monotonic()
    model = fit("boosting", contract, rows[:1000], answer[:1000], tmp_path)
    assert time.monotonic() - start < 60
    found = predict_aligned(model, rows[1000:], [str(number) for number in range(120)])
    shares = np.bincount(answer[:1000], minlength=120) / 1000
    guess = np.tile(shares, (500, 1))
    mine, theirs = (
        held_out_once(np.arange(500), answer[1000:], each).measure() for each in (found, guess)
    )
    assert mine["accuracy"] > theirs["accuracy"] + 0.1
    assert mine["log_loss"] < theirs["log_loss"]


def test_a_rising_series_goes_on_rising(tmp_path: Path) -> None:
    """Values beyond what was seen are no outliers; values far beyond are clipped."""
    steps = np.arange(400.0)
    rows = matrix(np.column_stack([steps, np.sin(steps)]))
    answer = 3 * steps + np.sin(steps)
    model = fit("linear", numbers(2, type="number"), rows[:300], answer[:300], tmp_path)
    found = model.predict(as_frame(rows[300:]))
    assert np.abs(found - answer[300:]).max() < 5
    cleaned = RobustNumbers(scale=False).fit(steps[:, None]).transform([[700.0], [1e9]])
    assert cleaned[0, 0] == 700
    assert cleaned[1, 0] < 10_000


def test_only_a_column_with_missing_values_in_the_training_rows_gets_a_flag() -> None:
    values = np.array([[1, 5], [2, np.nan], [3, 7], [4, 8]])
    step = RobustNumbers(scale=False).fit(values)
    later = step.transform([[np.nan, np.nan], [1, 6]])
    assert later.tolist() == [[2.5, 7, 1], [1, 6, 0]]
    assert RobustNumbers().fit(values[:, :1]).transform([[np.nan]]).shape == (1, 1)


def test_few_rows_leave_out_what_needs_many() -> None:
    target = np.arange(30) % 2
    left_out = unsuitable_families(numbers(2, type="category"), target)
    assert set(left_out) == {"boosting", "neural"}
    assert "30 rows" in left_out["boosting"]
    assert unsuitable_families(numbers(2, type="number"), np.arange(5000.0)) == {}


def test_hundreds_of_codes_teach_boosting_by_their_mean_target(tmp_path: Path) -> None:
    dice = np.random.default_rng(0)
    code = dice.integers(0, 300, 6000)
    effect = dice.normal(size=300)
    answer = (effect[code] + dice.normal(scale=0.5, size=6000) > 0).astype(np.int64)
    columns = {"code": {"type": "category"}, "answer": {"type": "boolean", "role": "target"}}
    contract = Contract.model_validate({"columns": columns})
    rows = contract.encode({"code": [f"c{number}" for number in code]})
    model = fit("boosting", contract, rows[:4500], answer[:4500], tmp_path)
    predictor = bundled(model, contract, rows, 2, tmp_path)
    check_parity(model, predictor, rows[4500:])
    held = held_out_once(np.arange(1500), answer[4500:], predictor.predict(rows[4500:]))
    possible = held_out_once(
        np.arange(1500), answer[4500:], np.column_stack([-effect, effect])[code[4500:]]
    )
    assert held.score() > possible.score() - 0.03
