"""An ensemble: a weighted average of what a few trained models predict.

Models of different types are wrong about different rows, so their average is often nearer to the
truth than the best of them. Its members are fitted already: it costs predictions only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from coldstart.data._dataset import Dataset
from coldstart.train._context import ENSEMBLE, EpochReport
from coldstart.train._evaluation import HeldOutPredictions
from coldstart.train._fitting import Fitter
from coldstart.train._folds import FittedPredictor, predict_validation_rows
from coldstart.train._metrics import TITLES
from coldstart.train._sigmoid import log_losses
from coldstart.train._summary import number

MEMBERS = 3  # at most: each adds to the size of the graph and to the time of a prediction
ROUNDS = 20  # of the selection: a weight is a multiple of 1/20


class WeightedAverage:
    """Fitted models, of whose predictions the weighted average is returned.

    Parameters
    ----------
    models : mapping of str to Pipeline or DifferencedRegressor
        The fitted models by model type. They have the same classes.
    weights : mapping of str to float
        Weight of each, with a sum of 1.
    """

    def __init__(self, models: Mapping[str, Any], weights: Mapping[str, float]) -> None:
        self.models, self.weights = models, weights
        first = next(iter(models.values()))
        if hasattr(first, "classes_"):
            self.classes_ = first.classes_

    def predict_proba(self, X: pl.DataFrame) -> np.ndarray:
        """Return probabilities of shape (n, classes)."""
        return self._average("predict_proba", X)

    def predict(self, X: pl.DataFrame) -> np.ndarray:
        """Return values of shape (n,)."""
        return self._average("predict", X)

    def get_params(self, deep: bool = True) -> dict[str, float]:
        """Return the weight of each model type."""
        return dict(self.weights)

    def _average(self, method: str, X: pl.DataFrame) -> np.ndarray:
        predictions = {
            name: np.asarray(getattr(self.models[name], method)(X)) for name in self.weights
        }
        return weighted(predictions, self.weights)


@dataclass(frozen=True)
class Ensemble:
    """The average of some model types, in the place of a `Fitter`.

    Parameters
    ----------
    members : mapping of str to Fitter
        The members by model type. What they were fitted to is not fitted again.
    weights : mapping of str to float
        Weight of each, with a sum of 1.
    """

    members: Mapping[str, Fitter]
    weights: Mapping[str, float]

    @property
    def dataset(self) -> Dataset:
        """The prepared rows."""
        return next(iter(self.members.values())).dataset

    @property
    def seconds(self) -> float:
        """Elapsed time of all fits of the members."""
        return sum(member.seconds for member in self.members.values())

    @property
    def cpu_seconds(self) -> float:
        """CPU time of all fits of the members."""
        return sum(member.cpu_seconds for member in self.members.values())

    def fit(self, rows: np.ndarray, report: EpochReport | None = None) -> WeightedAverage:
        """Return the average of the members, fitted to these rows.

        Parameters
        ----------
        rows : ndarray of int, shape (n,)
            Row numbers of the dataset's table.
        report : callable, optional
            Function that is called with the epochs of this fit.

        Returns
        -------
        WeightedAverage
            The fitted models with their weights.
        """
        models = {name: member.fit(rows, report) for name, member in self.members.items()}
        return WeightedAverage(models, self.weights)

    def __call__(self, rows: np.ndarray) -> FittedPredictor:
        """Return a function that predicts other rows by members fitted to these."""
        return FittedPredictor.combined(
            [member(rows) for member in self.members.values()],
            lambda predictions: weighted(
                dict(zip(self.members, predictions, strict=True)), self.weights
            ),
        )

    def without(self, names: list[str]) -> Ensemble:
        """Return the same average of models without some features.

        Parameters
        ----------
        names : list of str
            Names of features, not of all.

        Returns
        -------
        Ensemble
            The ensemble of the same weights.
        """
        members = {name: member.without(names) for name, member in self.members.items()}
        return Ensemble(members, self.weights)


def build_ensemble(dataset: Dataset, fitters: Mapping[str, Fitter]) -> Ensemble | None:
    """Build an ensemble of the trained models, if it is better than the best of them.

    Parameters
    ----------
    dataset : Dataset
        The prepared rows.
    fitters : mapping of str to Fitter
        The trained model types by name.

    Returns
    -------
    Ensemble or None
        None if no average of at most three of them has a higher score on the validation rows than
        the best one alone. What it brings is printed.

    Notes
    -----
    Models are added one by one, each again as often as it helps, so that the log loss or the
    squared error on the validation rows is lowest. The rows that choose the weights also compare
    the score: docs/explanation/evaluation.md has what that brought on rows that chose nothing.

    References
    ----------
    Caruana et al., "Ensemble Selection from Libraries of Models", ICML 2004.
    """
    if len(fitters) < 2:
        return None
    held = {name: predict_validation_rows(dataset, one) for name, one in fitters.items()}
    weights = select(held)
    best = max(held, key=lambda name: held[name].score())
    if len(weights) == 1:
        print(f"{ENSEMBLE}: not trained, no average is better than {best} alone")
        return None
    ensemble = Ensemble({name: fitters[name] for name in weights}, weights)
    alone, together = held[best].score(), predict_validation_rows(dataset, ensemble).score()
    shares = ", ".join(f"{weight:.0%} {name}" for name, weight in weights.items())
    brings = (
        f"{TITLES[held[best].primary]} {number(together)} on the validation rows, "
        f"{number(alone)} of {best} alone"
    )
    if together <= alone:
        print(f"{ENSEMBLE}: not trained ({shares}: {brings})")
        return None
    print(f"{ENSEMBLE}: {shares}; {brings}")
    return ensemble


def select(held: Mapping[str, HeldOutPredictions]) -> dict[str, float]:
    """Return the weights of the models whose average has the least loss, the heaviest first."""
    first = next(iter(held.values()))
    total, counts = np.zeros(first.prediction[0].shape), dict.fromkeys(held, 0)
    for done in range(ROUNDS):
        used = [name for name, count in counts.items() if count]
        losses = {
            name: loss(first, (total + held[name].prediction[0]) / (done + 1))
            for name in (used if len(used) == MEMBERS else held)
        }
        name = min(losses, key=lambda name: losses[name])
        total, counts[name] = total + held[name].prediction[0], counts[name] + 1
    ranked = sorted(counts, key=lambda name: -counts[name])
    return {name: counts[name] / ROUNDS for name in ranked if counts[name]}


def loss(held: HeldOutPredictions, prediction: np.ndarray) -> float:
    """Return the log loss or the mean squared error of predictions of these rows."""
    if prediction.shape[1] == 1:
        losses = (prediction[:, 0] - held.target) ** 2
    else:
        losses = log_losses(prediction, held.target)
    return float(np.average(losses, weights=held.sample_weight))


def weighted(predictions: Mapping[str, np.ndarray], weights: Mapping[str, float]) -> np.ndarray:
    """Return the weighted sum of predictions."""
    total: np.ndarray = np.sum([weights[name] * one for name, one in predictions.items()], axis=0)
    return total
