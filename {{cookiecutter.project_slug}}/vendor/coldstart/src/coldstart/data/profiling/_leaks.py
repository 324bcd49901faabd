"""Leaks: columns that give the target away beyond what is plausible.

Being strong is no proof: a good feature is. What counts is evidence that a column was
made from the target, or after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from coldstart.data.profiling._arithmetic import follows
from coldstart.data.profiling._column_profile import ColumnProfile, words
from coldstart.data.profiling._evidence import AFTER, Scene, copy, filled_afterwards, says_answer
from coldstart.data.profiling._scores import ROWS, Target, alone, together
from coldstart.data.profiling._spellings import vocabulary

NEAR_PERFECT, STRONG = 0.99, 0.95
BEFORE = vocabulary("last previous prev prior past old initial start first baseline lag before")
VAGUE = vocabulary(
    "id is has the of in a an no n value values label labels target class type code name number "
    "total count flag status y x var variable col column rate level group max min mean"
)


@dataclass
class Leak:
    """A column that should be left out, or looked at.

    Attributes
    ----------
    score
        What the column alone would have faked (or, if text says so, its missingness).
    why
        The evidence.
    """

    column: str
    score: float
    why: str


@dataclass
class Findings:
    """What the columns tell of the target.

    Attributes
    ----------
    alone
        Score of each feature alone.
    together
        Score of all that are kept.
    leaks
        To be left out.
    doubts
        Strong, but plausible: kept.
    """

    metric: str = ""
    alone: dict[str, float] = field(default_factory=dict)
    together: float = 0.0
    leaks: list[Leak] = field(default_factory=list)
    doubts: list[Leak] = field(default_factory=list)


def find(looks: Mapping[str, ColumnProfile], target_look: ColumnProfile) -> Findings:
    """Measure every feature, and tell leaks from strong columns."""
    labelled = target_look.values.is_not_null().arg_true().to_numpy()
    rows = np.sort(np.random.default_rng(0).permutation(labelled)[:ROWS])
    values = target_look.values[rows]
    target = Target.of(values)
    found = Findings(metric=target.metric)
    columns = {name: look.values[rows] for name, look in looks.items() if look.role == "feature"}
    columns = {name: some for name, some in columns.items() if some.null_count() < len(some)}
    found.alone = {name: alone(looks[name], some, target) for name, some in columns.items()}
    hunt = LeakDetector(Scene(looks, target_look, columns, values, target), found)
    hunt()
    left = {leak.column for leak in found.leaks}
    kept = [(looks[name], some) for name, some in columns.items() if name not in left]
    found.together = hunt.together(tuple(look.name for look, _ in kept))
    return found


class LeakDetector:
    """One search for leaks."""

    def __init__(self, scene: Scene, found: Findings) -> None:
        self.scene, self.found = scene, found
        self.looks, self.columns, self.target = scene.looks, scene.columns, scene.target
        self._together: dict[tuple[str, ...], float] = {}

    def __call__(self) -> None:
        """Try each kind of evidence, the surest first."""
        if self.scene.rows < 20:
            return
        for name in self.columns:
            if why := copy(self.scene, name):
                self.leak(name, why)
                continue
            why, score = filled_afterwards(self.scene, name)
            if why := why or says_answer(self.scene, name):
                self.leak(name, why, score)
        if not self.target.classifies:
            for name, why in follows(self.scene, self.kept).items():
                self.leak(name, why)
        self.too_good()
        self.by_name()
        self.stands_out()
        self.last_feature()

    def leak(self, name: str, why: str, score: float | None = None) -> None:
        """Note a leak, once."""
        if name not in [leak.column for leak in self.found.leaks]:
            faked = self.found.alone.get(name, 0.0) if score is None else score
            self.found.leaks.append(Leak(name, faked, why))

    @property
    def kept(self) -> list[str]:
        """Columns that are no leak so far."""
        left = {leak.column for leak in self.found.leaks}
        return [name for name in self.columns if name not in left]

    def together(self, names: tuple[str, ...]) -> float:
        """Score of some columns together; the 300 strongest stand for more."""
        names = tuple(sorted(names, key=lambda name: -self.found.alone[name])[:300])
        if names not in self._together:
            pairs = [(self.looks[name], self.columns[name]) for name in names]
            self._together[names] = together(pairs, self.target)
        return self._together[names]

    def too_good(self) -> None:
        """Leave out a near perfect column that all others together are far from."""
        suspects = [name for name in self.kept if self.found.alone[name] >= NEAR_PERFECT]
        classes = self.target.classifies
        rarest = np.bincount(self.target.codes).min() if classes else self.scene.rows
        if not suspects or self.scene.rows < 50 or len(self.columns) > self.scene.rows:
            return
        coarser = {name: self.coarser(name) for name in suspects}
        known = {*suspects, *(other for names in coarser.values() for other in names)}
        rest = self.together(tuple(name for name in self.kept if name not in known))
        for name in suspects:
            score = self.found.alone[name]
            others = f"all other columns together reach {rest:.3f}"
            judged = self.looks[name].type != "text" and rarest >= 8 and len(self.columns) > 1
            if judged and (1 - rest) >= max(0.02, 8 * (1 - score)):
                self.leak(name, f"Alone it is all but perfect; {others}.")
                for other in coarser[name]:
                    self.leak(other, f"It is {name} in coarser steps.")
                continue
            self.doubt(name, f"Alone it is all but perfect; {others}. Kept, as it may be so.")

    def coarser(self, name: str) -> list[str]:
        """Other strong columns that say nothing but what this one says, in fewer values."""
        fine, look = self.columns[name], self.looks[name]
        if look.type not in ("category", "boolean") or look.distinct > 0.2 * self.scene.rows:
            return []
        found = []
        for other in self.kept:
            if other == name or self.target.strength(self.found.alone[other]) < 0.3:
                continue
            pairs = pl.DataFrame({"fine": fine, "coarse": self.columns[other]}).unique()
            if len(pairs) == pairs["fine"].n_unique():
                found.append(other)
        return found

    def stands_out(self) -> None:
        """Doubt a strong column that all others together are far from."""
        # Of a quantity less can be told than of a label.
        least, times = (STRONG, 4) if self.target.classifies else (STRONG - 0.05, 2)
        strong = [name for name in self.kept if least <= self.found.alone[name] < NEAR_PERFECT]
        if self.scene.rows < 50 or len(self.columns) < 2:
            return
        for name in strong:
            score = self.found.alone[name]
            rest = self.together(tuple(other for other in self.kept if other != name))
            if 1 - rest >= max(0.05, times * (1 - score)):
                others = f"all other columns together reach {rest:.3f}"
                self.doubt(name, f"Alone it tells {score:.3f}; {others}. Is it known in time?")

    def by_name(self) -> None:
        """Judge columns whose name tells that they come after the target, or from it."""
        about = set(words(self.scene.aim.name)) - VAGUE
        for name in self.kept:
            told = set(words(name))
            if told & BEFORE:
                continue
            after, same = sorted(told & AFTER), sorted(w for w in told & about if len(w) > 2)
            score = self.found.alone[name]
            strength = self.target.strength(score)
            if not (after or same) or strength < 0.3:
                continue
            rest = self.together(tuple(other for other in self.kept if other != name))
            gap = strength - self.target.strength(rest)
            hint = f"Its name ({(after or same)[0]}) says that it comes " + (
                "after the outcome" if after else f"from {self.scene.aim.name}"
            )
            clear = strength >= 0.8 and (1 - self.target.strength(rest)) >= 2.5 * (1 - strength)
            written = after and self.looks[name].type == "text" and strength >= 0.5
            if written and self.target.strength(rest) >= 0.3:
                self.leak(name, f"{hint}, and it is free text.")
            elif clear or (after and gap >= 0.1):
                self.leak(name, f"{hint}, and alone it tells more than all others ({rest:.3f}).")
            elif strength >= 0.6:
                self.doubt(name, f"{hint}, but other columns tell as much: kept.")

    def doubt(self, name: str, why: str) -> None:
        """Note a column to look at."""
        if name not in [leak.column for leak in self.found.doubts]:
            self.found.doubts.append(Leak(name, self.found.alone[name], why))

    def last_feature(self) -> None:
        """Keep something to learn from, however doubtful."""
        if self.kept or not self.found.leaks:
            return
        for leak in self.found.leaks:
            why = f"{leak.why} Kept, since nothing else is left to learn from."
            self.found.doubts.insert(0, Leak(leak.column, leak.score, why))
        self.found.leaks.clear()
