"""The question that a new version must answer before it takes over."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

from pydantic import TypeAdapter

from coldstart.bundle._predictor import TOLERANCE, BundlePredictor
from coldstart.errors import UserError
from coldstart.images._building import CHAMPION


def check(version: str, post: Callable[[str], tuple[int, str]], asks_for_key: bool) -> None:
    """Let a version answer the contract's example, and compare its answer with the bundle's.

    Parameters
    ----------
    post
        Posts a body to its `/predict`, and returns the status and the answer.
    asks_for_key
        It may refuse: the key is not known here, only its hash. It has scored a row to be ready.

    Raises
    ------
    UserError
        If it gives no answer, or another.
    """
    predictor = BundlePredictor(CHAMPION)
    row = predictor.contract.example()
    code, said = post(json.dumps({"rows": [row]}))
    if code == 401 and asks_for_key:
        return
    if code != 200:
        raise UserError(f"version {version} does not answer the example: {code} {said[:200]}")
    kinds = {name: column.request_type() for name, column in predictor.contract.features.items()}
    typed = {
        name: TypeAdapter(kinds[name]).validate_json(json.dumps(row[name]))  # as a request is read
        for name in row
    }
    (expected,) = predictor.score([typed])
    # After a rollback the champion here is another model.
    if predictor.number == version and not agrees(said, numbers(expected)):
        raise UserError(f"version {version} answers otherwise than its bundle: {said[:200]}")


def agrees(said: str, expected: list[float]) -> bool:
    """Whether an answer holds one prediction, of these numbers.

    Their last digits may differ: rows of several requests are scored together, and on another
    processor.
    """
    try:
        (answer,) = json.loads(said)["predictions"]
        return all(
            math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
            for one, other in zip(numbers(answer), expected, strict=True)
        )
    except (ValueError, KeyError, TypeError):
        return False


def numbers(answer: dict[str, Any]) -> list[float]:
    """What was computed, without what follows from it."""
    return [answer["value"]] if "value" in answer else [*answer["probabilities"].values()]
