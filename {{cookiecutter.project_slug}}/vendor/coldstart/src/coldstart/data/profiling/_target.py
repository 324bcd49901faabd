"""The target: labels or a quantity, and which of two labels counts as positive."""

from __future__ import annotations

import difflib

import polars as pl

from coldstart.data.profiling._column_profile import ColumnProfile, words
from coldstart.data.profiling._profile import CODES, labels
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


def find_target(name: str, columns: list[str]) -> str:
    """Return the column that is meant; its capitals and blanks need not be right.

    Raises
    ------
    UserError
        If there is none, with those that have the nearest names.
    """
    if name in columns:
        return name

    def plain(text: str) -> str:
        return "".join(words(text))

    same = [column for column in columns if plain(column) == plain(name)]
    if len(same) == 1:
        return same[0]
    near = difflib.get_close_matches(name.lower(), [column.lower() for column in columns], 3, 0.5)
    near = [column for column in columns if column.lower() in near]
    hint = f"did you mean {' or '.join(near)}?" if near else "the columns are " + listed(columns)
    raise UserError(f"there is no column {name!r} to be the target: {hint}")


def listed(columns: list[str], most: int = 40) -> str:
    """Names of columns, as many as a few lines hold."""
    more = f" and {len(columns) - most} more" if len(columns) > most else ""
    return ", ".join(columns[:most]) + more


def settle(look: ColumnProfile) -> None:
    """Decide what kind of target a column is, and change its settings accordingly.

    Raises
    ------
    UserError
        If it cannot be a target.
    """
    name, rows = look.name, len(look.raw)
    if look.raw.null_count() == rows or not look.known:
        raise UserError(f"{name} is empty: a target needs values to learn from")
    look.settings.pop("reason", None)
    look.settings["role"] = "target"
    if look.type == "date":
        raise UserError(
            f"{name} is a date, which cannot be predicted: "
            "make it a number first (the days until then, say)"
        )
    if look.type == "number" and look.distinct > 1:
        as_labels(look)
    if look.type in ("text", "category") and look.distinct > max(20, 0.5 * look.known):
        raise UserError(
            f"{name} has {look.distinct:,} different texts in {look.known:,} rows "
            f"(such as {look.values.drop_nulls()[0][:40]!r}): neither a number nor a few labels, "
            "so it cannot be predicted; choose another TARGET"
        )
    if look.type == "text":
        keep(look, {"type": "category"})
    if look.distinct < 2:
        value = look.values.drop_nulls()[0]
        raise UserError(f"{name} is {value!r} wherever it is known: there is nothing to predict")
    if look.type != "number" and look.distinct == 2:
        positive(look)
    if look.type == "category":
        look.settings["categories"] = labels(look)
    if look.type != "number":
        counts = look.values.drop_nulls().cast(pl.String).value_counts(sort=True)
        rarest = int(counts["count"].min())  # type: ignore[arg-type]
        if rarest < 10:
            some = counts.filter(pl.col("count") < 10)
            label = some[look.values.name][-1]
            look.doubts.append(
                f"{len(some)} of its {len(counts)} labels have fewer than 10 rows ({label!r}: "
                f"{rarest}): little can be learned of them"
            )
    if missing := look.values.null_count():
        look.notes.append(f"{missing:,} rows have none and are kept out of training")


def keep(look: ColumnProfile, settings: dict[str, object]) -> None:
    """Change the type, but not which spellings are missing."""
    missing = {key: look.settings[key] for key in ("missing_values",) if key in look.settings}
    look.settings = {**settings, "role": "target", **missing}
    look.read()


def as_labels(look: ColumnProfile) -> None:
    """Make few whole numbers labels."""
    values, name = look.values.drop_nulls(), set(words(look.name))
    counts = values.value_counts(sort=True)
    whole = bool((values == values.round()).all())
    distinct, rarest = len(counts), int(counts["count"].min())  # type: ignore[arg-type]
    if distinct == 2:
        keep(look, {"type": "category"})
        return
    few = distinct <= 10 and rarest >= max(5, 0.02 * len(values)) and not name & COUNTS
    named = distinct <= 50 and name & CLASSES and rarest >= 2 and not name & COUNTS
    plain = not {"decimal", "thousands", "affixes", "multipliers"} & set(look.settings)
    if whole and plain and (few or named):
        keep(look, {"type": "category"})
        look.notes.append(
            f"{distinct} labels, judged by how few they are; "
            "type: number makes it a quantity instead"
        )


def positive(look: ColumnProfile) -> None:
    """Say which of two labels is the positive one."""
    spelled = look.raw.filter(look.values.is_not_null()).value_counts(sort=True)
    names: list[str] = spelled[look.raw.name].to_list()
    if look.type == "boolean":
        if look.dtype == pl.Boolean:
            return
        true = look.settings["true_values"]
        look.notes.append(f"{', '.join(true)} counts as positive")
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
        keep(look, {"type": "boolean", "true_values": [chosen], "false_values": [other]})
    look.notes.append(f"{chosen!r} counts as positive: {why}")
