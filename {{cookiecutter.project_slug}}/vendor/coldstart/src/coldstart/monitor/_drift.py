"""Drift: how far two samples of a column lie apart, and how far chance alone would bring them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from scipy.spatial.distance import jensenshannon

from coldstart.contract.columns import BaseColumn, Category
from coldstart.monitor._bins import Bins, bins_of

SHUFFLES = 2000
CHANCE = 0.999  # of the shuffles, which lie nearer to each other than what counts as drift
BROKEN = 0.5  # distance from which a column is not the same column any more
SHOWN = 5  # new labels
KEPT = 10_000  # of them, of which these are the commonest: there may be one in every row


@dataclass
class Tally:
    """What is counted of a column while rows go by.

    Attributes
    ----------
    reference, served
        Rows in each bin.
    new, unknown
        Labels that the reference does not hold, and in how many rows there was one.
    once
        Share of the reference whose label is there only once: by chance about as many rows hold
        one that it does not have (Good, "The population frequencies of species", 1953).
    """

    name: str
    bins: Bins
    reference: np.ndarray
    served: np.ndarray
    known: frozenset[str] | None = None
    new: Counter[str] = field(default_factory=Counter)
    unknown: int = 0
    once: float = 0.0

    @classmethod
    def of(cls, name: str, bins: Bins, reference: pl.Series) -> Tally:
        """Begin with the reference."""
        return cls(name, bins, bins.count(reference), np.zeros(len(bins.labels), np.int64))

    @classmethod
    def of_column(cls, name: str, column: BaseColumn, reference: pl.Series) -> Tally:
        """Begin with the reference of a feature."""
        tally = cls.of(name, bins_of(column, reference), reference)
        if isinstance(column, Category):
            known = reference.drop_nulls()
            tally.known = frozenset([*known, *column.categories])
            tally.once = int(known.is_unique().sum()) / max(1, len(reference))
        return tally

    def add(self, values: pl.Series) -> None:
        """Count some rows."""
        self.served += self.bins.count(values)
        if self.known is not None:
            new = values.filter(~values.is_in(list(self.known))).drop_nulls()
            self.unknown += len(new)
            self.new.update(dict(new.value_counts().iter_rows()))
            if len(self.new) > KEPT:
                self.new = Counter(dict(self.new.most_common(KEPT)))

    def finding(self, threshold: float) -> Finding:
        """Compare what was counted."""
        samples = self.reference, self.served
        score, chance = distance(*samples), by_chance(*samples)
        return Finding(self, score, chance, score > max(threshold, chance))


@dataclass(frozen=True)
class Finding:
    """What the comparison of a column found.

    Attributes
    ----------
    score
        Distance from the reference, from 0 (the same) to 1 (nothing in common).
    chance
        Distance that chance alone stays below, of samples as large as these.
    drifted
        Whether the score is above both this and the threshold.
    """

    tally: Tally
    score: float
    chance: float
    drifted: bool

    @property
    def name(self) -> str:
        """The column's name."""
        return self.tally.name

    @property
    def broken(self) -> bool:
        """Whether it is so far away that it is hardly the same column."""
        return self.drifted and self.score >= BROKEN

    @property
    def missing(self) -> tuple[float, float]:
        """Share of missing values, in the reference and now."""
        samples = self.tally.reference, self.tally.served
        then, now = (counts[-1] / counts.sum() for counts in samples)
        return float(then), float(now)

    @property
    def new(self) -> str:
        """Labels that the reference does not hold."""
        counts = self.tally.new
        if not counts:
            return ""
        some = ", ".join(f"{label[:30]!r}" for label, _ in counts.most_common(SHOWN))
        more = ", ..." if len(counts) > SHOWN else ""
        share = self.tally.unknown / self.tally.served.sum()
        return f"{share:.1%} not in the reference ({self.tally.once:.1%} by chance): {some}{more}"


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Jensen-Shannon distance of two rows of counts, in base 2.

    References
    ----------
    Endres and Schindelin, "A new metric for probability distributions", 2003.
    """
    return float(np.nan_to_num(jensenshannon(one, other, base=2)))  # rounding, of equal ones


def by_chance(one: np.ndarray, other: np.ndarray, seed: int = 0) -> float:
    """Distance that shuffling the rows of both samples together seldom goes beyond.

    Shuffled rows are dealt out to two samples as large as these; only how many of each bin
    go to which is drawn, so that millions of rows take no longer than hundreds.
    """
    both = (one + other)[(one + other) > 0]
    dice = np.random.default_rng(seed)
    dealt = dice.multivariate_hypergeometric(both, int(other.sum()), SHUFFLES, method="marginals")
    rest = both - dealt
    distances = jensenshannon(dealt, rest, base=2, axis=1)
    return float(np.quantile(np.nan_to_num(distances), CHANCE))
