"""The decision: from probabilities to a label, by a threshold or by weights of the classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix_at_thresholds

from coldstart.bundle._predictor import to_labels
from coldstart.data._objective import Objective
from coldstart.train._metrics import METRICS, TITLES


def tune_decision(
    target: np.ndarray,
    prediction: np.ndarray,
    objective: Objective,
    weight: np.ndarray | None = None,
) -> dict[str, Any]:
    """Return the threshold or the weights that are best on these rows.

    Parameters
    ----------
    target : ndarray of shape (n,)
        Class indices, or values.
    prediction : ndarray of shape (n, classes) or (n, 1)
        Probabilities, or values.
    objective : Objective
        What is best: the primary metric, if it depends on the labels, else F1; or what its
        `decision` says.
    weight : ndarray of shape (n,), optional
        Weight of each row.

    Returns
    -------
    dict
        `threshold` of the second of two classes, or `weights` of more; see `to_labels`. Empty for
        regression.
    """
    n_classes = prediction.shape[1]
    if n_classes == 1:
        return {}
    if n_classes == 2:
        return {"threshold": tune_threshold(target, prediction[:, 1], objective, weight)}
    # Classes never seen here count as half a row.
    counts = np.bincount(target, weight, minlength=n_classes) / (
        1 if weight is None else weight.mean()
    )
    shares = np.maximum(counts, 0.5) / len(target)
    candidates = [(shares**-power) / (shares**-power).min() for power in (0.0, 0.5, 1.0)]
    metric = METRICS[maximized(objective, "f1_macro")]
    scores = [
        metric.value(target, prediction, to_labels(prediction, None, some), weight)
        for some in candidates
    ]
    return {"weights": candidates[int(np.argmax(scores))].tolist()}


def tune_threshold(
    target: np.ndarray,
    positive: np.ndarray,
    objective: Objective,
    weight: np.ndarray | None = None,
) -> float:
    """Return the probability from which the second of two classes is best predicted.

    Of equally good ones the lowest is taken; to reach a recall, the highest. Half, if there are no
    rows of one class.
    """
    if len(np.unique(target)) < 2:
        return 0.5
    true_negative, false_positive, false_negative, true_positive, thresholds = (
        values[::-1]
        for values in confusion_matrix_at_thresholds(target, positive, sample_weight=weight)
    )
    rule = objective.decision
    recall = true_positive / (true_positive + false_negative)
    if rule.min_recall is not None:
        return float(thresholds[recall >= rule.min_recall - 1e-12].max())
    if rule.has_costs:
        # Where no row is worth an alarm, the threshold is above all of them.
        thresholds = np.append(thresholds, np.nextafter(np.float32(positive.max()), np.float32(2)))
        false_positive, false_negative = (
            np.append(false_positive, 0.0),
            np.append(false_negative, false_negative[0] + true_positive[0]),
        )
        costs = (
            rule.false_positive_cost * false_positive + rule.false_negative_cost * false_negative
        )
        return float(thresholds[costs.argmin()])
    metric = maximized(objective, "f1")
    if metric == "accuracy":
        value = true_positive + true_negative
    elif metric == "balanced_accuracy":
        value = recall + true_negative / (true_negative + false_positive)
    else:
        value = f1(true_positive, false_positive, false_negative)
        if metric == "f1_macro":
            value = value + f1(true_negative, false_negative, false_positive)
    return float(thresholds[value.argmax()])


def f1(found: np.ndarray, wrong: np.ndarray, missed: np.ndarray) -> np.ndarray:
    """Return F1 from the number of rows that were found, wrongly predicted, and missed."""
    value: np.ndarray = 2 * found / np.maximum(2 * found + wrong + missed, 1e-12)
    return value


def maximized(objective: Objective, default: str) -> str:
    """Return the metric that the labels maximize: the primary one, if it depends on them."""
    metric = objective.metric
    return metric if metric in METRICS and METRICS[metric].uses_labels else default


def explain_decision(objective: Objective, n_classes: int) -> str:
    """Return what a threshold or weights from `tune_decision` do, as a clause."""
    rule = objective.decision
    if rule.min_recall is not None:
        return f"is the highest with a recall of {rule.min_recall:g}"
    if rule.has_costs:
        return (
            f"costs least, where a false alarm costs {rule.false_positive_cost:g} and a miss "
            f"{rule.false_negative_cost:g},"
        )
    metric = maximized(objective, "f1" if n_classes == 2 else "f1_macro")
    return f"maximizes {TITLES[metric]}"
