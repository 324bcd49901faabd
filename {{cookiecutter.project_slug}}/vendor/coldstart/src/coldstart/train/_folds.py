"""Cross-validation: fit on train, choose by validation, fit on both, evaluate on test.

Many rows make one split. Few rows make many, by repeated cross-validation: then every row is
predicted several times, each time by a model that was not fitted on it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from coldstart.bundle._predictor import BundlePredictor, to_labels
from coldstart.contract._contract import EncodedFeatures
from coldstart.data._dataset import Dataset
from coldstart.data._splitting import Split
from coldstart.train._clusters import clusters
from coldstart.train._evaluation import HeldOutPredictions, held_out_once, tune_threshold


@dataclass(frozen=True)
class FittedPredictor:
    """A fitted model, called with row numbers of a dataset to predict them.

    Parameters
    ----------
    dataset : Dataset
        The prepared rows.
    predict : callable
        Function from encoded features to predictions, of shape (n, classes of the prepared table)
        or (n, 1).
    """

    dataset: Dataset
    predict: Callable[[EncodedFeatures], np.ndarray]

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Predict rows of the dataset."""
        return self.predict(self.dataset.features(rows))


Predict = Callable[[np.ndarray], np.ndarray]
"""Row numbers to predictions: (n, classes of the prepared table), or (n, 1)."""
Fit = Callable[[np.ndarray], Predict]
"""Row numbers to fit on, to a function that predicts others."""


def train_and_validation_rows(division: Split) -> np.ndarray:
    """Return the rows of a split that a model is fitted on before it is tested."""
    return np.concatenate([division.train, division.validation])


def predict_validation_rows(dataset: Dataset, fit: Fit) -> HeldOutPredictions:
    """Predict the validation rows of each split by a model fitted on its training rows.

    Parameters
    ----------
    dataset : Dataset
        The prepared rows.
    fit : callable
        Function that fits a model to row numbers and returns a function, which predicts row numbers
        with shape (n, classes) or (n, 1).

    Returns
    -------
    HeldOutPredictions
        The predictions, with labels by the threshold or the weights that maximize F1 on them.
    """
    rows = np.concatenate([division.validation for division in dataset.splits])
    prediction = np.vstack(
        [fit(division.train)(division.validation) for division in dataset.splits]
    )
    target = dataset.target(rows)
    units = clusters(dataset, rows)
    if units is None and len(dataset.splits) > 1:
        units = rows  # of which each is predicted several times
    return held_out_once(rows, target, prediction, units, **tune_threshold(target, prediction))


def predict_test_rows(
    dataset: Dataset, fit: Fit, validated: HeldOutPredictions
) -> HeldOutPredictions:
    """Predict the test rows of each split by a model fitted on its other rows.

    Parameters
    ----------
    dataset : Dataset
        The prepared rows.
    fit : callable
        Function that fits a model to row numbers and returns a function, which predicts row numbers
        with shape (n, classes) or (n, 1).
    validated : HeldOutPredictions
        Predictions of the validation rows by the same model. They decide the threshold or the
        weights of each split, without the rows that the split tests.

    Returns
    -------
    HeldOutPredictions
        The predictions. A row that fewer splits test than others is left out.
    """
    predictions, labels = [], []
    for division in dataset.splits:
        prediction = fit(train_and_validation_rows(division))(division.test)
        others = validated[~np.isin(validated.rows, division.test)]
        predictions.append(prediction)
        labels.append(to_labels(prediction, **tune_threshold(others.target, others.prediction[0])))
    tested = np.concatenate([division.test for division in dataset.splits])
    # Positions of each row, one per repeat. A row that fewer splits test is left out.
    rows, counts = np.unique(tested, return_counts=True)
    repeats = counts.max()
    rows = rows[counts == repeats]
    order = np.argsort(tested, kind="stable")
    places = order[np.isin(tested[order], rows)].reshape(-1, repeats).T
    return HeldOutPredictions(
        rows,
        dataset.target(rows),
        np.concatenate(predictions)[places],
        np.concatenate(labels)[places],
        clusters(dataset, rows),
    )


def exported(
    predictor: BundlePredictor, dataset: Dataset
) -> Callable[[np.ndarray], FittedPredictor]:
    """Return a function that predicts with the exported graph instead of fitting a model.

    With a single split, the predictions that are evaluated are then those of the model that serves.

    Parameters
    ----------
    predictor : BundlePredictor
        The loaded bundle.
    dataset : Dataset
        The prepared rows.

    Returns
    -------
    callable
        Argument `fit` of `predict_test_rows`.
    """
    fitted = FittedPredictor(
        dataset, lambda features: predictor.predict_as(features, dataset.classes)
    )
    return lambda _: fitted
