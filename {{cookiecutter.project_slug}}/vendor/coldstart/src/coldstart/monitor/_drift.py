"""Drift: the distance of two samples of a column, and the distance that chance can cause."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from scipy.spatial.distance import jensenshannon

from coldstart.contract.columns import BaseColumn, Category
from coldstart.monitor._bins import Bins, make_bins

SHUFFLES = 2000
CHANCE = 0.999  # quantile of the shuffles' distances, beyond which a distance counts as drift
BROKEN = 0.5  # distance from which a column is hardly the same column any more
SHOWN = 5  # new labels
MAX_NEW = 10_000  # of them are kept, the most frequent: there may be one in every row


@dataclass
class Tally:
    """Counts of a column.

    Attributes
    ----------
    name : str
        The column.
    bins : Bins
        Its bins.
    reference, served : ndarray of int
        Rows in each bin.
    known : frozenset of str, optional
        Labels of the reference rows and the contract.
    new, unknown : Counter and int
        Labels that are not known, and the number of rows with one.
    once : float
        Share of the reference rows whose label occurs only once: by chance about as many rows have
        one that the reference does not.

    References
    ----------
    Good, "The population frequencies of species and the estimation of population parameters",
    Biometrika 40, 1953: the share of unseen labels.
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
        """Return a tally that has counted the reference rows."""
        return cls(name, bins, bins.count(reference), np.zeros(len(bins.labels), np.int64))

    @classmethod
    def of_column(cls, name: str, column: BaseColumn, reference: pl.Series) -> Tally:
        """Return a tally of a feature that has counted the reference rows."""
        tally = cls.of(name, make_bins(column, reference), reference)
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
            self.new.update(dict(new.alias("value").value_counts().iter_rows()))
            if len(self.new) > MAX_NEW:
                self.new = Counter(dict(self.new.most_common(MAX_NEW)))

    def finding(self, threshold: float) -> Finding:
        """Return the comparison of the counts.

        Parameters
        ----------
        threshold : float
            Distance from which a column has drifted.
        """
        samples = self.reference, self.served
        score, chance = distance(*samples), distance_by_chance(*samples)
        return Finding(self, score, chance, score > max(threshold, chance))


@dataclass(frozen=True)
class Finding:
    """The comparison of a column.

    Attributes
    ----------
    tally : Tally
        What was counted.
    score : float
        Distance from the reference rows, from 0 (the same) to 1 (no value in common).
    chance : float
        Distance that chance alone seldom exceeds, of samples as large as these.
    drifted : bool
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
        """Whether the distance is so large that it is hardly the same column."""
        return self.drifted and self.score >= BROKEN

    @property
    def missing(self) -> tuple[float, float]:
        """Share of missing values, in the reference rows and now."""
        samples = self.tally.reference, self.tally.served
        then, now = (counts[-1] / counts.sum() for counts in samples)
        return float(then), float(now)

    @property
    def new(self) -> str:
        """Text on labels that the reference rows do not have; empty if there are none."""
        counts = self.tally.new
        if not counts:
            return ""
        some = ", ".join(f"{label[:30]!r}" for label, _ in counts.most_common(SHOWN))
        more = ", ..." if len(counts) > SHOWN else ""
        share = self.tally.unknown / self.tally.served.sum()
        return (
            f"{share:.1%} not in the reference rows ({self.tally.once:.1%} by chance): {some}{more}"
        )


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Return the Jensen-Shannon distance of two rows of counts, in base 2.

    References
    ----------
    Endres and Schindelin, "A new metric for probability distributions", IEEE Transactions on
    Information Theory 49(7), 2003.
    """
    return float(np.nan_to_num(jensenshannon(one, other, base=2)))  # rounding, of equal ones


def distance_by_chance(one: np.ndarray, other: np.ndarray, seed: int = 0) -> float:
    """Return the distance that shuffling the rows of both samples together seldom exceeds.

    Shuffled rows are dealt out to two samples as large as these; only how many of each bin go to
    which is drawn, so that millions of rows take no longer than hundreds.
    """
    both = (one + other)[(one + other) > 0]
    random = np.random.default_rng(seed)
    dealt = random.multivariate_hypergeometric(both, int(other.sum()), SHUFFLES, method="marginals")
    rest = both - dealt
    distances = jensenshannon(dealt, rest, base=2, axis=1)
    return float(np.quantile(np.nan_to_num(distances), CHANCE))
