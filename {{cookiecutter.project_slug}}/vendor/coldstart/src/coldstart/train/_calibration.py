"""Calibration: mean predicted probabilities beside observed frequencies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from coldstart.train._evaluation import (
    BINS,
    HeldOutPredictions,
    confidence_and_outcome,
)
from coldstart.train._intervals import LEVEL, mean_interval

MIN_ROWS = 10  # of a bin


@dataclass(frozen=True)
class Bin:
    """Test rows with similar predicted probabilities, or values.

    Parameters
    ----------
    rows : int
        Number of rows.
    predicted : float
        Mean predicted probability, or mean predicted value.
    observed : float
        Observed frequency, or mean value.
    interval : tuple of two floats
        95% confidence interval of the observed frequency.
    """

    rows: int
    predicted: float
    observed: float
    interval: tuple[float, float]


def calibration(test: HeldOutPredictions) -> list[Bin]:
    """Return bins of equally many rows, in the order of the predicted probability.

    The probability is that of the second of two classes, or of the most probable of more; for
    regression it is the predicted value. If rows were predicted several times, it is the mean.
    """
    predicted, observed = confidence_and_outcome(test.target, test.prediction.mean(axis=0))
    order = np.argsort(predicted, kind="stable")
    bins = np.array_split(order, max(1, min(BINS, len(order) // MIN_ROWS)))
    return [
        Bin(
            len(rows),
            float(predicted[rows].mean()),
            *mean_of(observed[rows], None if test.groups is None else test.groups[rows]),
        )
        for rows in bins
    ]


def mean_of(
    values: np.ndarray, groups: np.ndarray | None = None
) -> tuple[float, tuple[float, float]]:
    """Return a mean and its 95% confidence interval: Wilson's for a share of rows."""
    if values.dtype == bool and groups is None:
        share = binomtest(int(values.sum()), len(values)).proportion_ci(LEVEL, method="wilson")
        return float(values.mean()), (float(share.low), float(share.high))
    return float(values.mean()), mean_interval(values, groups)
