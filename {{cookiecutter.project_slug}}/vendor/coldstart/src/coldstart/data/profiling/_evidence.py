"""Evidence: what a column on its own shows of having been made from the target, or after it.

Each function looks at one column and tells why it is a leak, or gives an empty text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.stats import spearmanr

from coldstart.data.profiling._column_profile import ColumnProfile, words
from coldstart.data.profiling._scores import Target, bins, out_of_fold
from coldstart.data.profiling._spellings import vocabulary

ROW_HASH = 0.9995
BY_MISSING, BY_MISSING_VALUE = 0.95, 0.9
BY_CHANCE = 1e-9
AFTER = vocabulary(
    "outcome result results resolution resolved closed closing cancelled canceled cancellation "
    "discharge discharged death died deceased settlement settled recovered recovery recoveries "
    "refund refunded chargeback payout verdict final remarks remark reason termination terminated "
    "exit left completed completion ended finish finished returned investigation confirmed "
    "decision approved rejected writeoff chargeoff post after afterwards followup futime"
)
SAID_ANYWAY = {"true", "false", "none", "other", "unknown", "positive", "negative", "normal"}


@dataclass
class Scene:
    """The rows that leaks are looked for in.

    Attributes
    ----------
    looks
        All columns, by name.
    aim
        The target's column.
    columns
        Typed values of each feature.
    values
        Typed values of the target, none of them missing.
    target
        The same, to be predicted.
    """

    looks: Mapping[str, ColumnProfile]
    aim: ColumnProfile
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
        if self.aim.type != "boolean":
            return self.target.names
        settings = self.aim.settings
        return ["/".join(settings.get(f"{one}_values", [])) or one for one in self.target.names]


def copy(scene: Scene, name: str) -> str:
    """Whether a column says the same as the target."""
    look, values = scene.looks[name], scene.columns[name]
    both = values.is_not_null().to_numpy()
    if look.type == "text" or both.sum() < max(20, 0.2 * scene.rows):
        return ""
    if scene.target.classifies:
        return same_labels(scene, name, both)
    if look.type not in ("number", "date") or look.distinct < 8:
        return ""
    x = values.to_physical().cast(pl.Float64).to_numpy()[both]
    y = scene.target.shown[both, 0]
    if x.std() == 0 or y.std() == 0:
        return ""
    r = abs(float(np.corrcoef(x, y)[0, 1]))
    if r > ROW_HASH:
        return f"It is {scene.aim.name} on another scale (correlation {r:.5f})."
    ordered = np.all(np.diff(y) >= 0) or np.all(np.diff(y) <= 0)
    if len(x) >= 50 and look.distinct > 30 and not ordered and r > 0.5:
        order = abs(float(spearmanr(x, y).statistic))
        if order > ROW_HASH:
            return f"It puts the rows into the same order as {scene.aim.name} (a logarithm, say)."
    return ""


def same_labels(scene: Scene, name: str, both: np.ndarray) -> str:
    """Whether each value of a column stands for one class, in the rows where both are known."""
    look, values = scene.looks[name], scene.columns[name]
    classes = scene.target.codes[both]
    if values.n_unique() > 60 or look.distinct > 0.2 * scene.rows or len(np.unique(classes)) < 2:
        return ""
    code = bins(look, values)[both]
    table = np.zeros((code.max() + 1, classes.max() + 1))
    np.add.at(table, (code, classes), 1)
    table = table[table.sum(1) > 0]
    right, base = table.max(1).sum() / len(code), table.sum(0).max() / len(code)
    same = len(set(table.argmax(1).tolist())) == len(table) == (table.sum(0) > 0).sum()
    if same and right >= 0.995 and 1 - right <= 0.05 * (1 - base):
        exactly = "the same as" if right == 1 else f"in {right:.1%} of rows the same as"
        return f"It says {exactly} {scene.aim.name}, value by value."
    return ""


def filled_afterwards(scene: Scene, name: str) -> tuple[str, float | None]:
    """Whether it gives the target away that a value is there or not; and what that fakes."""
    present = scene.columns[name].is_not_null().to_numpy()
    there, absent = int(present.sum()), int((~present).sum())
    if min(there, absent) < 5:
        return "", None
    target = scene.target
    score = target.score(out_of_fold(present.astype(np.int64), target))
    if score >= (BY_MISSING if target.classifies else BY_MISSING_VALUE):
        if min(there, absent) < 10:
            return "", None
        why = f"Whether it is filled in gives {scene.aim.name} away ({target.metric} of that alone"
        return f"{why}: {score:.3f}), so it is filled in afterwards.", score
    if not target.classifies:
        return "", None
    for rows, word in ((present, "filled in"), (~present, "missing")):
        some = target.codes[rows]
        main = np.bincount(some).argmax()
        share, base = float((some == main).mean()), float((target.codes == main).mean())
        if share >= 0.99 and len(some) >= 15 and base ** len(some) < BY_CHANCE:
            return (
                f"Where it is {word} ({len(some):,} rows) {scene.aim.name} is "
                f"{scene.labels[main]!r} in {share:.1%} of rows, {base:.1%} overall: it is known "
                "afterwards."
            ), None
    return "", None


def says_answer(scene: Scene, name: str) -> str:
    """Whether a text, or a label, contains the target's value."""
    look, values = scene.looks[name], scene.columns[name]
    if look.type not in ("text", "category") or (look.type == "category" and look.distinct < 5):
        return ""
    squeezed = values.fill_null("").str.to_lowercase().str.replace_all(r"[\W_]+", "")
    if scene.target.classifies:
        return says_label(scene, name, squeezed)
    raw = scene.values.cast(pl.Int64, strict=False).cast(pl.String)
    long = raw.str.len_chars().fill_null(0) >= 3
    inside = pl.Series(
        number is not None and number in text for text, number in zip(squeezed, raw, strict=True)
    )
    share = float((inside & long).sum()) / max(1, int(long.sum()))
    if long.sum() >= 20 and share >= 0.5:
        return f"It contains the number {scene.aim.name} in {share:.0%} of rows."
    return ""


def says_label(scene: Scene, name: str, squeezed: pl.Series) -> str:
    """Whether texts without blanks and marks contain the label of their row."""
    seen = []
    after = bool(set(words(name)) & AFTER)
    for one, label in enumerate(scene.labels[:50]):
        whole = re.sub(r"[\W_]+", "", label.lower())
        for word in {whole, *(w for w in words(label) if len(w) > 6)} - SAID_ANYWAY:
            if len(word) < 4:
                continue
            there = squeezed.str.contains(word, literal=True).to_numpy()
            of_class = scene.target.codes == one
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
        f"It contains the answer: where it says {word!r}, {scene.aim.name} is {label!r} in "
        f"{right:.0%} of rows, and so it says in {caught:.0%} of those."
    )
