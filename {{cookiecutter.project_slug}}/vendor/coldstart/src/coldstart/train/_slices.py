"""Slices: scores of subgroups of the rows, which the mean over all rows may hide."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from coldstart._markdown import code
from coldstart.bundle._predictor import BundlePredictor
from coldstart.contract.columns import Boolean, Category, Number
from coldstart.data._dataset import Dataset
from coldstart.train._evaluation import HeldOutPredictions
from coldstart.train._folds import predict_held_out

LEAST_ROWS = 100
LEAST_RARER = 10  # of the rarer of two classes: with fewer, one row decides the score
QUARTILES = (0.25, 0.5, 0.75)
NAMED = 3


@dataclass(frozen=True)
class Slice:
    """A subgroup of the test rows.

    Parameters
    ----------
    name : str
        Condition that the rows have in common, in Markdown.
    rows : ndarray of int, shape (n,)
        Positions among the test rows.
    score : float
        Primary metric of the model.
    dummy : float
        Primary metric of the dummy baseline.
    best : float, default=1.0
        Primary metric of a perfect model.
    """

    name: str
    rows: np.ndarray
    score: float
    dummy: float
    best: float = 1.0

    @property
    def skill(self) -> float:
        """How far the score is from the dummy baseline (0) to a perfect one (1).

        Scores alone cannot be compared: where a class is rare, or the values are close together,
        any model's is low.
        """
        return (self.score - self.dummy) / max(self.best - self.dummy, 1e-9)


def worst_slices(
    dataset: Dataset, held: HeldOutPredictions, dummy: HeldOutPredictions, columns: Iterable[str]
) -> tuple[int, list[Slice]]:
    """Return the number of slices, and those with the least skill, the lowest first.

    Slices are the frequent values of categories and the quarters of numbers, one column at a time,
    with at least `LEAST_ROWS` test rows and `LEAST_RARER` of the rarer of two classes.

    Parameters
    ----------
    held : HeldOutPredictions
        Predictions of the test rows by the model.
    dummy : HeldOutPredictions
        Predictions of the same rows by the dummy baseline.
    """
    found = [
        (name, rows)
        for column in columns
        for name, rows in slices(dataset, column, held.rows)
        if len(rows) >= LEAST_ROWS
        and (len(dataset.classes) != 2 or rarer(held.target[rows]) >= LEAST_RARER)
    ]
    if not found:
        return 0, []
    inside = np.zeros((len(found), len(held.rows)), dtype=bool)
    for weights, (_, rows) in zip(inside, found, strict=True):
        weights[rows] = True
    scores, dummies = held.weighted_scores(inside), dummy.weighted_scores(inside)
    scored = [
        Slice(*one, float(score), float(lowest), held.scorer.best)
        for one, score, lowest in zip(found, scores, dummies, strict=True)
    ]
    scored.sort(key=lambda one: one.skill)
    return len(scored), scored[:NAMED]


def slices(dataset: Dataset, column: str, rows: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the name of each slice by a column, and its positions among the given rows."""
    kind, values = dataset.contract.columns[column], dataset.table[column][rows]
    title = code(column)
    if isinstance(kind, Number):
        numbers = values.to_numpy().astype(np.float64)
        missing = np.isnan(numbers)
        if missing.all():
            return
        edges = np.unique(np.quantile(numbers[~missing], QUARTILES))
        quarter = np.where(missing, -1, np.searchsorted(edges, numbers))
        for number in range(len(edges) + 1):
            ends = []
            if number:
                ends.append(f"above {edges[number - 1]:,.6g}")
            if number < len(edges):
                ends.append(f"up to {edges[number]:,.6g}")
            yield f"{title} {', '.join(ends)}", np.flatnonzero(quarter == number)
    elif isinstance(kind, Boolean | Category):
        texts = values.cast(pl.String)
        missing = texts.is_null().to_numpy()
        counts = texts.drop_nulls().alias("value").value_counts()
        for value in counts.filter(pl.col("count") >= LEAST_ROWS)["value"].to_list():
            yield f"{title} is {code(value)}", np.flatnonzero((texts == value).fill_null(False))
    else:
        return
    yield f"{title} is missing", np.flatnonzero(missing)


def rarer(target: np.ndarray) -> int:
    """Return the number of rows of the rarer of two classes."""
    second = int(np.count_nonzero(target))
    return min(second, len(target) - second)


def predict_out_of_time(dataset: Dataset, predictor: BundlePredictor) -> HeldOutPredictions | None:
    """Return predictions of the out-of-time set, or None if it has too few rows to evaluate."""
    if len(dataset.splits) > 1:
        return None
    rows = dataset.splits[0].out_of_time
    if dataset.classes:
        rows = rows[dataset.target(rows) >= 0]  # a class without training rows cannot be predicted
    if len(rows) < LEAST_ROWS:
        return None
    return predict_held_out(predictor, dataset, rows)
