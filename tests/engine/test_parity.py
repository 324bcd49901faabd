"""What skl2onnx converts silently wrong is caught, and no bundle is made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from bird_strikes.features import preprocess
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
