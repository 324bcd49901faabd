"""Confidence intervals of the primary metric, by rows, groups or blocks of time.

The jackknife leaves out one unit after another: a row, all rows of a group, or a block of time.
How much the metric varies gives its standard error.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import t as students_t

from coldstart.train._evaluation import HeldOutPredictions

LEVEL = 0.95
MAX_UNITS = 200  # left out one after another; of more units, some are left out together


def interval(
    held: HeldOutPredictions,
    other: HeldOutPredictions | None = None,
    seed: int = 0,
    prevalence: float | None = None,
    level: float = LEVEL,
) -> tuple[float, float]:
    """Return the confidence interval of the primary metric, over the tested units.

    With predictions of the same rows by another model, the interval is that of the difference: the
    first model's metric less the other one's.

    Parameters
    ----------
    held : HeldOutPredictions
        Predictions of n rows. If it has groups, all rows of a group are left out together.
    other : HeldOutPredictions, optional
        Predictions of the same rows, in the same order, by another model.
    seed : int, default=0
        Seed by which units are put together, if there are more than `MAX_UNITS`.
    prevalence : float, optional
        Share of the second of two classes that the metric is computed for, by weighting the rows.
        By default the share that these rows have.
    level : float, default=0.95
        Confidence level.

    Returns
    -------
    tuple of two floats
        Lower and upper end.

    Notes
    -----
    A jackknife with a quantile of Student's t (see `degrees_of_freedom`), on the logit scale for
    shares such as average precision and F1, on that of -log(1 - R²) for R², of the logarithm for
    errors, and unchanged for a difference. It
    covers the choice of the tested units, not that of the training rows. Measured coverage:
    docs/explanation/evaluation.md.

    References
    ----------
    Efron, "The Jackknife, the Bootstrap and Other Resampling Plans", 1982. For groups: MacKinnon,
    Nielsen and Webb, "Fast and reliable jackknife and bootstrap methods for cluster-robust
    inference", Journal of Applied Econometrics 38(5), 2023.
    """
    weights = leave_out(units_of(held), seed)
    left_out = held.weighted_scores(weights, prevalence)
    value, scale = left_out[0], str(held.scorer.scale)
    if other is not None:
        left_out = left_out - other.weighted_scores(weights, prevalence)
        value, scale = left_out[0], "plain"
    return from_left_out(value, left_out[1:], scale, held.groups is not None, level)


def mean_interval(
    values: np.ndarray, groups: np.ndarray | None = None, scale: str = ""
) -> tuple[float, float]:
    """Return the 95% confidence interval of a mean, by group if there are groups."""
    units = np.arange(len(values)) if groups is None else groups
    weights = leave_out(units, seed=0)
    means = weights @ values.astype(np.float64) / weights.sum(axis=1)  # of truth values: or, not +
    scale = scale or ("bounded" if values.dtype == bool else "plain")
    return from_left_out(means[0], means[1:], scale, groups is not None)


def units_of(held: HeldOutPredictions) -> np.ndarray:
    """Return the unit of each row: its group, or the row itself."""
    return np.arange(len(held.target)) if held.groups is None else held.groups


def leave_out(units: np.ndarray, seed: int) -> np.ndarray:
    """Return which rows are there, with all units and without each: shape (units + 1, n)."""
    number = np.unique(units, return_inverse=True)[1]
    count = int(number.max(initial=-1)) + 1
    if count > MAX_UNITS:
        number = np.random.default_rng(seed).permutation(count)[number] % MAX_UNITS
        count = MAX_UNITS
    kept: np.ndarray = np.arange(-1, count)[:, None] != number
    return kept


def from_left_out(
    value: float, left_out: np.ndarray, scale: str, grouped: bool, level: float = LEVEL
) -> tuple[float, float]:
    """Return the interval of a value, from those without each unit."""
    count = len(left_out)
    if count < 2:
        return float(value), float(value)
    error = np.sqrt((count - 1) / count * np.sum((left_out - left_out.mean()) ** 2))
    # Where rows are units, one for each but one measured nearer to 95% for the other scores.
    few = grouped or scale in ("explained", "error")
    freedom = degrees_of_freedom(left_out) if few else count - 1
    quantile = students_t.ppf((1 + level) / 2, freedom)
    reach = quantile * error * np.array([-1.0, 1.0])
    if scale == "bounded":
        if 1e-9 < value < 1 - 1e-9:
            odds = np.log(value / (1 - value)) + reach / (value * (1 - value))
            low, high = 1 / (1 + np.exp(-np.clip(odds, -700, 700)))
        else:
            low, high = np.clip(value + reach, 0, 1)
    elif scale == "explained" and value < 1 - 1e-9:
        low, high = 1 - (1 - value) * np.exp(-np.clip(reach / (1 - value), -700, 700))
    elif scale == "error" and value < -1e-12:
        low, high = value * np.exp(np.clip(reach / value, -700, 700))
    else:
        low, high = value + reach
    return float(low), float(high)


def degrees_of_freedom(left_out: np.ndarray) -> float:
    """Return how many degrees of freedom the standard error has.

    There is one for each unit but one, if all matter alike. A few large or odd units decide the
    error if the values without each have a high kurtosis; then it is as uncertain as one of fewer.

    References
    ----------
    O'Neill, "Some Useful Moment Results in Sampling Problems", The American Statistician 68(4),
    2014.
    """
    count, squares = len(left_out), (left_out - left_out.mean()) ** 2
    if not squares.any():
        return count - 1
    kurtosis = np.mean(squares**2) / np.mean(squares) ** 2
    return float(np.clip(2 * count / (kurtosis - (count - 3) / (count - 1)), 1, count - 1))
