"""Cross-validation: fit on train, choose by validation, fit on both, evaluate on test.

Many rows make one split. Few rows make many, by repeated cross-validation: then every row is
predicted several times, each time by a model that was not fitted on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from sklearn.model_selection import TimeSeriesSplit

from coldstart.bundle._predictor import BundlePredictor, to_labels
from coldstart.contract._contract import EncodedFeatures
from coldstart.data._dataset import Dataset, encode
from coldstart.data._splitting import FOLDS, TEST, Split, cross_validation, strata
from coldstart.train._clusters import clusters
from coldstart.train._decision import tune_decision
from coldstart.train._evaluation import HeldOutPredictions

Predict = Callable[[np.ndarray], np.ndarray]
"""Row numbers to predictions: (n, classes of the prepared table), or (n, 1)."""
Fit = Callable[[np.ndarray], Predict]
"""Row numbers to fit on, to a function that predicts others."""
Folds = list[tuple[np.ndarray, np.ndarray]]
"""Pairs of row numbers: to fit on, and to predict."""


@dataclass(frozen=True)
class FittedPredictor:
    """A fitted model, called with row numbers of a dataset to predict them.

    It keeps these predictions: the validation rows are asked for by the calibration, the score and
    the ensemble.

    Parameters
    ----------
    dataset : Dataset
        The prepared rows.
    predict : callable
        Function from encoded features to predictions, of shape (n, classes of the prepared table)
        or (n, 1).
    predict_rows : callable, optional
        Function from row numbers to predictions, for a model that combines those of others.
    """

    dataset: Dataset
    predict: Callable[[EncodedFeatures], np.ndarray]
    predict_rows: Predict | None = None
    _kept: dict[bytes, np.ndarray] = field(default_factory=dict, init=False, repr=False)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Predict rows of the dataset."""
        key = rows.tobytes()
        if key not in self._kept:
            self._kept[key] = (
                self.predict_rows(rows)
                if self.predict_rows
                else self.predict(self.dataset.features(rows))
            )
        return self._kept[key]

    @classmethod
    def combined(
        cls, parts: Sequence[FittedPredictor], combine: Callable[[Sequence[np.ndarray]], np.ndarray]
    ) -> FittedPredictor:
        """Return a predictor that combines what others predict.

        Parameters
        ----------
        parts : sequence of FittedPredictor
            The others, of the same dataset.
        combine : callable
            Function from their predictions to one.

        Returns
        -------
        FittedPredictor
            The combination.
        """
        return cls(
            parts[0].dataset,
            lambda features: combine([part.predict(features) for part in parts]),
            lambda rows: combine([part(rows) for part in parts]),
        )


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
        The predictions, with labels by the threshold or the weights that are best on them.
    """
    return predict_folds(
        dataset, fit, [(division.train, division.validation) for division in dataset.splits]
    )


def predict_folds(dataset: Dataset, fit: Fit, folds: Folds) -> HeldOutPredictions:
    """Predict the second rows of each fold by a model fitted on the first; see above."""
    rows = np.concatenate([held_out for _, held_out in folds])
    prediction = np.vstack([fit(fitted)(held_out) for fitted, held_out in folds])
    target = dataset.target(rows)
    units = clusters(dataset, rows)
    if units is None and len(np.unique(rows)) < len(rows):
        units = rows  # of which some are predicted several times
    weight = dataset.sample_weight(rows)
    decision = tune_decision(target, prediction, dataset.objective, weight)
    return held_out_predictions(
        dataset, rows, prediction[None], to_labels(prediction, **decision)[None], units
    )


def held_out_predictions(
    dataset: Dataset,
    rows: np.ndarray,
    prediction: np.ndarray,
    labels: np.ndarray,
    units: np.ndarray | None,
) -> HeldOutPredictions:
    """Return predictions of rows of a dataset, with its targets, weights and metric."""
    return HeldOutPredictions(
        rows,
        dataset.target(rows),
        prediction,
        labels,
        units,
        dataset.objective.metric,
        dataset.sample_weight(rows),
    )


def predict_held_out(
    predictor: BundlePredictor, dataset: Dataset, rows: np.ndarray
) -> HeldOutPredictions:
    """Predict rows that a bundle's model was not fitted on, with the bundle's threshold."""
    features = encode(predictor.contract, dataset.table[rows])
    prediction = predictor.predict_as(features, dataset.classes)
    labels = to_labels(prediction, **predictor.decision_for(dataset.classes))
    units = clusters(dataset, rows)
    return held_out_predictions(dataset, rows, prediction[None], labels[None], units)


def inner_folds(dataset: Dataset) -> Folds:
    """Return folds of the rows that are not tested, divided as the table is.

    With several splits these are their training and validation rows. Of a single split, the rows
    of both are divided into five: by time with a column `time`, else at random, with all rows of a
    group in the same fold.

    Returns
    -------
    list of pairs of ndarray of int
        Rows to fit on, and rows to predict.
    """
    whole = [(division.train, division.validation) for division in dataset.splits]
    if len(whole) > 1:
        return whole
    contract, rows = dataset.contract, train_and_validation_rows(dataset.splits[0])
    if time := contract.names("time"):
        rank = dataset.table[time[0]][rows].rank("dense").cast(int).to_numpy() - 1
        times = np.arange(rank.max() + 1)
        if len(times) <= FOLDS:
            return whole
        parts = TimeSeriesSplit(FOLDS).split(times)
        return [(rows[np.isin(rank, a)], rows[np.isin(rank, b)]) for a, b in parts]
    units = clusters(dataset, rows)
    label = strata(dataset.table[contract.target][rows], contract)
    unit = np.arange(len(rows)) if units is None else units
    divided = cross_validation(label, unit, np.random.default_rng(0))
    return [(rows[part != TEST], rows[part == TEST]) for part in divided]


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
        decision = tune_decision(
            others.target, others.prediction[0], dataset.objective, others.sample_weight
        )
        labels.append(to_labels(prediction, **decision))
    tested = np.concatenate([division.test for division in dataset.splits])
    # Positions of each row, one per repeat. A row that fewer splits test is left out.
    rows, counts = np.unique(tested, return_counts=True)
    repeats = counts.max()
    rows = rows[counts == repeats]
    order = np.argsort(tested, kind="stable")
    places = order[np.isin(tested[order], rows)].reshape(-1, repeats).T
    return held_out_predictions(
        dataset,
        rows,
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
