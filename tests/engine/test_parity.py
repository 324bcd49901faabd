"""What skl2onnx converts silently wrong is caught, and no bundle is made of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from bird_strikes.features import preprocess
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer, StandardScaler

from coldstart.bundle._bundle import CONTRACT, MODEL, Manifest, write_checksums
from coldstart.bundle._predictor import BundlePredictor
from coldstart.contract._contract import Contract, EncodedFeatures
from coldstart.errors import UserError
from coldstart.export._onnx import check_parity, to_onnx
from coldstart.train._features import FrequentCategories, as_frame
from coldstart.train._fitting import predict

CONTRACT_OF_FOUR = Contract.model_validate(
    {
        "columns": {
            "a": {"type": "number"},
            "b": {"type": "number"},
            "shop": {"type": "category"},
            "answer": {"type": "boolean", "role": "target"},
        }
    }
)


def fitted(
    step: Any, folder: Path, threshold: float = 0.5
) -> tuple[Any, BundlePredictor, EncodedFeatures]:
    """Boosting behind a step, its bundle, and 3000 rows."""
    dice = np.random.default_rng(0)
    numbers = (dice.normal(size=(3000, 2)) * [1, 1e4]).astype(np.float32)
    numbers[dice.random(numbers.shape) < 0.1] = np.nan
    shops = dice.choice(list("abcdefgh"), (3000, 1)).astype(object)
    answer = np.nan_to_num(numbers[:, 0]) + (shops[:, 0] == "a") + dice.normal(size=3000) > 0.3
    rows = EncodedFeatures(numbers, shops)
    features = preprocess(CONTRACT_OF_FOUR, step, FrequentCategories())
    model = make_pipeline(features, HistGradientBoostingClassifier(random_state=0))
    model.fit(as_frame(rows), answer.astype(int))
    onnx.save(to_onnx(model, rows), folder / MODEL)
    (folder / CONTRACT).write_text(CONTRACT_OF_FOUR.model_dump_json())
    classes = ["false", "true"]
    write_checksums(
        folder, Manifest(family="any", target="answer", classes=classes, threshold=threshold)
    )
    return model, BundlePredictor(folder), rows


@pytest.mark.parametrize("step", [StandardScaler(), PowerTransformer()], ids=lambda s: repr(s))
def test_a_silently_wrong_conversion_is_refused_with_the_rows(step: Any, tmp_path: Path) -> None:
    model, predictor, rows = fitted(step, tmp_path)
    with pytest.raises(UserError, match=r"disagrees .* another:\n  row \d+: \[.*\] became \["):
        check_parity(model, predictor, rows)


def test_a_faithful_conversion_is_accepted(tmp_path: Path) -> None:
    model, predictor, rows = fitted("passthrough", tmp_path)
    assert check_parity(model, predictor, rows) < 1e-6


def test_a_label_may_flip_at_a_tie_alone(tmp_path: Path) -> None:
    model, predictor, rows = fitted("passthrough", tmp_path)
    # The threshold is one row's own probability, where float32 and float64 may disagree.
    threshold = float(predict(model, rows)[0, 1])
    model, predictor, rows = fitted("passthrough", tmp_path, threshold)
    assert check_parity(model, predictor, rows) < 1e-6


def test_a_difference_in_hostile_rows_alone_is_enough(tmp_path: Path) -> None:
    model, predictor, rows = fitted("passthrough", tmp_path)
    predict_well = predictor.predict

    def predict_badly(given: EncodedFeatures) -> np.ndarray:
        missing = np.isnan(given.numbers).all(axis=1, keepdims=True)
        return np.where(missing, 0.5, predict_well(given))

    predictor.predict = predict_badly  # type: ignore[method-assign]
    known = EncodedFeatures(np.nan_to_num(rows.numbers[:100]), rows.strings[:100])
    with pytest.raises(UserError, match="an adversarial row"):
        check_parity(model, predictor, known)


def test_one_row_whose_prediction_is_not_a_number_is_enough(tmp_path: Path) -> None:
    model, predictor, rows = fitted("passthrough", tmp_path)
    predict_well = predictor.predict
    row = int(np.argmin(predict(model, rows)[:, 1]))  # its label would stay the same

    def predict_badly(given: EncodedFeatures) -> np.ndarray:
        found = predict_well(given).copy()
        found[row] = np.nan
        return found

    predictor.predict = predict_badly  # type: ignore[method-assign]
    with pytest.raises(UserError, match=rf"1 of \d+ rows.*\n  row {row}: .* became \[nan, nan\]"):
        check_parity(model, predictor, rows)


class Listed(BaseEstimator):  # type: ignore[misc]
    """A fitted model that predicts what is listed for a number, and the same for all others."""

    def __init__(self, rows: dict[int, list[float]], other: list[float], classes: int) -> None:
        self.rows, self.other, self.classes = rows, other, classes
        self.is_fitted_ = True
        if classes:
            self.classes_ = np.arange(classes)

    def predict(self, frame: Any) -> np.ndarray:
        numbers = np.asarray(frame)[:, 0].astype(float)
        return np.array([self.rows.get(number, self.other) for number in numbers])

    predict_proba = predict

    def fit(self, frame: Any, target: Any) -> Listed:
        return self


@pytest.fixture
def check(
    numeric: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[float, str]]:
    """`check({row: (expected, found)}, other)`: the largest difference, and what was printed.

    Of 2,000 rows, those that are not listed are the same, `other`. Keywords are of the manifest.
    """
    folder = numeric(tmp_path / "bundle", 1.0)

    def run(
        listed: dict[int, tuple[list[float], list[float]]],
        other: tuple[float, ...] = (1, 0),
        hostile: list[float] | None = None,
        rows: int = 2000,
        **manifest: Any,
    ) -> tuple[float, str]:
        predictor = BundlePredictor(folder)
        classes = len(other) if len(other) > 1 else 0
        names = [f"c{number}" for number in range(classes)]
        predictor.manifest = Manifest(family="any", target="price", classes=names, **manifest)
        model = Listed({row: one for row, (one, _) in listed.items()}, list(other), classes)
        there = {row: one for row, (_, one) in listed.items()}
        graph = Listed(there | ({-1: hostile} if hostile else {}), list(other), classes)
        predictor.predict = lambda given: graph.predict(given.numbers)  # type: ignore[method-assign]
        numbers = np.arange(rows, dtype=np.float32)[:, None]
        features = EncodedFeatures(numbers, np.empty((rows, 0), object))
        found = check_parity(make_pipeline(model), predictor, features)
        return found, capsys.readouterr().out

    return run


def test_a_row_in_a_thousand_may_differ_some_if_no_label_does_and_the_largest_is_told(
    check: Callable[..., tuple[float, str]],
) -> None:
    found, printed = check({7: ([1, 0], [0.99, 0.01]), 3: ([1, 0], [1, 0.05])})
    assert found == 0.05
    assert printed == (
        "warning: the exported graph differs from the fitted model in 2 of 2000 rows by more than "
        "0.0001, at most by 0.05 (row 3); no label changes\n"
    )
    assert "in 1 of 1000 rows" in check({2: ([1, 0], [1, 0.01])}, rows=1000)[1]
    with pytest.raises(UserError, match="in 1 of"):
        check({2: ([1, 0], [1, 0.01])}, rows=999)
    with pytest.raises(UserError, match="in 1 of"):
        check({3: ([1, 0], [1, 0.0501])})


def test_what_is_equal_to_the_tolerance_is_neither_wrong_nor_told(
    check: Callable[..., tuple[float, str]],
) -> None:
    assert check({row: ([1, 0], [1, 1e-4]) for row in range(1, 2000)}) == (1e-4, "")
    with pytest.raises(UserError, match="in 1999 of"):
        check({row: ([1, 0], [1, 1.5e-4]) for row in range(1, 2000)})


def test_of_rows_that_differ_five_are_shown(check: Callable[..., tuple[float, str]]) -> None:
    wrong = {row: ([0.98765432, 0.0], [0.12345678, 0.5]) for row in range(1, 8)}
    with pytest.raises(UserError) as refused:
        check(wrong)
    lines = str(refused.value).splitlines()[1:]
    expected = "  row {}: [0.987654, 0.0] became [0.123457, 0.5]"
    assert lines == [expected.format(row) for row in range(1, 6)]


def test_a_small_difference_is_tolerated_in_real_rows_alone(
    check: Callable[..., tuple[float, str]],
) -> None:
    with pytest.raises(UserError, match=r"  row 2\d\d\d: .* \(an adversarial row\)$"):
        check({}, hostile=[1, 0.01])


@pytest.mark.parametrize(
    ("manifest", "expected", "found", "faithful"),
    [
        ({"threshold": 0.5}, [0.5, 0.50005], [0.5, 0.49998], True),
        ({"threshold": 0.5}, [0.5, 0.50015], [0.5, 0.4999], False),
        # Of weighted probabilities, two that are as near as both may differ by are a tie.
        ({"weights": [1, 4]}, [0.80008, 0.19992], [0.79999, 0.20001], True),
        ({"weights": [1, 4]}, [0.8002, 0.1998], [0.7999, 0.2001], False),
        ({}, [0.50009, 0.49991], [0.49999, 0.50001], True),
        ({}, [0.50015, 0.49985], [0.49995, 0.50005], False),
        # Of three the two that are largest count.
        ({}, [0.1, 0.45009, 0.44991], [0.1, 0.44999, 0.45001], True),
        ({}, [0.44985, 0.1, 0.45015], [0.45005, 0.1, 0.44995], False),
    ],
)
def test_where_a_label_changes_a_row_is_wrong_unless_it_was_a_tie(
    check: Callable[..., tuple[float, str]],
    manifest: dict[str, Any],
    expected: list[float],
    found: list[float],
    faithful: bool,
) -> None:
    other = (1, *[0] * (len(expected) - 1))
    if faithful:
        assert check({5: (expected, found)}, other, **manifest)[0] <= 1.001e-4
        return
    with pytest.raises(UserError, match=r"in 1 of .*\n  row 5: "):
        check({5: (expected, found)}, other, **manifest)


def test_a_number_may_differ_by_a_share_of_how_much_the_predictions_vary(
    check: Callable[..., tuple[float, str]],
) -> None:
    half = {row: ([1000.0], [1000.0]) for row in range(1, 1000)}  # others are 0: 500 on average
    assert check(half | {1500: ([0.0], [0.04])}, (0,))[0] == pytest.approx(8e-5, rel=0.01)
    found, printed = check(half | {1500: ([0.0], [20.0])}, (0,))
    assert found == pytest.approx(0.04, rel=0.01)
    assert "at most by 0.04 (row 1500)" in printed
    with pytest.raises(UserError, match=r"  row 1500: \[0.0\] became \[30.0\]"):
        check(half | {1500: ([0.0], [30.0])}, (0,))
    # What it predicts of extremes is no measure of that.
    far = {-1: ([-1e9], [-1e9])}
    with pytest.raises(UserError, match="became"):
        check(half | far | {1500: ([0.0], [30.0])}, (0,))
