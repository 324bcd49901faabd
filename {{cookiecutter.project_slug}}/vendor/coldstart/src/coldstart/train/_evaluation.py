"""Evaluation: metrics of predictions of rows that no model was fitted on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn import metrics

from coldstart.bundle._predictor import to_labels

BINS = 10


@dataclass(frozen=True)
class HeldOutPredictions:
    """Predictions of rows by models that were not fitted on them.

    Parameters
    ----------
    rows : ndarray of int, shape (n,)
        Row numbers in the prepared table.
    target : ndarray of shape (n,)
        Class indices, or values in the target's unit.
    prediction : ndarray of shape (repeats, n, classes) or (repeats, n, 1)
        Probabilities or values. Few rows are predicted several times, each time by another model.
    labels : ndarray of int64, shape (repeats, n)
        Predicted classes, as indices.
    groups : ndarray of int, shape (n,), optional
        Unit of each row, if rows are not independent: its group, or its block of time.
    """

    rows: np.ndarray
    target: np.ndarray
    prediction: np.ndarray
    labels: np.ndarray
    groups: np.ndarray | None = None

    def score(self, among: np.ndarray | slice = slice(None)) -> float:
        """Return the primary metric, as the mean of the repeats.

        Parameters
        ----------
        among : ndarray or slice, optional
            Positions of the rows to score. By default all.

        Returns
        -------
        float
            Average precision for two classes, macro F1 for more, R² for regression.
        """
        return float(
            np.mean(
                [
                    score(self.target[among], prediction[among], labels[among])
                    for prediction, labels in zip(self.prediction, self.labels, strict=True)
                ]
            )
        )

    def measure(self) -> dict[str, float]:
        """Return all metrics, each as the mean of the repeats.

        Returns
        -------
        dict of str to float
            From a metric's name to its value.
        """
        repeats = [
            measure(self.target, prediction, labels)
            for prediction, labels in zip(self.prediction, self.labels, strict=True)
        ]
        return {name: float(np.mean([found[name] for found in repeats])) for name in repeats[0]}

    def __getitem__(self, among: np.ndarray) -> HeldOutPredictions:
        """Return some of the rows."""
        return HeldOutPredictions(
            self.rows[among],
            self.target[among],
            self.prediction[:, among],
            self.labels[:, among],
            None if self.groups is None else self.groups[among],
        )


def held_out_once(
    rows: np.ndarray,
    target: np.ndarray,
    prediction: np.ndarray,
    groups: np.ndarray | None = None,
    **how: Any,
) -> HeldOutPredictions:
    """Return predictions of rows that were predicted once.

    The probabilities have the shape (n, classes), the values of a regression (n, 1).
    """
    labels = to_labels(prediction, **how)
    return HeldOutPredictions(rows, target, prediction[None], labels[None], groups)


def primary(n_classes: int) -> str:
    """Return the name of the metric that models are compared by. A higher value is better.

    Average precision for two classes, since it does not reward predicting the frequent one; the
    mean F1 of the classes for more; R² for regression.
    """
    return {0: "r2", 2: "average_precision"}.get(n_classes, "f1_macro")


def score(target: np.ndarray, prediction: np.ndarray, labels: np.ndarray | None = None) -> float:
    """Return the primary metric.

    Parameters
    ----------
    target : ndarray of shape (n,)
        Class indices, or values.
    prediction : ndarray of shape (n, classes) or (n, 1)
        Probabilities, or values.
    labels : ndarray of shape (n,), optional
        Predicted class indices. By default the classes with the highest probability.
    """
    n_classes = 0 if prediction.shape[1] == 1 else prediction.shape[1]
    if n_classes == 0:
        return float(metrics.r2_score(target, prediction[:, 0]))
    if n_classes == 2:
        if not target.any():
            return 0.0  # without a row of the second class, as scikit-learn has it with a warning
        return float(metrics.average_precision_score(target, prediction[:, 1]))
    if labels is None:
        labels = prediction.argmax(axis=1)
    return float(metrics.f1_score(target, labels, average="macro", zero_division=0))


def measure(target: np.ndarray, prediction: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return all metrics of some predictions; see `score`."""
    n_classes = 0 if prediction.shape[1] == 1 else prediction.shape[1]
    if n_classes == 0:
        values = prediction[:, 0]
        return {
            "r2": metrics.r2_score(target, values),
            "rmse": metrics.root_mean_squared_error(target, values),
            "mae": metrics.mean_absolute_error(target, values),
        }
    truth = np.eye(n_classes)[target]
    common = {
        "accuracy": metrics.accuracy_score(target, labels),
        "log_loss": -float(np.log(np.clip((prediction * truth).sum(axis=1), 1e-7, 1)).mean()),
        "calibration_error": calibration_error(target, prediction),
    }
    if n_classes == 2:
        positive = prediction[:, 1]
        both = len(np.unique(target)) == 2
        return {
            "average_precision": score(target, prediction),
            "roc_auc": metrics.roc_auc_score(target, positive) if both else 0.5,
            "brier": float(np.mean((positive - target) ** 2)),
            "f1": metrics.f1_score(target, labels, zero_division=0),
            "precision": metrics.precision_score(target, labels, zero_division=0),
            "recall": metrics.recall_score(target, labels, zero_division=0),
            **common,
        }
    there = [one for one in range(n_classes) if 0 < np.sum(target == one) < len(target)]
    areas = [metrics.roc_auc_score(target == one, prediction[:, one]) for one in there]
    return {
        "f1_macro": score(target, prediction, labels),
        "roc_auc": float(np.mean(areas)) if areas else 0.5,  # of each class against the rest
        "brier": float(np.mean(np.sum((prediction - truth) ** 2, axis=1))),
        **common,
    }


def calibration_error(target: np.ndarray, prediction: np.ndarray) -> float:
    """Return the expected calibration error.

    It is the mean distance of predicted probability and observed frequency, over bins with equally
    many rows. The probability is that of the second of two classes, or of the most probable one.

    References
    ----------
    Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning", 2015
    (there with bins of equal width).
    """
    predicted, observed = confidence_and_outcome(target, prediction)
    bins = np.array_split(np.argsort(predicted, kind="stable"), min(BINS, len(predicted)))
    gaps = [abs(predicted[rows].mean() - observed[rows].mean()) * len(rows) for rows in bins]
    return float(sum(gaps) / len(predicted))


def confidence_and_outcome(
    target: np.ndarray, prediction: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the predicted probability of each row, and whether it was correct.

    Returns
    -------
    tuple of two arrays of shape (n,)
        The probability of the second of two classes, or of the most probable of more, and whether
        the row has that class; for regression the predicted value and the true one.
    """
    if prediction.shape[1] == 1:
        return prediction[:, 0], target
    if prediction.shape[1] == 2:
        return prediction[:, 1], target == 1
    return prediction.max(axis=1), prediction.argmax(axis=1) == target


def tune_threshold(target: np.ndarray, prediction: np.ndarray) -> dict[str, Any]:
    """Return the threshold or the weights that maximize F1 on these rows.

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
        return {"threshold": best_threshold(target, prediction[:, 1])}
    # Classes never seen here count as half a row.
    shares = np.maximum(np.bincount(target, minlength=n_classes), 0.5) / len(target)
    candidates = [(shares**-power) / (shares**-power).min() for power in (0.0, 0.5, 1.0)]
    scores = [score(target, prediction, to_labels(prediction, None, w)) for w in candidates]
    return {"weights": candidates[int(np.argmax(scores))].tolist()}


def best_threshold(target: np.ndarray, positive: np.ndarray) -> float:
    """Return the probability of the second class from which F1 is highest."""
    if len(np.unique(target)) < 2:
        return 0.5
    precision, recall, thresholds = metrics.precision_recall_curve(target, positive)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return float(thresholds[f1[:-1].argmax()])
