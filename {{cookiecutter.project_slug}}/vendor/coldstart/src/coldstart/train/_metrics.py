"""Metrics that models can be chosen by, for several weightings of the rows at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class Metric:
    """A metric that models can be chosen by. A higher value is better.

    Parameters
    ----------
    compute : callable
        Function of the target (n,), the prediction (n, classes) or (n, 1), the labels (n,) and
        the weights (k, n), to the k values of the metric.
    scale : {"bounded", "explained", "error"}
        How far it goes: from 0 to 1, below 1 as R², or below 0 as an error with a minus.
    uses_labels : bool, default=False
        Whether it depends on the labels, and so on the decision threshold.
    """

    compute: Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]
    scale: Literal["bounded", "explained", "error"]
    uses_labels: bool = False

    @property
    def best(self) -> float:
        """The value of a perfect model."""
        return 0.0 if self.scale == "error" else 1.0

    def value(
        self,
        target: np.ndarray,
        prediction: np.ndarray,
        labels: np.ndarray,
        weight: np.ndarray | None = None,
    ) -> float:
        """Return the metric by one weight of each row, by default all the same."""
        rows = np.ones((1, len(target))) if weight is None else weight[None]
        return float(self.compute(target, prediction, labels, rows)[0])


def average_precision(
    target: np.ndarray, prediction: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Return the average precision of the second class; 0 without a row of it."""
    predicted, found = ranked(target == 1, prediction[:, 1], weights)
    with np.errstate(all="ignore"):
        precision = np.where(predicted > 0, found / predicted, 0)
        area = np.sum(np.diff(found, axis=1, prepend=0) * precision, axis=1) / found[:, -1]
    return np.where(found[:, -1] > 0, area, 0.0)


def roc_auc(
    target: np.ndarray, prediction: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Return the area under the ROC curve, for more than two classes the mean of each one's.

    Each class is compared with all others. Classes that all rows have, or none, are left out.
    """
    numbers = range(1, 2) if prediction.shape[1] == 2 else range(prediction.shape[1])
    areas = [area_of(target == one, prediction[:, one], weights) for one in numbers]
    there = ~np.isnan(areas)
    total = np.nansum(areas, axis=0)
    count = there.sum(axis=0)
    mean_area: np.ndarray = np.where(count > 0, total / np.maximum(count, 1), 0.5)
    return mean_area


def area_of(true: np.ndarray, score: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the area under the ROC curve of one class; NaN if all rows have it, or none."""
    predicted, found = ranked(true, score, weights)
    wrong = predicted - found
    with np.errstate(all="ignore"):
        # Equal scores count as half: the trapezoid rule.
        heights = (found + np.pad(found, ((0, 0), (1, 0)))[:, :-1]) / 2
        area = np.sum(np.diff(wrong, axis=1, prepend=0) * heights, axis=1)
        share: np.ndarray = area / (found[:, -1] * wrong[:, -1])
    return share


def ranked(
    true: np.ndarray, score: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the weight of all rows and of the true ones, from the highest score to each lower one.

    Returns
    -------
    tuple of two arrays of shape (k, m)
        For each row of weights, and each of the m different scores.
    """
    order = np.argsort(-score, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(order) - 1)
    some = weights[:, order]
    predicted = np.cumsum(some, axis=1)[:, ends]
    found = np.cumsum(some * true[order], axis=1)[:, ends]
    return predicted, found


def f1(
    target: np.ndarray, prediction: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Return the F1 of the second class; 0 without a row of it."""
    return f1_by_class(target, labels, np.array([1]), weights)[0][:, 0]


def f1_macro(
    target: np.ndarray, prediction: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Return the mean F1 of the classes, of those that occur."""
    each, occurs = f1_by_class(target, labels, np.union1d(target, labels), weights)
    means: np.ndarray = each.sum(axis=1) / np.maximum(occurs.sum(axis=1), 1)
    return means


def f1_by_class(
    target: np.ndarray, labels: np.ndarray, classes: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the F1 of each class, and whether it occurs: two arrays (k, classes)."""
    true, predicted = target[:, None] == classes, labels[:, None] == classes
    hits = weights @ (true & predicted)
    both = weights @ (true.astype(np.float64) + predicted)
    return np.divide(2 * hits, both, out=np.zeros_like(hits), where=both > 0), both > 0


def accuracy(
    target: np.ndarray, prediction: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Return the share of rows whose label is correct."""
    return mean(target == labels, weights)


def balanced_accuracy(
    target: np.ndarray, prediction: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Return the mean recall of the classes that occur."""
    true = target[:, None] == np.unique(target)
    there = weights @ true
    hits = weights @ (true & (target == labels)[:, None])
    recall = np.divide(hits, there, out=np.zeros_like(hits), where=there > 0)
    means: np.ndarray = recall.sum(axis=1) / np.maximum((there > 0).sum(axis=1), 1)
    return means


def neg_log_loss(
    target: np.ndarray, prediction: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Return minus the log loss, with probabilities of at least 1e-7."""
    own = np.take_along_axis(prediction, target[:, None], axis=1)[:, 0]
    return mean(np.log(np.clip(own, 1e-7, 1)), weights)


def r2(
    target: np.ndarray, prediction: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Return R²; 0 where the target does not vary."""
    centered = target - target.mean()
    sums = weights @ np.stack(
        [np.ones(len(target)), centered, centered**2, (target - prediction[:, 0]) ** 2], axis=1
    )
    count, total, squares, residual = sums.T
    spread = squares - total**2 / count
    flat = spread <= 1e-12 * np.maximum(squares, 1e-300)
    with np.errstate(all="ignore"):
        return np.where(flat, np.where(residual > 0, 0.0, 1.0), 1 - residual / spread)


def neg_mean_absolute_error(
    target: np.ndarray, prediction: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Return minus the mean absolute error."""
    return -mean(np.abs(target - prediction[:, 0]), weights)


def neg_root_mean_squared_error(
    target: np.ndarray, prediction: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Return minus the root of the mean squared error."""
    squares = mean((target - prediction[:, 0]) ** 2, weights)
    return -(squares**0.5)


def mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the mean of values by each row of weights."""
    means: np.ndarray = weights @ values / weights.sum(axis=1)
    return means


TITLES = {
    "average_precision": "AP",
    "roc_auc": "AUC",
    "f1_macro": "macro F1",
    "f1": "F1",
    "r2": "R²",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "neg_log_loss": "-log loss",
    "neg_root_mean_squared_error": "-RMSE",
    "neg_mean_absolute_error": "-MAE",
    "rmse": "RMSE",
    "mae": "MAE",
    "brier": "Brier",
    "calibration_error": "ECE",
}
"""Of metrics, in tables and sentences."""

METRICS = {
    "average_precision": Metric(average_precision, "bounded"),
    "roc_auc": Metric(roc_auc, "bounded"),
    "f1": Metric(f1, "bounded", uses_labels=True),
    "f1_macro": Metric(f1_macro, "bounded", uses_labels=True),
    "accuracy": Metric(accuracy, "bounded", uses_labels=True),
    "balanced_accuracy": Metric(balanced_accuracy, "bounded", uses_labels=True),
    "neg_log_loss": Metric(neg_log_loss, "error"),
    "r2": Metric(r2, "explained"),
    "neg_mean_absolute_error": Metric(neg_mean_absolute_error, "error"),
    "neg_root_mean_squared_error": Metric(neg_root_mean_squared_error, "error"),
}
"""By their names, those of scikit-learn's scorers."""


def default_metric(n_classes: int) -> str:
    """Return the metric of predictions that say none: they were not made of a dataset."""
    return {0: "r2", 2: "average_precision"}.get(n_classes, "f1_macro")
