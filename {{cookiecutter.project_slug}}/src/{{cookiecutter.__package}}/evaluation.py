"""Evaluation: how good predictions are, and how sure one can be of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import bootstrap
from sklearn import metrics

RESAMPLES = 200
LEVEL = 0.95


def primary(n_classes: int) -> str:
    """Name of the metric that models are compared by; of all, more is better.

    Average precision for two classes, since it does not reward the common one;
    the mean F1 of the classes for many; R² for regression.
    """
    return {0: "r2", 2: "average_precision"}.get(n_classes, "f1_macro")


def score(target: np.ndarray, prediction: np.ndarray) -> float:
    """Return the primary metric.

    Parameters
    ----------
    target
        Class numbers or values, shape (n,).
    prediction
        Probabilities (n, classes) or values (n, 1).
    """
    n_classes = 0 if prediction.shape[1] == 1 else prediction.shape[1]
    if n_classes == 0:
        return float(metrics.r2_score(target, prediction[:, 0]))
    if n_classes == 2:
        return float(metrics.average_precision_score(target, prediction[:, 1]))
    return float(metrics.f1_score(target, prediction.argmax(axis=1), average="macro"))


def measure(target: np.ndarray, prediction: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """All metrics of some predictions.

    Parameters
    ----------
    labels
        Class numbers that the predictions stand for, shape (n,); unused for regression.
    """
    n_classes = 0 if prediction.shape[1] == 1 else prediction.shape[1]
    if n_classes == 0:
        values = prediction[:, 0]
        return {
            "r2": metrics.r2_score(target, values),
            "rmse": metrics.root_mean_squared_error(target, values),
            "mae": metrics.mean_absolute_error(target, values),
        }
    common = {
        "accuracy": metrics.accuracy_score(target, labels),
        "log_loss": metrics.log_loss(target, prediction, labels=range(n_classes)),
    }
    if n_classes == 2:
        positive = prediction[:, 1]
        return {
            "average_precision": metrics.average_precision_score(target, positive),
            "roc_auc": metrics.roc_auc_score(target, positive),
            "brier": metrics.brier_score_loss(target, positive),
            "precision": metrics.precision_score(target, labels, zero_division=0),
            "recall": metrics.recall_score(target, labels, zero_division=0),
            **common,
        }
    return {"f1_macro": metrics.f1_score(target, labels, average="macro"), **common}


def best_threshold(target: np.ndarray, positive: np.ndarray) -> float:
    """Probability from which to answer the second of two classes: the best F1 on these rows."""
    precision, recall, thresholds = metrics.precision_recall_curve(target, positive)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return float(thresholds[f1[:-1].argmax()])


def interval(
    target: np.ndarray, prediction: np.ndarray, other: np.ndarray | None = None, seed: int = 0
) -> tuple[float, float]:
    """95 % bootstrap interval of the primary metric, over the rows.

    With a second prediction of the same rows, the interval of how much the first
    one's metric is above the second one's.
    """

    def statistic(rows: np.ndarray) -> float:
        value = score(target[rows], prediction[rows])
        return value if other is None else value - score(target[rows], other[rows])

    return resample(statistic, len(target), seed)


def resample(statistic: Callable[[np.ndarray], float], n: int, seed: int) -> tuple[float, float]:
    """Percentile bootstrap of a statistic of row numbers."""
    result = bootstrap(
        (np.arange(n),),
        statistic,
        n_resamples=RESAMPLES,
        confidence_level=LEVEL,
        method="percentile",
        vectorized=False,
        rng=np.random.default_rng(seed),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)
