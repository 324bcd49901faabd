"""Prediction intervals and sets by split conformal prediction, from the validation rows.

A margin is a quantile of the errors of held-out predictions: the model that predicts them was not
fitted on these rows. That is all that it needs, of any type of model.

References
----------
Lei et al., "Distribution-Free Predictive Inference for Regression", Journal of the American
Statistical Association 113(523), 2018 (split conformal intervals). Sadinle, Lei and Wasserman,
"Least Ambiguous Set-Valued Classifiers with Bounded Error Levels", JASA 114(525), 2019 (sets).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from coldstart.bundle._conformal import Conformal
from coldstart.data._dataset import Dataset
from coldstart.data._splitting import group_numbers
from coldstart.train._evaluation import HeldOutPredictions
from coldstart.train._folds import FittedPredictor
from coldstart.train._horizon import ForecastPaths, forecast_errors
from coldstart.train._intervals import mean_interval

EXACT = 1e-9  # of sums of weights
ENOUGH = 100  # units that can show whether errors grow with the prediction
BETTER = (
    0.95  # times the interval score of a margin in the target's unit, below which it is a share
)


def conformalize(
    dataset: Dataset,
    validation: HeldOutPredictions,
    coverage: float,
    paths: ForecastPaths | None = None,
    fit: Callable[[np.ndarray], FittedPredictor] | None = None,
) -> Conformal | None:
    """Compute prediction intervals or sets from the errors of held-out predictions.

    Parameters
    ----------
    dataset : Dataset
        The prepared rows.
    validation : HeldOutPredictions
        Predictions of the validation rows by models that were fitted on the training rows.
    coverage : float
        Share of outcomes that the intervals or sets are to contain, such as 0.9.
    paths : ForecastPaths, optional
        Forecasts of several steps within the validation rows.
    fit : callable, optional
        Function that fits a model to row numbers, to predict these forecasts.

    Returns
    -------
    Conformal or None
        None for two classes. Without margins if there are too few validation rows.

    Notes
    -----
    Intervals are symmetric: the margin is the quantile of the absolute errors, so that one number
    tells it, and half as many rows give it as the two quantiles of an asymmetric one need. If
    errors grow with the prediction, it is a share of the prediction; see `relative`. For sets of
    classes the score is 1 minus the probability of the true class.

    The coverage holds for rows like the validation rows, on average over all rows and not for each
    kind of row. The registered model is fitted on the validation rows as well, and has seldom
    larger errors than the models of which the margin is; see
    docs/explanation/evaluation.md for the measured coverage.
    """
    classes = validation.prediction.shape[2]
    if classes == 2:
        return None
    units, target = units_of(dataset, validation), validation.target
    count, prediction = len(np.unique(units)), validation.prediction[0].astype(np.float64)
    if classes > 2:
        scores = 1 - prediction[np.arange(len(target)), target]
        highest = quantile(scores, units, coverage)
        least = None if highest is None else 1 - highest
        return Conformal(coverage=coverage, units=count, least=least)
    errors = [np.abs(prediction[:, 0] - target)]
    if not dataset.contract.target_lags:
        plain = Conformal(
            coverage=coverage, units=count, margins=margins_of(errors, units, coverage)
        )
        return relative(plain, validation, units) or plain
    if paths and fit:
        errors += list(np.abs(forecast_errors(dataset, paths, fit, "train")).T[1:])
    margins = margins_of(errors, units, coverage)
    return Conformal(coverage=coverage, units=count, margins=margins)


def margins_of(errors: list[np.ndarray], units: np.ndarray, coverage: float) -> list[float]:
    """Return the margin of each step, up to the first that too few errors are known of."""
    margins: list[float] = []
    for step, error in enumerate(errors):
        known = np.isfinite(error)
        margin = quantile(error[known], (np.arange(len(error)) if step else units)[known], coverage)
        if margin is None:
            break
        margins.append(margin)
    return margins


def relative(
    plain: Conformal, validation: HeldOutPredictions, units: np.ndarray
) -> Conformal | None:
    """Return intervals whose margin is a share of the prediction, if they are better.

    Of small predictions the margin is that of the lowest decile. Better means a lower interval
    score on the validation rows, which decide it: a wide interval costs, and an outcome beyond one.

    References
    ----------
    Gneiting and Raftery, "Strictly Proper Scoring Rules, Prediction, and Estimation", JASA
    102(477), 2007 (section 6.2). Lei et al. 2018 (section 5.2: locally weighted margins).
    """
    values, target = validation.prediction[0, :, 0].astype(np.float64), validation.target
    if plain.units < ENOUGH or not plain.margins:
        return None
    floor = float(np.quantile(np.abs(values), 0.1))
    if floor <= 0:
        return None
    shares = [np.abs(values - target) / np.maximum(np.abs(values), floor)]
    margins = margins_of(shares, units, plain.coverage)
    found = plain.model_copy(update={"margins": margins, "floor": floor})
    scores = [interval_score(one, values, target) for one in (plain, found)]
    return found if scores[1] < BETTER * scores[0] else None


def interval_score(conformal: Conformal, values: np.ndarray, target: np.ndarray) -> float:
    """Return the mean interval score; lower is better."""
    ends = conformal.bounds(values)
    assert ends
    low, high = ends
    beyond = np.maximum(low - target, 0) + np.maximum(target - high, 0)
    return float(np.mean(high - low + 2 / (1 - conformal.coverage) * beyond))


def units_of(dataset: Dataset, held: HeldOutPredictions) -> np.ndarray:
    """Return the unit of each held-out prediction: its group, or the row.

    A row that is predicted several times is one unit. So is a row of a time series: its errors are
    not independent of those before it, which costs little coverage if they forget their past.

    References
    ----------
    Oliveira et al., "Split Conformal Prediction and Non-Exchangeable Data", Journal of Machine
    Learning Research 25(225), 2024.
    """
    group = dataset.contract.names("group")
    return group_numbers(dataset.table[group[0]][held.rows]) if group else held.rows


def quantile(scores: np.ndarray, units: np.ndarray, level: float) -> float | None:
    """Return the score that a new row exceeds with a probability of at most `1 - level`.

    Each of K units counts the same, however many scores it has, and one more unit is taken to have
    an infinite score. With one score a unit it is the score of rank `ceil((K + 1) * level)`.

    Parameters
    ----------
    scores : ndarray of shape (n,)
        Such as absolute errors.
    units : ndarray of int, shape (n,)
        Unit of each.
    level : float
        Coverage.

    Returns
    -------
    float or None
        None if there are too few units.

    References
    ----------
    Lee, Barber and Willett, "Distribution-free inference with hierarchical data", 2023,
    https://arxiv.org/abs/2306.06342 (for a row of a unit that is not among these).
    """
    if not len(scores):
        return None
    _, number, counts = np.unique(units, return_inverse=True, return_counts=True)
    order = np.argsort(scores, kind="stable")
    share = np.cumsum(1 / counts[number[order]]) / (len(counts) + 1)
    at = int(np.searchsorted(share, level - EXACT))
    return float(scores[order[at]]) if at < len(order) else None


def evaluate_coverage(conformal: Conformal | None, test: HeldOutPredictions) -> dict[str, Any]:
    """Measure how many test outcomes are in their prediction interval or set.

    Parameters
    ----------
    conformal : Conformal or None
        The intervals or sets.
    test : HeldOutPredictions
        Predictions of the test rows.

    Returns
    -------
    dict
        `coverage`, with the `nominal` one, the share of the `test` outcomes, its 95% confidence
        `interval`, and the mean `width` of the intervals or the mean `size` of the sets; or with
        the `shortage` of rows for which there are none. Empty for two classes.
    """
    if conformal is None:
        return {}
    content: dict[str, Any] = {"nominal": conformal.coverage}
    found = share_covered(conformal, test)
    if found is None:
        return {"coverage": {**content, "shortage": shortage(conformal)}}
    content["test"], (low, high) = found
    content["interval"] = [low, high]
    if test.prediction.shape[2] == 1:
        low_high = [conformal.bounds(one[:, 0]) for one in test.prediction]
        content["width"] = float(np.mean([ends[1] - ends[0] for ends in low_high if ends]))
    else:
        pairs = zip(test.prediction, test.labels, strict=True)
        sets = [conformal.sets(one, labels) for one, labels in pairs]
        content["size"] = float(np.mean([one.sum(axis=1) for one in sets if one is not None]))
    return {"coverage": content}


def share_covered(
    conformal: Conformal | None, held: HeldOutPredictions
) -> tuple[float, tuple[float, float]] | None:
    """Return the share of outcomes in their interval or set, and its 95% confidence interval."""
    if conformal is None:
        return None
    repeats = [
        conformal.covers(held.target, prediction, labels)
        for prediction, labels in zip(held.prediction, held.labels, strict=True)
    ]
    known = [one for one in repeats if one is not None]
    if not known:
        return None
    share: np.ndarray = np.mean(known, axis=0)
    return float(share.mean()), mean_interval(share, held.groups, "bounded")


def shortage(conformal: Conformal) -> str:
    """Return why there are no intervals or sets."""
    fewest = math.ceil(conformal.coverage / (1 - conformal.coverage) - EXACT)
    return f"they need {fewest} validation rows or groups at least, and there are {conformal.units}"
