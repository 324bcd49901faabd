"""Evidence, in a single column, that it was made from the target or after it.

Each function checks one column and returns why it is a leak, or an empty text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.stats import spearmanr

from coldstart.data.profiling._profiles import ColumnProfile, words
from coldstart.data.profiling._scores import Target, bins, out_of_fold
from coldstart.data.profiling._spellings import vocabulary

COPY_CORRELATION = 0.9995
BY_MISSING, BY_MISSING_VALUE = 0.95, 0.9
BY_CHANCE = 1e-9
AFTER = vocabulary(
    "outcome result results resolution resolved closed closing cancelled canceled cancellation "
    "discharge discharged death died deceased settlement settled recovered recovery recoveries "
    "refund refunded chargeback payout verdict final remarks remark reason termination terminated "
    "exit left completed completion ended finish finished returned investigation confirmed "
    "decision approved rejected writeoff chargeoff post after afterwards followup futime"
)
COMMON_WORDS = {"true", "false", "none", "other", "unknown", "positive", "negative", "normal"}


@dataclass
class LeakContext:
    """The rows that leaks are searched in.

    Attributes
    ----------
    profiles : mapping
        All columns, by name.
    target_profile : ColumnProfile
        The target's column.
    columns : dict of str to Series
        Typed values of each feature.
    values : Series
        Typed values of the target, without missing ones.
    target : Target
        The same, encoded.
    """

    profiles: Mapping[str, ColumnProfile]
    target_profile: ColumnProfile
    columns: dict[str, pl.Series]
    values: pl.Series
    target: Target

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.values)

    @property
    def labels(self) -> list[str]:
        """The target's classes, as they are spelled."""
        if self.target_profile.type != "boolean":
            return self.target.names
        settings = self.target_profile.settings
        return ["/".join(settings.get(f"{one}_values", [])) or one for one in self.target.names]


def duplicates_target(context: LeakContext, name: str) -> str:
    """Return why a column is a copy of the target."""
    profile, values = context.profiles[name], context.columns[name]
    both = values.is_not_null().to_numpy()
    if profile.type == "text" or both.sum() < max(20, 0.2 * context.rows):
        return ""
    if context.target.classifies:
        return has_same_classes(context, name, both)
    if profile.type not in ("number", "date") or profile.distinct < 8:
        return ""
    x = values.to_physical().cast(pl.Float64).to_numpy()[both]
    y = context.target.shown[both, 0]
    if x.std() == 0 or y.std() == 0:
        return ""
    r = abs(float(np.corrcoef(x, y)[0, 1]))
    if r > COPY_CORRELATION:
        return f"It is {context.target_profile.name} on another scale (correlation {r:.5f})."
    ordered = np.all(np.diff(y) >= 0) or np.all(np.diff(y) <= 0)
    if len(x) >= 50 and profile.distinct > 30 and not ordered and r > 0.5:
        order = abs(float(spearmanr(x, y).statistic))
        if order > COPY_CORRELATION:
            name = context.target_profile.name
            return f"It puts the rows into the same order as {name} (a logarithm, say)."
    return ""


def has_same_classes(context: LeakContext, name: str, both: np.ndarray) -> str:
    """Return why each value of a column stands for one class, in the rows where both are known."""
    profile, values = context.profiles[name], context.columns[name]
    classes = context.target.codes[both]
    if (
        values.n_unique() > 60
        or profile.distinct > 0.2 * context.rows
        or len(np.unique(classes)) < 2
    ):
        return ""
    code = bins(profile, values)[both]
    table = np.zeros((code.max() + 1, classes.max() + 1))
    np.add.at(table, (code, classes), 1)
    table = table[table.sum(1) > 0]
    right, base = table.max(1).sum() / len(code), table.sum(0).max() / len(code)
    same = len(set(table.argmax(1).tolist())) == len(table) == (table.sum(0) > 0).sum()
    if same and right >= 0.995 and 1 - right <= 0.05 * (1 - base):
        exactly = "the same as" if right == 1 else f"in {right:.1%} of rows the same as"
        return f"It says {exactly} {context.target_profile.name}, value by value."
    return ""


def filled_afterwards(context: LeakContext, name: str) -> tuple[str, float | None]:
    """Return why missingness reveals the target, and the score it reaches."""
    present = context.columns[name].is_not_null().to_numpy()
    there, absent = int(present.sum()), int((~present).sum())
    if min(there, absent) < 5:
        return "", None
    target, score = context.target, score_gaps(context, name)
    if score >= (BY_MISSING if target.classifies else BY_MISSING_VALUE):
        if min(there, absent) < 10:
            return "", None
        name = context.target_profile.name
        why = f"Whether it is filled in predicts {name} ({target.metric} of that alone"
        return f"{why}: {score:.3f}), so it is filled in afterwards.", score
    if not target.classifies:
        return "", None
    for rows, word in ((present, "filled in"), (~present, "missing")):
        some = target.codes[rows]
        main = np.bincount(some).argmax()
        share, base = float((some == main).mean()), float((target.codes == main).mean())
        if share >= 0.99 and len(some) >= 15 and base ** len(some) < BY_CHANCE:
            return (
                f"Where it is {word} ({len(some):,} rows) {context.target_profile.name} is "
                f"{context.labels[main]!r} in {share:.1%} of rows, {base:.1%} overall: it is known "
                "afterwards."
            ), None
    return "", None


def score_gaps(context: LeakContext, name: str) -> float:
    """Return the score of whether a column has a value."""
    present = context.columns[name].is_not_null().to_numpy()
    return context.target.score(out_of_fold(present.astype(np.int64), context.target))


def contains_answer(context: LeakContext, name: str) -> str:
    """Return why a text or a category contains the target's value."""
    profile, values = context.profiles[name], context.columns[name]
    if profile.type not in ("text", "category") or (
        profile.type == "category" and profile.distinct < 5
    ):
        return ""
    squeezed = values.fill_null("").str.to_lowercase().str.replace_all(r"[\W_]+", "")
    if context.target.classifies:
        return contains_label(context, name, squeezed)
    raw = context.values.cast(pl.Int64, strict=False).cast(pl.String)
    long = raw.str.len_chars().fill_null(0) >= 3
    inside = pl.Series(
        number is not None and number in text for text, number in zip(squeezed, raw, strict=True)
    )
    share = float((inside & long).sum()) / max(1, int(long.sum()))
    if long.sum() >= 20 and share >= 0.5:
        return f"It contains the number {context.target_profile.name} in {share:.0%} of rows."
    return ""


def contains_label(context: LeakContext, name: str, squeezed: pl.Series) -> str:
    """Return why texts without blanks and marks contain the class of their row."""
    seen = []
    after = bool(set(words(name)) & AFTER)
    for one, label in enumerate(context.labels[:50]):
        whole = re.sub(r"[\W_]+", "", label.lower())
        for word in {whole, *(w for w in words(label) if len(w) > 6)} - COMMON_WORDS:
            if len(word) < 4:
                continue
            there = squeezed.str.contains(word, literal=True).to_numpy()
            of_class = context.target.codes == one
            if there.sum() < 5 or of_class.sum() < 5:
                continue
            right, base = float(of_class[there].mean()), float(of_class.mean())
            caught = float(there[of_class].mean())
            sure = 1 - right <= (0.6 if after else 0.3) * (1 - base)
            if sure and right > 0.5 and caught >= (0.1 if after else 0.2):
                seen.append((caught, word if word != whole else label, right, label))
    if not seen:
        return ""
    caught, word, right, label = max(seen)
    return (
        f"It contains the answer: where it says {word!r}, {context.target_profile.name} is "
        f"{label!r} in {right:.0%} of rows, and so it says in {caught:.0%} of those."
    )
