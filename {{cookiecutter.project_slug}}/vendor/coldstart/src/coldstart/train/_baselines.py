"""Baselines: a dummy, the best single feature, the seasonal naive forecast."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.feature_selection import f_classif, f_regression
from sklearn.model_selection import KFold
from sklearn.preprocessing import FunctionTransformer, TargetEncoder
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from coldstart.bundle._predictor import align
from coldstart.contract._contract import feature_slices
from coldstart.data._dataset import Dataset
from coldstart.errors import UserError
from coldstart.train._clusters import count_clusters
from coldstart.train._evaluation import HeldOutPredictions
from coldstart.train._features import WORDS
from coldstart.train._folds import (
    Fit,
    Predict,
    inner_folds,
    predict_folds,
    predict_test_rows,
    predict_validation_rows,
    train_and_validation_rows,
)
from coldstart.train._horizon import ForecastPaths, forecast_paths
from coldstart.train._intervals import LEVEL, interval

ROWS, COLUMNS = 5_000, 200  # maximum for the single-feature baselines
DRAWS = 5


@dataclass(frozen=True)
class Baselines:
    """Test predictions of the baselines.

    Parameters
    ----------
    dummy : HeldOutPredictions
        The dummy baseline: the frequencies of the classes, or the mean.
    columns : dict of str to float
        Score of each single-feature baseline in cross-validation without the test rows, the best
        first; at most `COLUMNS` features are tried.
    column : HeldOutPredictions
        The best single-feature baseline, a small tree.
    naive : HeldOutPredictions or None
        The seasonal naive forecast. None if the target has no season.
    paths : ForecastPaths or None
        The forecasts of several steps to evaluate, with the naive ones. None if the target has no
        lags.
    validation_paths : ForecastPaths or None
        The same within the validation rows, for prediction intervals.
    significant : bool
        Whether the best column is significantly better than the dummy baseline in that
        cross-validation, at a level of 95% for all columns together (Bonferroni).
    validation : float
        Score of the dummy baseline on the validation rows.
    units : str
        How many groups or blocks of time the test rows are in; empty if each row is a unit.
    """

    dummy: HeldOutPredictions
    columns: dict[str, float]
    column: HeldOutPredictions
    naive: HeldOutPredictions | None
    paths: ForecastPaths | None = None
    validation_paths: ForecastPaths | None = None
    significant: bool = True
    validation: float = -math.inf
    units: str = ""

    def best_column(self) -> str:
        """Return which single column is the best, or that none is better than the dummy baseline.

        Returns
        -------
        str
            A line to print.
        """
        name, score = next(iter(self.columns.items()))
        if self.significant:
            return f"{name} is the best single column"
        metric = self.dummy.primary
        return (
            "no single column is significantly better than the dummy baseline; the best of "
            f"{len(self.columns)} is {name} ({metric} {score:.3f} in cross-validation)"
        )


def evaluate_baselines(dataset: Dataset) -> Baselines:
    """Predict with all baselines on the same splits as the models.

    Parameters
    ----------
    dataset : Dataset
        The prepared rows.

    Returns
    -------
    Baselines
        Their test predictions.
    """
    alone = {name: single_column(dataset, name) for name in candidates(dataset)}
    folds = inner_folds(dataset)
    validated = {name: predict_folds(dataset, fit, folds) for name, fit in alone.items()}
    scores = {name: predictions.score() for name, predictions in validated.items()}
    columns = dict(sorted(scores.items(), key=lambda item: item[1], reverse=True))
    best = next(iter(columns))
    guess = dummy(dataset)
    chance = drawn(predict_folds(dataset, guess, folds))
    lowest = interval(validated[best], chance, level=1 - (1 - LEVEL) / len(columns))[0]
    guessed = predict_validation_rows(dataset, guess)
    return Baselines(
        dummy=drawn(predict_test_rows(dataset, guess, guessed)),
        columns=columns,
        column=predict_test_rows(dataset, alone[best], validated[best]),
        naive=naive(dataset),
        paths=forecast_paths(dataset),
        validation_paths=forecast_paths(dataset, "validation"),
        significant=lowest > 0,
        validation=drawn(guessed).score(),
        units=count_clusters(dataset, dataset.test_rows),
    )


def drawn(test: HeldOutPredictions) -> HeldOutPredictions:
    """Choose the classes that the dummy baseline predicts.

    Of two classes the more frequent one is predicted. Of more, the predicted ones are drawn with
    the classes' frequencies, several times: always predicting the most frequent class has a lower
    mean F1 than any such draw. For another metric the most frequent class is predicted.
    """
    if (classes := test.prediction.shape[2]) == 1:
        return test
    if classes == 2 or test.primary != "f1_macro":
        labels = test.prediction.argmax(axis=2)
        return replace(test, labels=labels)
    prediction = np.repeat(test.prediction, DRAWS, axis=0)
    draws = np.random.default_rng(0).random((*prediction.shape[:2], 1))
    labels = (prediction.cumsum(axis=2) < draws).sum(axis=2).clip(max=prediction.shape[2] - 1)
    return replace(test, prediction=prediction, labels=labels)


def dummy(dataset: Dataset) -> Fit:
    """Return the dummy baseline: the frequencies of the classes, or the mean."""

    def fit(rows: np.ndarray) -> Predict:
        target, weight = dataset.target(rows), dataset.sample_weight(rows)
        if dataset.classes:
            counts = np.bincount(target, weight, minlength=len(dataset.classes))
            constant = counts / counts.sum()
        else:
            constant = np.array([np.average(target, weights=weight)])
        return lambda others: np.tile(constant, (len(others), 1))

    return fit


def naive(dataset: Dataset) -> HeldOutPredictions | None:
    """Return the seasonal naive forecast of the test rows, or None without a season."""
    if dataset.seasonal_naive(dataset.splits[0].test) is None:
        return None

    def predict(rows: np.ndarray) -> np.ndarray:
        values = dataset.seasonal_naive(rows)
        assert values is not None
        # The first season has none before it.
        mean = dataset.target(train_and_validation_rows(dataset.splits[0])).mean()
        return np.where(np.isnan(values), mean, values).reshape(-1, 1)

    return predict_test_rows(
        dataset, lambda _: predict, predict_validation_rows(dataset, lambda _: predict)
    )


def single_column(dataset: Dataset, name: str) -> Fit:
    """Fit a tree of at most eight leaves to one column."""
    contract, classes = dataset.contract, len(dataset.classes)
    matrix = contract.features[name].matrix
    values = getattr(dataset.encoded, matrix)[:, feature_slices(contract)[name]]
    kind = DecisionTreeClassifier if classes else DecisionTreeRegressor

    def fit(rows: np.ndarray) -> Predict:
        if len(rows) > ROWS:
            rows = np.random.default_rng(0).choice(rows, ROWS, replace=False)
        target, seen, encoder = dataset.target(rows), values[rows], FunctionTransformer()
        if name in contract.categories:
            folds = KFold(5, shuffle=True, random_state=0)
            encoder = TargetEncoder(target_type="auto" if classes else "continuous", cv=folds)
        elif matrix == "strings":
            hashed = HashingVectorizer(n_features=256, alternate_sign=False, token_pattern=WORDS)
            encoder = FunctionTransformer(lambda texts: hashed.transform(texts[:, 0]))
        model = kind(max_leaf_nodes=8, min_samples_leaf=max(2, len(rows) // 50), random_state=0)
        model.fit(
            encoder.fit_transform(seen, target), target, sample_weight=dataset.sample_weight(rows)
        )

        def predict(others: np.ndarray) -> np.ndarray:
            encoded = encoder.transform(values[others])
            if not classes:
                return np.reshape(model.predict(encoded), (-1, 1))
            return align(model.predict_proba(encoded), model.classes_.tolist(), range(classes))

        return predict

    return fit


def candidates(dataset: Dataset) -> list[str]:
    """Return all features, or of very many those that vary most with the target."""
    contract = dataset.contract
    names = list(contract.features)
    if len(names) <= COLUMNS:
        return names
    rows = dataset.splits[0].train[:ROWS]
    numbers, target = dataset.features(rows).numbers.astype(np.float64), dataset.target(rows)
    numbers = np.where(np.isnan(numbers), np.nanmedian(numbers, axis=0), numbers)
    with np.errstate(all="ignore"):
        test = f_classif if dataset.classes else f_regression
        strengths = test(np.nan_to_num(numbers), target)[0]
    strength = {
        name: np.nan_to_num(strengths[place]).max() if contract.features[name].matrix == "numbers"
        else np.inf
        for name, place in feature_slices(contract).items()
    }  # fmt: skip
    return sorted(names, key=lambda name: strength[name], reverse=True)[:COLUMNS]


class LeakError(UserError):
    """A test score that suggests a leak."""


def evaluate(
    family: str,
    test: HeldOutPredictions,
    baselines: Baselines,
    leak_threshold: float | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Compute the metrics of predictions of the test rows, and those of the baselines.

    Parameters
    ----------
    family : str
        Name of the model type, for the message.
    test : HeldOutPredictions
        The model's predictions of the test rows.
    baselines : Baselines
        Predictions of the same rows by the baselines.
    leak_threshold : float, optional
        Score above which a leak is assumed.
    seed : int, default=0
        Seed of the interval, where units are left out together.

    Returns
    -------
    dict
        `primary`, the name of the metric that models are compared by; `test`, all metrics;
        `interval`, the 95% confidence interval of the primary one; `units`, how many groups or
        blocks of time that is of; `baseline`, `column` and `naive`, the metrics of the baselines;
        `validation_baseline`, the primary one of the dummy baseline on the validation rows;
        `prevalence`, the share of the second of two classes; and where rows have weights
        `unweighted`, with `test`, `interval` and `prevalence` as if they had none.

    Raises
    ------
    LeakError
        If the score is above the threshold.
    """
    name = test.primary
    metrics: dict[str, Any] = {
        "primary": name,
        **measure_test(test, seed),
        "units": baselines.units,
        "baseline": baselines.dummy.measure(),
        "validation_baseline": baselines.validation,
        "column": {"name": next(iter(baselines.columns)), **baselines.column.measure()},
    }
    if test.sample_weight is not None:  # make monitor may know outcomes without weights
        metrics["unweighted"] = measure_test(replace(test, sample_weight=None), seed)
    if baselines.naive:
        metrics["naive"] = baselines.naive.measure()
    found = metrics["test"][name]
    if leak_threshold is not None and found > leak_threshold:
        raise LeakError(
            f"{family}: {name} on the test rows is {found:.3f}, above the "
            f"{leak_threshold} that config.yaml calls too good to be true.\n"
            "Look for a column that knows the outcome, and give it the role ignore; the best "
            f"alone: {', '.join(list(baselines.columns)[:3])}"
        )
    return metrics


def measure_test(test: HeldOutPredictions, seed: int) -> dict[str, Any]:
    """Return the metrics of the test rows, the interval of the primary one, and the prevalence."""
    found: dict[str, Any] = {"test": test.measure(), "interval": interval(test, seed=seed)}
    if test.prediction.shape[2] == 2:
        found["prevalence"] = float(np.average(test.target == 1, weights=test.sample_weight))
    return found
