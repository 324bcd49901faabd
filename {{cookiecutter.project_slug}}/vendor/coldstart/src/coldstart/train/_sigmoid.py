"""Calibrated probabilities: a sigmoid over what a classifier predicts, from the validation rows.

A forest is rarely certain enough and a deep tree too often. Two numbers correct that, and the order
of the rows stays as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import polars as pl
from onnx import helper, numpy_helper
from scipy.optimize import minimize

from coldstart.data._dataset import Dataset
from coldstart.train._context import EpochReport
from coldstart.train._evaluation import HeldOutPredictions
from coldstart.train._fitting import Fitter
from coldstart.train._folds import FittedPredictor, predict_validation_rows
from coldstart.train._weights import put_back, set_aside

if TYPE_CHECKING:
    from coldstart.train._ensemble import Ensemble

LEAST = 1e-6  # probability, in a logarithm
FOLDS = 5
STEEPEST, LARGEST = 2.0, 5.0  # limits of the slope's logarithm and of the intercept
PENALTY = 0.1  # on both, in units of a row's log loss: few rows leave a probability as it is


@dataclass(frozen=True)
class Sigmoid:
    """A correction of probabilities: their logarithms times a slope, plus an intercept.

    Parameters
    ----------
    slope : float
        Above 1 the probabilities become more certain, below 1 less.
    intercept : float, default=0.0
        Added to the logarithm of the second of two classes.

    References
    ----------
    Platt, "Probabilistic Outputs for Support Vector Machines", 1999 (two classes). Guo et al., "On
    Calibration of Modern Neural Networks", ICML 2017 (more: the slope is 1 / temperature).
    """

    slope: float
    intercept: float = 0.0

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        """Correct probabilities of shape (n, classes)."""
        scores = self.slope * np.log(np.clip(probabilities, LEAST, 1)) + self.shift(probabilities)
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        corrected: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
        return corrected

    def shift(self, probabilities: np.ndarray) -> np.ndarray:
        """Return what is added to the logarithm of each class."""
        two = probabilities.shape[1] == 2
        return np.array([0.0, self.intercept]) if two else np.zeros(1)

    @classmethod
    def of(cls, held: HeldOutPredictions) -> Sigmoid:
        """Return the correction with the least log loss on held-out rows."""
        prediction = held.prediction[0].astype(np.float64)
        two = prediction.shape[1] == 2
        weight = np.ones(len(held.target)) if held.sample_weight is None else held.sample_weight

        def objective(values: np.ndarray) -> float:
            corrected = cls(float(np.exp(values[0])), *values[1:])(prediction)
            loss = np.average(log_losses(corrected, held.target), weights=weight)
            return float(loss + PENALTY * np.sum(values**2) / len(held.target))

        limits = [(-STEEPEST, STEEPEST), (-LARGEST, LARGEST)][: 1 + two]
        found = minimize(objective, np.zeros(1 + two), method="L-BFGS-B", bounds=limits).x
        return cls(float(np.exp(found[0])), *(float(value) for value in found[1:]))

    def after(self, graph: onnx.ModelProto, output: str) -> onnx.ModelProto:
        """Add the same correction after the output of a graph."""
        inner = "uncalibrated_" + output
        for node in graph.graph.node:
            for names in (node.input, node.output):
                for i, name in enumerate(names):
                    names[i] = inner if name == output else name
        constants = {
            "sigmoid_least": np.array(LEAST, np.float32),
            "sigmoid_most": np.array(1, np.float32),
            "sigmoid_slope": np.array(self.slope, np.float32),
        }
        steps = [
            helper.make_node("Clip", [inner, "sigmoid_least", "sigmoid_most"], ["sigmoid_clipped"]),
            helper.make_node("Log", ["sigmoid_clipped"], ["sigmoid_logarithm"]),
            helper.make_node("Mul", ["sigmoid_logarithm", "sigmoid_slope"], ["sigmoid_scaled"]),
        ]
        last = "sigmoid_scaled"
        if self.intercept:
            constants["sigmoid_shift"] = np.array([0, self.intercept], np.float32)
            steps.append(helper.make_node("Add", [last, "sigmoid_shift"], ["sigmoid_score"]))
            last = "sigmoid_score"
        steps.append(helper.make_node("Softmax", [last], [output], axis=1))
        graph.graph.node.extend(steps)
        graph.graph.initializer.extend(
            numpy_helper.from_array(value, name) for name, value in constants.items()
        )
        weights = set_aside(graph)
        onnx.checker.check_model(graph)
        put_back(graph, weights)
        return graph


class CalibratedModel:
    """A fitted classifier with corrected probabilities.

    Parameters
    ----------
    model : Pipeline or WeightedAverage
        The fitted classifier.
    sigmoid : Sigmoid
        The correction.
    """

    def __init__(self, model: Any, sigmoid: Sigmoid) -> None:
        self.model, self.sigmoid, self.classes_ = model, sigmoid, model.classes_

    def predict_proba(self, X: pl.DataFrame) -> np.ndarray:
        """Return probabilities of shape (n, classes)."""
        return self.sigmoid(np.asarray(self.model.predict_proba(X)))


@dataclass(frozen=True)
class CalibratedFitter:
    """A fitter of models with calibrated probabilities, in the place of a `Fitter`.

    Parameters
    ----------
    fitter : Fitter or Ensemble
        Fits the model type. What it was fitted to is not fitted again.
    validation : HeldOutPredictions
        Its predictions of the validation rows, which determine the correction.
    """

    fitter: Fitter | Ensemble
    validation: HeldOutPredictions

    @property
    def dataset(self) -> Dataset:
        """The prepared rows."""
        return self.fitter.dataset

    @property
    def seconds(self) -> float:
        """Elapsed time of all fits."""
        return self.fitter.seconds

    @property
    def cpu_seconds(self) -> float:
        """CPU time of all fits."""
        return self.fitter.cpu_seconds

    def fit(self, rows: np.ndarray, report: EpochReport | None = None) -> CalibratedModel:
        """Fit a model to these rows; see `Fitter.fit`."""
        return CalibratedModel(self.fitter.fit(rows, report), self._sigmoid(rows))

    def __call__(self, rows: np.ndarray) -> FittedPredictor:
        """Return a function that predicts other rows; see `Fitter`."""
        inner, model = self.fitter(rows), self.fit(rows)

        def corrected(predictions: Sequence[np.ndarray]) -> np.ndarray:
            """Correct the classes that the model knows; others keep a probability of zero."""
            probabilities = predictions[0].copy()
            known = model.classes_
            probabilities[:, known] = model.sigmoid(probabilities[:, known])
            return probabilities

        return FittedPredictor.combined([inner], corrected)

    def without(self, names: list[str]) -> CalibratedFitter:
        """Return the same of models without some features."""
        fewer = self.fitter.without(names)
        return CalibratedFitter(fewer, predict_validation_rows(fewer.dataset, fewer))

    def _sigmoid(self, rows: np.ndarray) -> Sigmoid:
        """Return the correction for a model of these rows.

        Of several splits, only validation rows decide it that the model was fitted on as well: not
        those that it is tested on. Of a single split, all validation rows do.
        """
        among = np.isin(self.validation.rows, rows)
        return Sigmoid.of(self.validation[among] if among.any() else self.validation)


def calibrate(dataset: Dataset, fitter: Fitter | Ensemble) -> Fitter | Ensemble | CalibratedFitter:
    """Calibrate the probabilities of a classifier, if that lowers the log loss of held-out rows.

    Parameters
    ----------
    dataset : Dataset
        The prepared rows.
    fitter : Fitter or Ensemble
        Fits the model type.

    Returns
    -------
    Fitter, Ensemble or CalibratedFitter
        The fitter itself for regression, or unless the log loss of the validation rows, each
        corrected by what the other four fifths of them determine, falls by more than a standard
        error.
    """
    if not dataset.classes:
        return fitter
    held = predict_validation_rows(dataset, fitter)
    units, fold = folds_of(dataset, held)
    corrected = held.prediction[0].astype(np.float64)
    for number in range(FOLDS):
        chosen, others = fold == number, fold != number
        if chosen.any() and others.any():
            corrected[chosen] = Sigmoid.of(held[others])(corrected[chosen])
    gain = log_losses(held.prediction[0], held.target) - log_losses(corrected, held.target)
    if held.sample_weight is not None:
        gain = gain * held.sample_weight / held.sample_weight.mean()
    sums = np.bincount(units, gain)  # of a row that is predicted several times, or of a group
    error = np.sqrt(len(sums)) * sums.std()
    return CalibratedFitter(fitter, held) if sums.sum() > error else fitter


def folds_of(dataset: Dataset, held: HeldOutPredictions) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of each row's unit, and its fold: by time if there is a column time."""
    units = held.rows if held.groups is None else held.groups
    number = np.unique(units, return_inverse=True)[1]
    count = number.max() + 1
    order = np.arange(count) if dataset.contract.names("time") else shuffled(count)
    return number, order[number] * FOLDS // count


def shuffled(count: int) -> np.ndarray:
    """Return the numbers below `count` in a random order that is always the same."""
    return np.random.default_rng(0).permutation(count)


def log_losses(probabilities: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the log loss of each row."""
    own = probabilities[np.arange(len(target)), target].astype(np.float64)
    losses: np.ndarray = -np.log(np.clip(own, LEAST, 1))
    return losses
