"""Cross-validation: fit on train, choose by validation, fit on both, evaluate on test.

Many rows make one split. Few rows make many, by repeated cross-validation: then every row is
predicted several times, each time by a model that was not fitted on it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from coldstart.bundle._predictor import BundlePredictor, to_labels
from coldstart.data._dataset import Dataset
from coldstart.data._splitting import Split
from coldstart.train._evaluation import HeldOutPredictions, held_out_once, tune_threshold

Predict = Callable[[np.ndarray], np.ndarray]
"""Row numbers to predictions: (n, classes of the prepared table), or (n, 1)."""
Fit = Callable[[np.ndarray], Predict]
"""Row numbers to fit on, to a function that predicts others."""


def train_and_validation_rows(division: Split) -> np.ndarray:
    """Rows of a round that a model may be fitted on before it is judged."""
    return np.concatenate([division.train, division.validation])


def predict_validation_rows(dataset: Dataset, fit: Fit) -> HeldOutPredictions:
    """Predict the validation rows of all rounds, each by a model of its round's train rows."""
    rows = np.concatenate([division.validation for division in dataset.splits])
    prediction = np.vstack(
        [fit(division.train)(division.validation) for division in dataset.splits]
    )
    target = dataset.target(rows)
    return held_out_once(rows, target, prediction, **tune_threshold(target, prediction))


def predict_test_rows(
    dataset: Dataset, fit: Fit, validated: HeldOutPredictions
) -> HeldOutPredictions:
    """Predict the test rows of all rounds, each by a model of its round's other rows.

    Parameters
    ----------
    validated
        Of the same model; what labels the probabilities stand for is chosen there, for
        each round without the rows that judge it.
    """
    predictions, labels = [], []
    for division in dataset.splits:
        prediction = fit(train_and_validation_rows(division))(division.test)
        others = validated[~np.isin(validated.rows, division.test)]
        predictions.append(prediction)
        labels.append(to_labels(prediction, **tune_threshold(others.target, others.prediction[0])))
    tested = np.concatenate([division.test for division in dataset.splits])
    # Where each row stands, time after time. A row that fewer rounds test is left out.
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
    )


def exported(predictor: BundlePredictor, dataset: Dataset) -> Fit:
    """Return the exported graph as something that needs no fit before it predicts.

    With a single split, what serves is then what is evaluated.
    """
    return lambda _: lambda rows: predictor.predict_as(dataset.features(rows), dataset.classes)
