"""Calibration: mean predicted probabilities beside observed frequencies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from coldstart.train._evaluation import (
    BINS,
    LEVEL,
    HeldOutPredictions,
    confidence_and_outcome,
    resample,
)

LEAST_ROWS = 10  # of a bin


@dataclass(frozen=True)
class Bin:
    """Test rows of which something similar was said.

    Attributes
    ----------
    rows
        How many they are.
    said
        Mean probability, or value, that was predicted.
    true
        Observed frequency, or mean value; and its 95% `interval`.
    """

    rows: int
    said: float
    true: float
    interval: tuple[float, float]


def calibration(held: HeldOutPredictions) -> list[Bin]:
    """Bins of equally many rows, in the order of what was said.

    Of two classes the probability of the second, of many that of the likeliest, else the value;
    where rows were predicted several times, the mean of it.
    """
    said, true = confidence_and_outcome(held.target, held.prediction.mean(axis=0))
    order = np.argsort(said, kind="stable")
    bins = np.array_split(order, max(1, min(BINS, len(order) // LEAST_ROWS)))
    return [Bin(len(rows), float(said[rows].mean()), *mean_of(true[rows])) for rows in bins]


def mean_of(values: np.ndarray) -> tuple[float, tuple[float, float]]:
    """Return a mean and its 95% confidence interval: Wilson's for a share, else a bootstrap."""
    if values.dtype == bool:
        share = binomtest(int(values.sum()), len(values)).proportion_ci(LEVEL, method="wilson")
        return float(values.mean()), (float(share.low), float(share.high))
    between = resample(lambda rows: float(values[rows].mean()), len(values), seed=0)
    return float(values.mean()), between
