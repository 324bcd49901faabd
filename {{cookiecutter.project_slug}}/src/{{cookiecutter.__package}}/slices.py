"""Slices: how good predictions are for parts of the rows, which a mean over all may hide."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from .columns import Boolean, Category, Number
from .evaluation import Held, held_once
from .markdown import code
from .preparation import Prepared
from .registry import decision
from .scoring import Scorer

LEAST_ROWS = 100
LEAST_RARER = 10  # of the rarer of two classes: with fewer, one row decides the score
QUARTILES = (0.25, 0.5, 0.75)
NAMED = 3


@dataclass(frozen=True)
class Slice:
    """Test rows that have something in common.

    Attributes
    ----------
    name
        What they have in common, in Markdown.
    rows
        Their places among the test rows, shape (n,).
    score
        The primary metric of the model, and `dummy` of ignoring the input.
    """

    name: str
    rows: np.ndarray
    score: float
    dummy: float

    @property
    def skill(self) -> float:
        """How far the score is on the way from ignoring the input to the best there is, which is 1.

        Scores alone cannot be compared: where a class is rare, or the values are close together,
        any model's is low.
        """
        return (self.score - self.dummy) / max(1 - self.dummy, 1e-9)


def worst_slices(
    prepared: Prepared, held: Held, dummy: Held, columns: Iterable[str]
) -> tuple[int, list[Slice]]:
    """How many slices there are, and those with the least skill, the least first.

    Slices are the frequent values of categories and the quarters of numbers, one column at a
    time, with at least `LEAST_ROWS` test rows and `LEAST_RARER` of the rarer of two classes.

    Parameters
    ----------
    held, dummy
        Predictions of the same test rows by the model, and without looking at the input.
    """
    found = [
        Slice(name, rows, held.score(rows), dummy.score(rows))
        for column in columns
        for name, rows in slices(prepared, column, held.rows)
        if len(rows) >= LEAST_ROWS
        and (len(prepared.classes) != 2 or rarer(held.target[rows]) >= LEAST_RARER)
    ]
    found.sort(key=lambda one: one.skill)
    return len(found), found[:NAMED]


def slices(prepared: Prepared, column: str, rows: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """For each slice by a column: its name, and its places among the given rows."""
    kind, values = prepared.contract.columns[column], prepared.table[column][rows]
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
        frequent = texts.drop_nulls().value_counts().filter(pl.col("count") >= LEAST_ROWS)
        for value in frequent[column].to_list():
            yield f"{title} is {code(value)}", np.flatnonzero((texts == value).fill_null(False))
    else:
        return
    yield f"{title} is missing", np.flatnonzero(missing)


def rarer(target: np.ndarray) -> int:
    """Rows of the rarer of two classes."""
    second = int(np.count_nonzero(target))
    return min(second, len(target) - second)


def later_rows(prepared: Prepared, scorer: Scorer) -> Held | None:
    """Predict the rows after the test rows, if there are enough of them to be judged."""
    if len(prepared.rounds) > 1:
        return None
    rows = prepared.rounds[0].later
    if prepared.classes:
        rows = rows[prepared.target(rows) >= 0]  # a class that came later cannot be answered
    if len(rows) < LEAST_ROWS:
        return None
    prediction = scorer.predict_as(prepared.features(rows), prepared.classes)
    return held_once(rows, prepared.target(rows), prediction, **decision(scorer, prepared))
