"""The smoke test of a new version: a prediction that must match the bundle's."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from coldstart.bundle._bundle import REFERENCE
from coldstart.bundle._predictor import TOLERANCE, BundlePredictor, prediction_scale
from coldstart.errors import UserError
from coldstart.images._building import CHAMPION
from coldstart.serve._live_model import reference_rows


def check_prediction(version: str, post: Callable[[str], tuple[int, str]], needs_key: bool) -> None:
    """Request a prediction for the contract's example, and compare it with the bundle's.

    `post` posts a body to the version's `/predict`, and returns status and body of the response. A
    version that needs a key may refuse: only hashes of keys are known here. It has predicted a row
    before it was ready.

    Raises
    ------
    UserError
        If it returns no prediction, or another one.
    """
    predictor = BundlePredictor(CHAMPION)
    row = predictor.contract.example()
    code, body = post(json.dumps({"rows": [row]}))
    if code == 401 and needs_key:
        return
    if code != 200:
        raise UserError(f"version {version} does not predict the example: {code} {body[:200]}")
    kinds = {name: column.request_type() for name, column in predictor.contract.features.items()}
    typed = {
        name: TypeAdapter(kinds[name]).validate_json(json.dumps(row[name]))  # as a request is read
        for name in row
    }
    (expected,) = predictor.score([typed])
    # After a rollback the champion here is another model.
    if predictor.number == version and not matches(body, numbers(expected), tolerance(predictor)):
        raise UserError(f"version {version} predicts otherwise than its bundle: {body[:200]}")


def tolerance(predictor: BundlePredictor) -> float:
    """Return by how much a prediction may differ: of numbers, a share of the usual spread.

    The last digits may differ: rows of several requests are predicted together, and on another
    processor. Where the bundle has no recorded predictions, a share of the prediction itself is
    allowed alone.
    """
    if predictor.manifest.classes:
        return TOLERANCE
    if not (predictor.folder / REFERENCE).is_file():
        return 0.0
    recorded = np.array([prediction for _, prediction in reference_rows(predictor)])
    return TOLERANCE * prediction_scale(recorded)


def matches(body: str, expected: list[float], allowed: float) -> bool:
    """Return whether a response holds one prediction, with the expected numbers."""
    try:
        (prediction,) = json.loads(body)["predictions"]
        return all(
            math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=allowed)
            for one, other in zip(numbers(prediction), expected, strict=True)
        )
    except (ValueError, KeyError, TypeError):
        return False


def numbers(prediction: dict[str, Any]) -> list[float]:
    """Return the computed numbers of a prediction."""
    if "value" in prediction:
        return [prediction["value"]]
    return [*prediction["probabilities"].values()]
