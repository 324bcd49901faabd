"""Evaluation: metrics of predictions of rows that no model was fitted on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn import metrics

from coldstart.train._metrics import METRICS, Metric, default_metric

BINS = 10
CHUNK = 5_000_000  # weights in memory at a time


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
    metric : str, default=""
        Name of the primary metric, which models are chosen by: one of scikit-learn's scorers. By
        default average precision for two classes, macro F1 for more, R² for regression.
    sample_weight : ndarray of shape (n,), optional
        Weight of each row. By default all weigh the same.
    """

    rows: np.ndarray
    target: np.ndarray
    prediction: np.ndarray
    labels: np.ndarray
    groups: np.ndarray | None = None
    metric: str = ""
    sample_weight: np.ndarray | None = None

    @property
    def primary(self) -> str:
        """Name of the primary metric."""
        classes = self.prediction.shape[2]
        return self.metric or default_metric(0 if classes == 1 else classes)

    @property
    def scorer(self) -> Metric:
        """The primary metric. A higher value is better."""
        return METRICS[self.primary]

    def score(self, among: np.ndarray | slice = slice(None)) -> float:
        """Return the primary metric, as the mean of the repeats.

        Parameters
        ----------
        among : ndarray or slice, optional
            Positions of the rows to score. By default all.

        Returns
        -------
        float
            The metric, of which a higher value is better.
        """
        some = self[np.arange(len(self.target))[among]]
        return float(some.weighted_scores(np.ones((1, len(some.target))))[0])

    def weighted_scores(self, weights: np.ndarray, prevalence: float | None = None) -> np.ndarray:
        """Return the primary metric by each row of weights, as the mean of the repeats.

        Parameters
        ----------
        weights : ndarray of shape (k, n)
            Weight of each row, besides its own.
        prevalence : float, optional
            Share of the second of two classes that the rows are weighted to.

        Returns
        -------
        ndarray of shape (k,)
            With weights of 1 the same as `score`.
        """
        step = max(1, CHUNK // max(1, weights.shape[1]))
        parts = [weights[at : at + step].astype(np.float64) for at in range(0, len(weights), step)]
        if self.sample_weight is not None:
            parts = [part * self.sample_weight for part in parts]
        if prevalence is not None:
            parts = [weighted_to(prevalence, self.target == 1, part) for part in parts]
        repeats = [
            np.concatenate(
                [self.scorer.compute(self.target, prediction, labels, part) for part in parts]
            )
            for prediction, labels in zip(self.prediction, self.labels, strict=True)
        ]
        mean: np.ndarray = np.mean(repeats, axis=0)
        return mean

    def measure(self) -> dict[str, float]:
        """Return all metrics, each as the mean of the repeats.

        Returns
        -------
        dict of str to float
            From a metric's name to its value; the primary one first.
        """
        repeats = [
            measure(self.target, prediction, labels, self.sample_weight)
            for prediction, labels in zip(self.prediction, self.labels, strict=True)
        ]
        means = {name: float(np.mean([found[name] for found in repeats])) for name in repeats[0]}
        return {self.primary: self.score()} | means

    def __getitem__(self, among: np.ndarray) -> HeldOutPredictions:
        """Return some of the rows."""
        return HeldOutPredictions(
            self.rows[among],
            self.target[among],
            self.prediction[:, among],
            self.labels[:, among],
            None if self.groups is None else self.groups[among],
            self.metric,
            None if self.sample_weight is None else self.sample_weight[among],
        )


def weighted_to(prevalence: float, true: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return weights (k, n) by which the true rows have this share of the whole."""
    shares = (weights @ true)[:, None], (weights @ ~true)[:, None]
    with np.errstate(all="ignore"):
        scaled = np.where(true, prevalence / shares[0], (1 - prevalence) / shares[1])
    weighted: np.ndarray = weights * np.nan_to_num(scaled, posinf=0)
    return weighted


def measure(
    target: np.ndarray,
    prediction: np.ndarray,
    labels: np.ndarray,
    weight: np.ndarray | None = None,
) -> dict[str, float]:
    """Return all metrics of some predictions that are reported.

    Parameters
    ----------
    target : ndarray of shape (n,)
        Class indices, or values.
    prediction : ndarray of shape (n, classes) or (n, 1)
        Probabilities, or values.
    labels : ndarray of shape (n,)
        Predicted class indices.
    weight : ndarray of shape (n,), optional
        Weight of each row.
    """
    n_classes, some = prediction.shape[1], {"sample_weight": weight}
    if n_classes == 1:
        values = prediction[:, 0]
        return {
            "r2": metrics.r2_score(target, values, **some),
            "rmse": metrics.root_mean_squared_error(target, values, **some),
            "mae": metrics.mean_absolute_error(target, values, **some),
        }
    truth = np.eye(n_classes)[target]

    def value(name: str) -> float:
        return METRICS[name].value(target, prediction, labels, weight)

    squares = (prediction - truth) ** 2
    common = {
        "accuracy": metrics.accuracy_score(target, labels, **some),
        "log_loss": -value("neg_log_loss"),
        "calibration_error": calibration_error(target, prediction, weight),
    }
    if n_classes == 2:
        return {
            "average_precision": value("average_precision"),
            "roc_auc": value("roc_auc"),
            "brier": float(np.average(squares[:, 1], weights=weight)),
            "f1": metrics.f1_score(target, labels, zero_division=0, **some),
            "precision": metrics.precision_score(target, labels, zero_division=0, **some),
            "recall": metrics.recall_score(target, labels, zero_division=0, **some),
            **common,
        }
    return {
        "f1_macro": value("f1_macro"),
        "roc_auc": value("roc_auc"),  # of each class against the rest
        "brier": float(np.average(squares.sum(axis=1), weights=weight)),
        **common,
    }


def calibration_error(
    target: np.ndarray, prediction: np.ndarray, weight: np.ndarray | None = None
) -> float:
    """Return the expected calibration error.

    It is the mean distance of predicted probability and observed frequency, over bins with equally
    many rows. The probability is that of the second of two classes, or of the most probable one.

    References
    ----------
    Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning", 2015
    (there with bins of equal width).
    """
    predicted, observed = confidence_and_outcome(target, prediction)
    weight = np.ones(len(predicted)) if weight is None else weight
    bins = np.array_split(np.argsort(predicted, kind="stable"), min(BINS, len(predicted)))
    gaps = [abs(np.sum((predicted - observed)[rows] * weight[rows])) for rows in bins]
    return float(sum(gaps) / weight.sum())


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
