"""Leaks: columns that reveal the target beyond what is plausible.

A high score is not proof, since a good feature has one. A leak needs evidence that the column was
made from the target, or after it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from coldstart.data._splitting import group_numbers
from coldstart.data.profiling._arithmetic import find_arithmetic_leaks
from coldstart.data.profiling._availability import find_doubtful
from coldstart.data.profiling._evidence import (
    AFTER,
    LeakContext,
    contains_answer,
    duplicates_target,
    filled_afterwards,
)
from coldstart.data.profiling._profiles import ColumnProfile, Findings, Leak, words
from coldstart.data.profiling._scores import ROWS, Target, alone, together
from coldstart.data.profiling._spellings import vocabulary

NEAR_PERFECT, STRONG = 0.99, 0.95
BEFORE = vocabulary("last previous prev prior past old initial start first baseline lag before")
VAGUE = vocabulary(
    "id is has the of in a an no n value values label labels target class type code name number "
    "total count flag status y x var variable col column rate level group max min mean"
)


def find_leaks(
    profiles: Mapping[str, ColumnProfile],
    target_profile: ColumnProfile,
    group: ColumnProfile | None = None,
    time: ColumnProfile | None = None,
) -> Findings:
    """Score every feature, and separate leaks from strong columns, and from doubtful ones.

    If rows are split by a group, a row is scored by rows of other groups.
    """
    labelled = target_profile.values.is_not_null().arg_true().to_numpy()
    rows = np.sort(np.random.default_rng(0).permutation(labelled)[:ROWS])
    values = target_profile.values[rows]
    groups = None
    if group is not None:
        groups = group_numbers(group.values[rows])
    target = Target.of(values, groups)
    found = Findings(metric=target.metric, group=group.name if group else "")
    columns = {
        name: profile.values[rows]
        for name, profile in profiles.items()
        if profile.role == "feature"
    }
    columns = {name: some for name, some in columns.items() if some.null_count() < len(some)}
    found.alone = {name: alone(profiles[name], some, target) for name, some in columns.items()}
    detector = LeakDetector(LeakContext(profiles, target_profile, columns, values, target), found)
    detector()
    left = {leak.column for leak in found.leaks}
    kept = [(profiles[name], some) for name, some in columns.items() if name not in left]
    found.together = detector.together(tuple(profile.name for profile, _ in kept))
    strength = {profile.name: target.strength(found.alone[profile.name]) for profile, _ in kept}
    doubts = find_doubtful(detector.context, strength, time)
    found.doubts = doubts | {leak.column: leak.why for leak in found.warnings}
    return found


class LeakDetector:
    """One search for leaks."""

    def __init__(self, context: LeakContext, found: Findings) -> None:
        self.context, self.found = context, found
        self.profiles, self.columns, self.target = context.profiles, context.columns, context.target
        self._together: dict[tuple[str, ...], float] = {}

    def __call__(self) -> None:
        """Check each kind of evidence, the most reliable first."""
        if self.context.rows < 20:
            return
        for name in self.columns:
            if why := duplicates_target(self.context, name):
                self.add_leak(name, why)
                continue
            why, score = filled_afterwards(self.context, name)
            if why := why or contains_answer(self.context, name):
                self.add_leak(name, why, score)
        if not self.target.classifies:
            for name, why in find_arithmetic_leaks(self.context, self.kept).items():
                self.add_leak(name, why)
        self.check_near_perfect()
        self.check_names()
        self.check_outstanding()
        self.keep_a_feature()

    def add_leak(self, name: str, why: str, score: float | None = None) -> None:
        """Note a leak, once."""
        if name not in [leak.column for leak in self.found.leaks]:
            faked = self.found.alone.get(name, 0.0) if score is None else score
            self.found.leaks.append(Leak(name, faked, why))

    @property
    def kept(self) -> list[str]:
        """Columns that are not leaks so far."""
        left = {leak.column for leak in self.found.leaks}
        return [name for name in self.columns if name not in left]

    def together(self, names: tuple[str, ...]) -> float:
        """Score some columns together, at most the 300 strongest."""
        names = tuple(sorted(names, key=lambda name: -self.found.alone[name])[:300])
        if names not in self._together:
            pairs = [(self.profiles[name], self.columns[name]) for name in names]
            self._together[names] = together(pairs, self.target)
        return self._together[names]

    def check_near_perfect(self) -> None:
        """Leave out a nearly perfect column that all others together are far from."""
        suspects = [name for name in self.kept if self.found.alone[name] >= NEAR_PERFECT]
        classes = self.target.classifies
        rarest = np.bincount(self.target.codes).min() if classes else self.context.rows
        if not suspects or self.context.rows < 50 or len(self.columns) > self.context.rows:
            return
        coarser = {name: self.coarser(name) for name in suspects}
        known = {*suspects, *(other for names in coarser.values() for other in names)}
        rest = self.together(tuple(name for name in self.kept if name not in known))
        for name in suspects:
            score = self.found.alone[name]
            others = f"all other columns together reach {rest:.3f}"
            comparable = (
                self.profiles[name].type != "text" and rarest >= 8 and len(self.columns) > 1
            )
            if comparable and (1 - rest) >= max(0.02, 8 * (1 - score)):
                self.add_leak(name, f"Alone it is nearly perfect; {others}.")
                for other in coarser[name]:
                    self.add_leak(other, f"It is {name} in coarser steps.")
                continue
            self.add_warning(
                name, f"Alone it is nearly perfect; {others}. Kept, since that is possible."
            )

    def coarser(self, name: str) -> list[str]:
        """Return other strong columns that follow from this one, with fewer values."""
        fine, profile = self.columns[name], self.profiles[name]
        if (
            profile.type not in ("category", "boolean")
            or profile.distinct > 0.2 * self.context.rows
        ):
            return []
        found = []
        for other in self.kept:
            if other == name or self.target.strength(self.found.alone[other]) < 0.3:
                continue
            pairs = pl.DataFrame({"fine": fine, "coarse": self.columns[other]}).unique()
            if len(pairs) == pairs["fine"].n_unique():
                found.append(other)
        return found

    def check_outstanding(self) -> None:
        """Warn of a strong column that all others together are far from."""
        # A number is harder to predict than a class.
        least, times = (STRONG, 4) if self.target.classifies else (STRONG - 0.05, 2)
        strong = [name for name in self.kept if least <= self.found.alone[name] < NEAR_PERFECT]
        if self.context.rows < 50 or len(self.columns) < 2:
            return
        for name in strong:
            score = self.found.alone[name]
            rest = self.together(tuple(other for other in self.kept if other != name))
            if 1 - rest >= max(0.05, times * (1 - score)):
                others = f"all other columns together reach {rest:.3f}"
                self.add_warning(
                    name, f"Alone it scores {score:.3f}; {others}. Is it known at prediction time?"
                )

    def check_names(self) -> None:
        """Check columns whose name suggests that they come after the target, or from it."""
        about = set(words(self.context.target_profile.name)) - VAGUE
        for name in self.kept:
            terms = set(words(name))
            if terms & BEFORE:
                continue
            after, same = sorted(terms & AFTER), sorted(w for w in terms & about if len(w) > 2)
            score = self.found.alone[name]
            strength = self.target.strength(score)
            if not (after or same) or strength < 0.3:
                continue
            rest = self.together(tuple(other for other in self.kept if other != name))
            gap = strength - self.target.strength(rest)
            hint = f"Its name ({(after or same)[0]}) suggests that it comes " + (
                "after the outcome" if after else f"from {self.context.target_profile.name}"
            )
            clear = strength >= 0.8 and (1 - self.target.strength(rest)) >= 2.5 * (1 - strength)
            written = after and self.profiles[name].type == "text" and strength >= 0.5
            if written and self.target.strength(rest) >= 0.3:
                self.add_leak(name, f"{hint}, and it is free text.")
            elif clear or (after and gap >= 0.1):
                self.add_leak(
                    name,
                    f"{hint}, and alone it scores higher than all others together ({rest:.3f}).",
                )
            elif strength >= 0.6:
                self.add_warning(name, f"{hint}, but other columns score as high: kept.")

    def add_warning(self, name: str, why: str) -> None:
        """Note a column to check."""
        if name not in [leak.column for leak in self.found.warnings]:
            self.found.warnings.append(Leak(name, self.found.alone[name], why))

    def keep_a_feature(self) -> None:
        """Keep some feature, however doubtful."""
        if self.kept or not self.found.leaks:
            return
        for leak in self.found.leaks:
            why = f"{leak.why} Kept, since nothing else is left to learn from."
            self.found.warnings.insert(0, Leak(leak.column, leak.score, why))
        self.found.leaks.clear()
