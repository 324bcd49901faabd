"""The target: a number or classes, and which of two classes is positive."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

import polars as pl

from coldstart.data.profiling._column_types import CODES, natural_order
from coldstart.data.profiling._profiles import ColumnProfile, words
from coldstart.data.profiling._spellings import FALSE, TRUE
from coldstart.errors import UserError

COUNTS = {"count", "counts", "num", "number", "n", "rating", "score", "quantity", "qty", "age"}
COUNTS |= {"year", "years", "days", "price", "amount", "visits", "total"}
CLASSES = CODES | {"label", "labels", "target", "species", "grade", "y", "outcome", "diagnosis"}
POSITIVE = {
    "positive",
    "pos",
    "malignant",
    "m+",
    "bad",
    "fraud",
    "spam",
    "churn",
    "churned",
    "sick",
}
POSITIVE |= {
    "default",
    "defaulted",
    "failure",
    "fail",
    "failed",
    "died",
    "dead",
    "abnormal",
    "case",
}
POSITIVE |= {"present", "accept", "accepted", "success", "won", "win", "poisonous"}
NEGATIVE = {"negative", "neg", "benign", "good", "legit", "ham", "normal", "healthy", "control"}
NEGATIVE |= {"retained", "stayed", "ok", "alive", "absent", "lost", "loss", "edible", "none"}


FEW = 10  # whole numbers that are classes whatever the name
RUN = 5  # more whole numbers in a row are ordered: a count, a rating
MANY = 50  # whole numbers that are classes if the name says so
ROWS_A_VALUE = 5


def find_column(name: str, columns: list[str]) -> str:
    """Return the column that is meant, by its name or its position.

    Parameters
    ----------
    name : str
        What the user wrote. Case and blanks need not match. A number that is no name is a
        position, from 0, or from -1 backwards.
    columns : list of str
        Names of the columns.

    Returns
    -------
    str
        One of the columns.

    Raises
    ------
    UserError
        If there is none, with the nearest names.
    """
    if name in columns:
        return name
    same = [column for column in columns if words(column) == words(name)]
    if len(same) == 1:
        return same[0]
    if re.fullmatch(r"-?\d+", name):
        if -len(columns) <= int(name) < len(columns):
            return columns[int(name)]
        raise UserError(
            f"there is no column {name}: positions go from 0 to {len(columns) - 1}; "
            f"the columns are {format_columns(columns)}"
        )
    close = difflib.get_close_matches(name.lower(), [column.lower() for column in columns], 3, 0.5)
    within = [column for column in columns if set(words(name)) <= set(words(column))]
    near = within[:3] or [column for column in columns if column.lower() in close]
    hint = (
        f"did you mean {' or '.join(near)}?"
        if near
        else "the columns are " + format_columns(columns)
    )
    raise UserError(f"there is no column {name!r}: {hint}")


def format_columns(columns: list[str], most: int = 40) -> str:
    """Format names of columns, as many as fit a few lines."""
    more = f" and {len(columns) - most} more" if len(columns) > most else ""
    return ", ".join(columns[:most]) + more


def set_target(profile: ColumnProfile, decided: Mapping[str, Any] | None = None) -> None:
    """Decide what kind of target a column is, and set its settings.

    Parameters
    ----------
    profile : ColumnProfile
        The target's column.
    decided : mapping, optional
        Settings that the schema has for it already.

    Raises
    ------
    UserError
        If it cannot be predicted.
    """
    if decided:
        profile.settings = dict(decided)
        profile.read()
    name, rows = profile.name, len(profile.raw)
    if profile.raw.null_count() == rows or not profile.known:
        raise UserError(f"{name} is empty: a target needs values to learn from")
    profile.settings.pop("reason", None)
    profile.settings["role"] = "target"
    if profile.type == "date":
        raise UserError(
            f"{name} is a date, which cannot be predicted: "
            "make it a number first (the days until then, say)"
        )
    if profile.type == "number" and profile.distinct > 1 and not decided:
        make_classes(profile)
    if profile.type in ("text", "category") and profile.distinct > max(20, 0.5 * profile.known):
        raise UserError(
            f"{name} has {profile.distinct:,} different texts in {profile.known:,} rows "
            f"(such as {profile.values.drop_nulls()[0][:40]!r}): neither a number nor a few "
            "classes, so it cannot be predicted; choose another TARGET"
        )
    if profile.type == "text":
        change_type(profile, {"type": "category"})
    if profile.distinct < 2:
        value = profile.values.drop_nulls()[0]
        raise UserError(
            f"{name} is {value!r} in every row that has a value: there is nothing to predict"
        )
    if profile.type != "number" and profile.distinct == 2 and not decided:
        set_positive_class(profile)
    if profile.type == "category" and not decided:
        profile.settings["categories"] = natural_order(profile)
    if profile.type != "number":
        counts = profile.values.drop_nulls().cast(pl.String).value_counts(sort=True)
        rarest = int(counts["count"].min())  # type: ignore[arg-type]
        if rarest < 10:
            some = counts.filter(pl.col("count") < 10)
            label = some[profile.values.name][-1]
            profile.warnings.append(
                f"{len(some)} of its {len(counts)} classes have fewer than 10 rows ({label!r}: "
                f"{rarest}): too few to learn them well"
            )


def change_type(profile: ColumnProfile, settings: dict[str, object]) -> None:
    """Change the type, and keep which spellings are missing."""
    missing = {key: profile.settings[key] for key in ("missing_values",) if key in profile.settings}
    profile.settings = {**settings, "role": "target", **missing}
    profile.read()


def make_classes(profile: ColumnProfile) -> None:
    """Make few whole numbers classes, such as codes, grades, or 1 and 2 for yes and no.

    Two values are classes. More are, up to `FEW`, if each has `ROWS_A_VALUE` rows on average, or up
    to `MANY` if the name says class. Ordered numbers are not: by a name that counts or rates, or
    more than `RUN` values without a gap.
    """
    values, name = profile.values.drop_nulls(), set(words(profile.name))
    numbers = values.unique().sort()
    distinct, span = len(numbers), float(numbers[-1]) - float(numbers[0])
    spellings = profile.raw.filter(profile.values.is_not_null())
    if distinct == 2:
        low, high = (
            profile.raw.filter(profile.values == one).unique().sort().to_list() for one in numbers
        )
        if len(low) == len(high) == 1:
            change_type(profile, {"type": "category"})
        else:  # 1 and 1.0 are one class
            change_type(profile, {"type": "boolean", "true_values": high, "false_values": low})
        return
    ordered = distinct > RUN and span == distinct - 1
    few = distinct <= FEW and not ordered and len(values) >= ROWS_A_VALUE * distinct
    named = distinct <= MANY and name & CLASSES and len(values) >= 2 * distinct
    whole = bool((numbers == numbers.round()).all())
    if not whole or name & COUNTS or not (few or named):
        return
    if spellings.n_unique() > distinct:
        profile.warnings.append(
            f"its {distinct} values have several spellings (1 and 1.0, say), so it is a number; "
            "spell them alike to predict classes"
        )
        return
    change_type(profile, {"type": "category"})
    profile.notes.append(
        f"{distinct} classes, since they are few whole numbers; type: number predicts a number"
    )
    propose_missing(profile, spellings)


def propose_missing(profile: ColumnProfile, spellings: pl.Series) -> None:
    """Propose that a rare code at either end, such as 0 or 9, means that the class is unknown."""
    counts = spellings.value_counts(sort=True)
    rare, next_rare = counts["count"][-1], counts["count"][-2]
    code = str(counts[spellings.name][-1])
    ends = natural_order(profile)[0], natural_order(profile)[-1]
    if code in ends and rare <= 0.01 * len(spellings) and next_rare >= 5 * rare:
        profile.warnings.append(
            f"{code} is in {rare:,} of {len(spellings):,} rows: if it means unknown, "
            f"add missing_values: ['{code}']"
        )


def set_positive_class(profile: ColumnProfile) -> None:
    """Decide which of two classes is positive."""
    spelled = profile.raw.filter(profile.values.is_not_null()).value_counts(sort=True)
    names: list[str] = spelled[profile.raw.name].to_list()
    if profile.type == "boolean":
        if profile.dtype == pl.Boolean:
            return
        true = profile.settings["true_values"]
        profile.notes.append(f"{', '.join(true)} counts as positive")
        return
    low = [one.lower() for one in names]
    common, rare = names[0], names[1]
    chosen, why = rare, "the rarer"
    for one, text in zip(names, low, strict=True):
        other = low[1 - names.index(one)]
        if text in TRUE or text in POSITIVE or other in NEGATIVE or other in FALSE:
            chosen, why = one, "by its name"
    if {text.removesuffix(".0") for text in low} == {"0", "1"}:
        chosen, why = next(one for one in names if one.startswith("1")), "1"
    elif all(text.replace(".", "").lstrip("-").isdigit() for text in low):
        chosen, why = max(names, key=float), "the larger"
    other = common if chosen == rare else rare
    numbers = all(text.replace(".", "").lstrip("-").isdigit() for text in low)
    # Of two categories the second in alphabetical order is the positive one.
    if numbers or sorted(names) != [other, chosen]:
        change_type(profile, {"type": "boolean", "true_values": [chosen], "false_values": [other]})
    profile.notes.append(f"{chosen!r} counts as positive: {why}")
