"""Bins: which values of a column are counted together, by its type.

Bins are made of the reference rows alone, so the rows that are compared with them need only be
counted: one pass, a slice at a time. Missing values are the last bin of every column.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from coldstart.contract.columns import BaseColumn, Boolean, Category, Date, Image, Text
from coldstart.contract.columns._text import words_and_pairs

FEW = 20  # different numbers, each of which is a bin
OFTEN = 5  # rows that such a number has on average, since otherwise more are to come
# Deciles, and both ends. Beyond the whole reference lies one row in hundreds, without any drift.
QUANTILES = [0.01, *np.linspace(0.1, 0.9, 9), 0.99]
RARE = 0.01  # share of the reference below which a category is counted with other rare ones
WORDS = 20  # the most frequent words, which texts are grouped by
OTHERS, NONE, MISSING = "(rare or new)", "(none of them)", "(missing)"


@dataclass(frozen=True)
class Bins:
    """The bins of a column.

    Attributes
    ----------
    labels : list of str
        Text for each bin; the last is of missing values.
    place : callable
        Returns the number of the bin of each value, shape (n,).
    """

    labels: list[str]
    place: Callable[[pl.Series], np.ndarray]

    def count(self, values: pl.Series) -> np.ndarray:
        """Return how many values are in each bin."""
        return np.bincount(self.place(values), minlength=len(self.labels))


def make_bins(column: BaseColumn, reference: pl.Series) -> Bins:
    """Return bins for a column's type.

    Parameters
    ----------
    column : BaseColumn
        The column.
    reference : Series
        Its values in the reference rows.
    """
    if isinstance(column, Date):
        return bin_dates(reference)
    if isinstance(column, Text):
        return bin_texts(reference)
    if isinstance(column, Category):
        return bin_labels(reference)
    if isinstance(column, Boolean):
        return bin_labels(pl.Series(["false", "true"]), rare=0)
    if isinstance(column, Image):
        return bin_pictures(column, reference)
    return bin_numbers(reference)


def bin_pictures(column: Image, reference: pl.Series) -> Bins:
    """Return deciles of the brightness of pictures: 0 is black, and 1 is white."""

    def brightness(values: pl.Series) -> pl.Series:
        return pl.Series(np.mean(column.encode(values.to_list()), axis=0))

    bins = bin_numbers(brightness(reference))
    return Bins(bins.labels, lambda values: bins.place(brightness(values)))


def bin_numbers(reference: pl.Series) -> Bins:
    """Return a bin for each number where there are few, or else deciles of the reference."""
    known = floats(reference)
    known = known[~np.isnan(known)]
    distinct = np.unique(known)
    if not len(known):
        return Bins(["any", MISSING], lambda values: np.isnan(floats(values)).astype(np.int64))
    if len(distinct) <= min(FEW, len(known) / OFTEN):
        below = np.nextafter(distinct[0], np.float32(-np.inf))
        upper = np.array([below, *distinct])
        names = [shown(value) for value in distinct]
        labels = [f"below {names[0]}", *names, f"above {names[-1]}"]
    else:
        upper = np.unique(np.quantile(known, QUANTILES).astype(np.float32))
        names = [shown(value) for value in upper]
        labels = [f"{one} to {other}" for one, other in itertools.pairwise(names)]
        labels = [f"up to {names[0]}", *labels, f"above {names[-1]}"]

    def place(values: pl.Series) -> np.ndarray:
        numbers = floats(values)
        return np.where(np.isnan(numbers), len(labels), np.searchsorted(upper, numbers))

    return Bins([*labels, MISSING], place)


def shown(value: float) -> str:
    """Return a number as text."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def floats(values: pl.Series) -> np.ndarray:
    """Return numbers as a graph computes them: as such, a file's and the log's are equal."""
    return values.cast(pl.Float32).to_numpy()


def bin_labels(reference: pl.Series, rare: float = RARE) -> Bins:
    """Return a bin for each frequent label; rare and new ones are one, as they are to a model."""
    counts = reference.drop_nulls().alias("value").value_counts(sort=True).rows()
    kept = [label for label, count in counts if count >= rare * len(reference)]
    numbers = {label: number for number, label in enumerate(kept)}

    def place(values: pl.Series) -> np.ndarray:
        texts = values.cast(pl.String)
        found = texts.replace_strict(numbers, default=len(kept), return_dtype=pl.Int64).to_numpy()
        return np.where(texts.is_null().to_numpy(), len(kept) + 1, found)

    return Bins([*kept, OTHERS, MISSING], place)


def bin_dates(reference: pl.Series) -> Bins:
    """Return bins before all of the reference and after its start: later dates are not drift."""
    first: Any = reference.min()

    def place(values: pl.Series) -> np.ndarray:
        later = (values >= first).fill_null(False).to_numpy() if first is not None else True
        return np.where(values.is_null().to_numpy(), 2, later)

    return Bins([f"before {first}", f"from {first} on", MISSING], place)


def bin_texts(reference: pl.Series) -> Bins:
    """Return bins by the rarest of the reference's most frequent words that a text contains."""
    texts = reference.drop_nulls().to_list()
    counts = pl.Series([word for text in texts for word in words(text)], dtype=pl.String)
    common = counts.value_counts(sort=True).head(WORDS).to_series().to_list()[::-1]

    def rarest(text: str) -> str:
        found = words(text)
        return next((word for word in common if word in found), NONE)

    frequent = bin_labels(pl.Series([*common, NONE]), rare=0)
    return Bins(
        frequent.labels,
        lambda values: frequent.place(values.map_elements(rarest, return_dtype=pl.String)),
    )


def words(text: str) -> set[str]:
    """Return the words of a text as a model gets them."""
    return {word for word in words_and_pairs(text).split() if "_" not in word}
