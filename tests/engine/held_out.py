"""Predictions that a test makes, in the form that is evaluated."""

from __future__ import annotations

from typing import Any

import numpy as np

from coldstart.bundle._predictor import to_labels
from coldstart.train._evaluation import HeldOutPredictions


def held_out_once(
    rows: np.ndarray,
    target: np.ndarray,
    prediction: np.ndarray,
    groups: np.ndarray | None = None,
    metric: str = "",
    sample_weight: np.ndarray | None = None,
    **how: Any,
) -> HeldOutPredictions:
    """Return predictions of rows that were predicted once: (n, classes), or (n, 1) for values."""
    labels = to_labels(prediction, **how)
    return HeldOutPredictions(
        rows, target, prediction[None], labels[None], groups, metric, sample_weight
    )
