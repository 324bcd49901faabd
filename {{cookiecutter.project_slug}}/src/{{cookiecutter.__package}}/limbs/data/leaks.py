"""Leaks: columns that give the target away beyond what is plausible.

Being strong is no proof: a good feature is. What counts is evidence that a column was
made from the target, or after it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from scipy.stats import spearmanr

from .profile import Look, words
from .scores import ROWS, Target, alone, bins, out_of_fold, together
from .spellings import vocabulary

NEAR_PERFECT, STRONG = 0.99, 0.95
BY_MISSING = 0.95
BY_CHANCE = 1e-9
COPY = 0.9995
SUM = 0.9999
AFTER = vocabulary(
    "outcome result results resolution resolved closed closing cancelled canceled cancellation "
    "discharge discharged death died deceased settlement settled recovered recovery recoveries "
    "refund refunded chargeback payout verdict final remarks remark reason termination terminated "
    "exit left completed completion ended finish finished returned investigation confirmed "
    "decision approved rejected writeoff chargeoff post after afterwards followup"
)
BEFORE = vocabulary("last previous prev prior past old initial start first baseline lag before")
SAID_ANYWAY = {"true", "false", "none", "other", "unknown", "positive", "negative", "normal"}
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


def find(looks: Mapping[str, Look], target_look: Look) -> Findings:
    """Measure every feature, and tell leaks from strong columns."""
    labelled = target_look.values.is_not_null().arg_true().to_numpy()
    rows = np.sort(np.random.default_rng(0).permutation(labelled)[:ROWS])
    values = target_look.values[rows]
    target = Target.of(values)
    found = Findings(metric=target.metric)
    columns = {name: look.values[rows] for name, look in looks.items() if look.role == "feature"}
    columns = {name: some for name, some in columns.items() if some.null_count() < len(some)}
    found.alone = {name: alone(looks[name], some, target) for name, some in columns.items()}
    hunt = Hunt(looks, target_look, columns, values, target, found)
    hunt()
    left = {leak.column for leak in found.leaks}
    kept = [(looks[name], some) for name, some in columns.items() if name not in left]
    found.together = hunt.together(tuple(look.name for look, _ in kept))
    return found


class Hunt:
    """One search for leaks."""

    def __init__(
        self,
        looks: Mapping[str, Look],
        target_look: Look,
        columns: dict[str, pl.Series],
        values: pl.Series,
        target: Target,
        found: Findings,
    ) -> None:
        self.looks, self.target_look, self.columns = looks, target_look, columns
        self.values, self.target, self.found = values, target, found
        self.rows = len(values)
        spelled = {key: "/".join(target_look.settings.get(f"{key}_values", [])) or key
                   for key in ("true", "false")}  # fmt: skip
        boolean = target_look.type == "boolean"
        self.labels = [spelled[one] if boolean else one for one in target.names]
        self._together: dict[tuple[str, ...], float] = {}

    def __call__(self) -> None:
        """Try each kind of evidence, the surest first."""
        if self.rows < 20:
            return
        for name in list(self.columns):
            why = self.copy(name) or self.by_missingness(name) or self.says_label(name)
            if why:
                self.leak(name, why)
        if not self.target.classifies:
            self.sums()
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

    def copy(self, name: str) -> str:
        """Whether a column says the same as the target."""
        look, values = self.looks[name], self.columns[name]
        target = self.target_look.name
        both = values.is_not_null().to_numpy()
        if look.type == "text" or both.sum() < max(20, 0.2 * self.rows):
            return ""
        if self.target.classifies:
            if values.n_unique() > 60 or look.distinct > 0.2 * self.rows:
                return ""
            code = bins(look, values)[both]
            classes = self.target.codes[both]
            table = np.zeros((code.max() + 1, classes.max() + 1))
            np.add.at(table, (code, classes), 1)
            table = table[table.sum(1) > 0]
            if len(np.unique(classes)) < 2:
                return ""
            right, base = table.max(1).sum() / len(code), table.sum(0).max() / len(code)
            same = len(set(table.argmax(1).tolist())) == len(table) == (table.sum(0) > 0).sum()
            if same and right >= 0.995 and 1 - right <= 0.05 * (1 - base):
                exactly = "the same as" if right == 1 else f"in {right:.1%} of rows the same as"
                return f"It says {exactly} {target}, value by value."
            return ""
        if look.type not in ("number", "date") or look.distinct < 8:
            return ""
        x = values.to_physical().cast(pl.Float64).to_numpy()[both]
        y = self.target.shown[both, 0]
        if x.std() == 0 or y.std() == 0:
            return ""
        r = abs(float(np.corrcoef(x, y)[0, 1]))
        if r > COPY:
            return f"It is {target} on another scale (correlation {r:.5f})."
        ordered = np.all(np.diff(y) >= 0) or np.all(np.diff(y) <= 0)
        if len(x) >= 50 and look.distinct > 30 and not ordered and r > 0.5:
            order = abs(float(spearmanr(x, y).statistic))
            if order > COPY:
                return f"It puts the rows into the same order as {target} (a logarithm, say)."
        return ""

    def by_missingness(self, name: str) -> str:
        """Whether it gives the target away that a value is there, or is not."""
        present = self.columns[name].is_not_null().to_numpy()
        there, absent = int(present.sum()), int((~present).sum())
        if min(there, absent) < 5:
            return ""
        predicted = out_of_fold(present.astype(np.int64), self.target)
        score = self.target.score(predicted)
        target = self.target_look.name
        if score >= (BY_MISSING if self.target.classifies else 0.9):
            if min(there, absent) >= 10:
                kind = self.found.metric
                why = f"Whether it is filled in gives {target} away ({kind} of that alone: "
                self.leak(name, f"{why}{score:.3f}), so it is filled in afterwards.", score)
            return ""
        if not self.target.classifies:
            return ""
        for rows, word in ((present, "filled in"), (~present, "missing")):
            some = self.target.codes[rows]
            main = np.bincount(some).argmax()
            share, base = float((some == main).mean()), float((self.target.codes == main).mean())
            if share >= 0.99 and len(some) >= 15 and base ** len(some) < BY_CHANCE:
                label = self.labels[main]
                return (
                    f"Where it is {word} ({len(some):,} rows) {target} is {label!r} in "
                    f"{share:.1%} of rows, {base:.1%} overall: it is known afterwards."
                )
        return ""

    def says_label(self, name: str) -> str:
        """Whether a text, or a label, contains the target's."""
        look, values = self.looks[name], self.columns[name]
        if look.type not in ("text", "category") or (look.type == "category" and look.distinct < 5):
            return ""
        squeezed = values.fill_null("").str.to_lowercase().str.replace_all(r"[\W_]+", "")
        target = self.target_look.name
        if not self.target.classifies:
            raw = self.values.cast(pl.Int64, strict=False).cast(pl.String)
            long = raw.str.len_chars().fill_null(0) >= 3
            inside = pl.Series(
                number is not None and number in text
                for text, number in zip(squeezed, raw, strict=True)
            )
            share = float((inside & long).sum()) / max(1, int(long.sum()))
            if long.sum() >= 20 and share >= 0.5:
                return f"It contains the number {target} in {share:.0%} of rows."
            return ""
        seen = []
        after = bool(set(words(name)) & AFTER)
        for one, label in enumerate(self.labels[:50]):
            whole = re.sub(r"[\W_]+", "", label.lower())
            for word in {whole, *(w for w in words(label) if len(w) > 6)} - SAID_ANYWAY:
                if len(word) < 4:
                    continue
                there = squeezed.str.contains(word, literal=True).to_numpy()
                of_class = self.target.codes == one
                if there.sum() < 5 or of_class.sum() < 5:
                    continue
                right, base = float(of_class[there].mean()), float(of_class.mean())
                caught = float(there[of_class].mean())
                sure = 1 - right <= (0.6 if after else 0.3) * (1 - base)
                if sure and right > 0.5 and caught >= (0.1 if after else 0.2):
                    seen.append((caught, word if word != whole else label, right, label))
        if seen:
            caught, word, right, label = max(seen)
            return (
                f"It contains the answer: where it says {word!r}, {target} is {label!r} in "
                f"{right:.0%} of rows, and so it says in {caught:.0%} of those."
            )
        return ""

    def sums(self) -> None:
        """Leave out what adds up to the target."""
        names = [
            name for name in self.kept
            if self.looks[name].type in ("number", "date") and self.looks[name].distinct > 2
        ]  # fmt: skip
        if len(names) < 2 or self.rows < 30:
            return
        table = np.stack(
            [self.columns[n].to_physical().cast(pl.Float64).to_numpy() for n in names], axis=1
        )
        dates = np.array([self.looks[name].type == "date" for name in names])
        y = self.target.shown[:, 0]
        chosen = adds_up(table, y, dates)
        if chosen:
            part = [(names[i], factor) for i, factor in chosen]
            told = " ".join(f"{'+' if factor > 0 else '-'} {name}" for name, factor in part)
            told = told.removeprefix("+ ")
            signs = {factor > 0 for _, factor in part}
            for name, factor in part:
                if len(signs) == 1 or factor > 0:
                    self.leak(name, f"{self.target_look.name} follows from {told} exactly.")

    def too_good(self) -> None:
        """Leave out a near perfect column that all others together are far from."""
        suspects = [name for name in self.kept if self.found.alone[name] >= NEAR_PERFECT]
        rarest = np.bincount(self.target.codes).min() if self.target.classifies else self.rows
        if not suspects or self.rows < 50 or len(self.columns) > self.rows:
            return
        rest = self.together(tuple(name for name in self.kept if name not in suspects))
        for name in suspects:
            score = self.found.alone[name]
            others = f"all other columns together reach {rest:.3f}"
            judged = self.looks[name].type != "text" and rarest >= 8 and len(self.columns) > 1
            if judged and (1 - rest) >= max(0.02, 8 * (1 - score)):
                self.leak(name, f"Alone it is all but perfect; {others}.")
                continue
            self.doubt(name, f"Alone it is all but perfect; {others}. Kept, as it may be so.")

    def stands_out(self) -> None:
        """Doubt a strong column that all others together are far from."""
        # Of a quantity less can be told than of a label.
        least, times = (STRONG, 4) if self.target.classifies else (STRONG - 0.05, 2)
        strong = [name for name in self.kept if least <= self.found.alone[name] < NEAR_PERFECT]
        if self.rows < 50 or len(self.columns) < 2:
            return
        for name in strong:
            score = self.found.alone[name]
            rest = self.together(tuple(other for other in self.kept if other != name))
            if 1 - rest >= max(0.05, times * (1 - score)):
                others = f"all other columns together reach {rest:.3f}"
                self.doubt(name, f"Alone it tells {score:.3f}; {others}. Is it known in time?")

    def by_name(self) -> None:
        """Judge columns whose name tells that they come after the target, or from it."""
        about = set(words(self.target_look.name)) - VAGUE
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
                "after the outcome" if after else f"from {self.target_look.name}"
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


def adds_up(table: np.ndarray, y: np.ndarray, dates: np.ndarray) -> list[tuple[int, float]]:
    """Find two or three columns whose sum or difference is the target, up to one factor.

    Parameters
    ----------
    table
        Shape (n, p), NaN where missing.
    dates
        Which of the columns are dates, shape (p,).

    Returns
    -------
    list of (int, float)
        Number and sign of each; empty if there are none.
    """
    known = ~np.isnan(table).any(axis=1) if table.shape[1] <= 12 else np.ones(len(y), bool)
    if known.sum() < 30:
        known = np.ones(len(y), bool)
    table = np.where(np.isnan(table), np.nanmean(table, axis=0), table)[known]
    y = y[known] - y[known].mean()
    table = table - table.mean(0)
    usable = np.flatnonzero(table.std(0) > 0).tolist()
    if not usable or not y.std():
        return []

    def fitted(chosen: list[int]) -> tuple[float, np.ndarray]:
        factors, *_ = np.linalg.lstsq(table[:, chosen], y, rcond=None)
        rest = y - table[:, chosen] @ factors
        return 1 - float((rest**2).sum() / (y**2).sum()), factors

    sets: list[list[int]] = []
    days = [i for i in usable if dates[i]]
    sets += [list(pair) for pair in itertools.combinations(days, 2)]
    numbers = [i for i in usable if not dates[i]]
    scale = table / np.maximum(table.std(0), 1e-300)
    if 2 <= len(numbers) <= 40:
        sets += [list(pair) for pair in itertools.combinations(numbers, 2)]
    chosen: list[int] = []  # matching pursuit finds three, and two among many
    rest = y
    while len(chosen) < 3 and len(chosen) < len(numbers):
        best = max(set(numbers) - set(chosen), key=lambda i: abs(float(scale[:, i] @ rest)))
        chosen = [*chosen, best]
        factors, *_ = np.linalg.lstsq(table[:, chosen], y, rcond=None)
        rest = y - table[:, chosen] @ factors
        if len(chosen) > 1:
            sets.append(chosen)
    for one in sets:
        score, factors = fitted(one)
        sizes = np.abs(factors)
        used = sizes * table[:, one].std(0) > 0.01 * y.std()
        alike = sizes.max() <= 1.02 * sizes.min()
        total = len(one) == 3 and not alike and (factors > 0).sum() == 1  # 3 x mean - a - b
        if score > SUM and used.all() and (alike or total):
            return [(i, float(np.sign(f))) for i, f in zip(one, factors, strict=True)]
    return []
