"""The profile: what each column of a table is, told from its name and its values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from coldstart.data.profiling._column_profile import ColumnProfile, typed, words
from coldstart.data.profiling._dates import date_formats
from coldstart.data.profiling._sentinels import sentinels
from coldstart.data.profiling._spellings import booleans, is_missing, no_labels, number_style

PROBE = 3_000  # spellings of a column that a style is sought for
STRAY = 0.02  # share of cells that may be slips of the pen
LISTED = 30  # categories up to which they are listed
CODES = {"zip", "zipcode", "postal", "postcode", "plz", "code", "codes", "type", "class", "cluster"}
KINDS, LABELS = {"type", "class", "cluster", "category", "kind"}, 30  # more are a quantity
CODES |= {"category", "fips", "sic", "naics", "icd", "iso", "kind", "ndc", "cpt", "isbn", "ean"}
WHEN = {"time", "timestamp", "ts", "epoch", "date", "datetime", "created", "updated", "at", "unix"}
TWO_DIGITS = {"month", "day", "hour", "minute", "week", "min", "hr", "mon", "dow", "year", "second"}


def look(name: str, column: pl.Series) -> ColumnProfile:
    """Look at one column."""
    if column.dtype == pl.Categorical or column.dtype == pl.Enum:
        column = column.cast(pl.String)
    column = column.alias("x")
    raw = column.cast(pl.String, strict=False).str.strip_chars().replace("", None)
    seen = ColumnProfile(name, raw, column.dtype, original=column)
    counts = raw.drop_nulls().value_counts(sort=True)
    spellings: list[str] = counts["x"].to_list() if len(counts) <= 2 * PROBE else probe(counts["x"])
    if not spellings:
        seen.settings = {"type": "category"}
        seen.leave_out("ignore", "It is empty.")
    elif column.dtype == pl.Boolean:
        seen.settings = {"type": "boolean"}
    elif column.dtype.is_temporal():
        if column.dtype in (pl.Time, pl.Duration):
            seen.settings = {"type": "category"}
        else:
            days = column.cast(pl.Datetime("us"))
            format = "%Y-%m-%d" if (days.dt.truncate("1d") == days).all() else "%Y-%m-%d %H:%M:%S"
            seen.settings = {"type": "date", "format": format}
    elif column.dtype.is_numeric():
        number(seen, spellings, {"type": "number"})
    else:
        text(seen, spellings, counts)
    seen.read()
    if seen.type == "number" and seen.role == "feature":
        sentinels(seen)
    if seen.role == "feature" and seen.distinct <= 1 and seen.values.null_count() == 0:
        value = seen.raw.drop_nulls()[0]
        seen.leave_out("ignore", f"It is {value[:40]!r} in every row.")
    if seen.type == "category" and 1 < seen.distinct <= LISTED:
        seen.settings["categories"] = labels(seen)
    return seen


def probe(spellings: pl.Series) -> list[str]:
    """The commonest spellings and some of the others."""
    first, rest = spellings.head(PROBE), spellings.tail(-PROBE)
    return [*first.to_list(), *rest.sample(min(PROBE, len(rest)), seed=0).to_list()]


def labels(seen: ColumnProfile) -> list[str]:
    """The categories in a natural order."""
    found = seen.values.drop_nulls().unique().sort().to_list()
    return sorted(found, key=lambda one: [(not p.isdigit(), int(p) if p.isdigit() else 0, p.lower())
                                          for p in re.split(r"(\d+)", one) if p])  # fmt: skip


def text(seen: ColumnProfile, spellings: list[str], counts: pl.DataFrame) -> None:
    """Decide what a column of text is."""
    present = [spelled for spelled in spellings if not is_missing(spelled)]
    blank = [spelled for spelled in spellings if spelled not in set(present)]
    told = booleans(present) if len(counts) <= 20 else None
    numeric = {"0", "1", "0.0", "1.0"}
    if told and (len(seen.raw) >= 100 or not set(present) <= numeric):
        seen.settings = {"type": "boolean", "true_values": told[0], "false_values": told[1]}
        lost(seen, blank)
        return
    style = number_style(present) if present else None
    if style and not is_code(seen, present) and number(seen, present, style, blank):
        return
    figures = any(re.search(r"\d", one) for one in present[:3])  # words may be commoner than a day
    if figures and dates(seen, present, blank):
        return
    labels_or_prose(seen, spellings)


def lost(seen: ColumnProfile, blank: Sequence[str]) -> None:
    """Note spellings of "missing"."""
    if blank:
        seen.settings["missing_values"] = list(blank)


def is_code(seen: ColumnProfile, present: list[str]) -> bool:
    """Whether figures are a code's and not a quantity's."""
    name = set(words(seen.name))
    zeros = [one for one in present if re.fullmatch(r"0\d+", one)]
    figures = all(one.isdigit() for one in present)
    if zeros and len(zeros) >= 0.01 * len(present):
        short = all(len(one) <= 2 for one in present)
        if not (short and name & TWO_DIGITS):
            seen.notes.append(f"a code and no quantity: {zeros[0]!r} begins with a zero")
            return True
    if figures and max(map(len, present)) > 16:
        seen.notes.append("a code and no quantity: it has more than 16 figures")
        return True
    labels = len(set(present)) <= LABELS or not name & KINDS
    if name & CODES and labels and all(re.fullmatch(r"-?\d+(\.0)?", one) for one in present):
        seen.notes.append("a code and no quantity, by its name")
        return True
    return False


def number(
    seen: ColumnProfile, present: list[str], style: dict[str, Any], blank: Sequence[str] = ()
) -> bool:
    """Settle that a column is a number, if nearly all of it can be read as one."""
    typed_number = seen.dtype != pl.String
    if typed_number and seen.dtype.is_integer() and is_code(seen, present):
        seen.settings = {"type": "category"}
        return True
    name = words(seen.name)
    if set(name) & WHEN and all(re.fullmatch(r"\d{9,13}(\.\d+)?", one) for one in present):
        lengths = {len(one.split(".")[0]) for one in present}
        if lengths <= {9, 10} or lengths <= {12, 13}:
            seen.settings = {"type": "date", "format": "unix" if max(lengths) < 11 else "unix ms"}
            seen.notes.append("seconds since 1970" if max(lengths) < 11 else "ms since 1970")
            lost(seen, blank)
            return True
    days = all(re.fullmatch(r"(19|20)\d{6}", one) for one in present) and len(present) >= 2
    if days and dates(seen, present, blank):
        return True
    seen.settings = {**style, **({"missing_values": list(blank)} if blank else {})}
    known, values = typed(seen.raw_frame, seen.settings)
    seen.values, seen.read_by = values, dict(seen.settings)
    unread = known.filter(known.is_not_null() & values.is_null())
    if typed_number:
        unread = unread.cast(pl.String)
    total = max(1, len(known) - known.null_count())
    if len(unread):
        spelled = unread.value_counts(sort=True)["x"].to_list()
        share = len(unread) / total
        if not typed_number and not (
            share <= STRAY
            or (len(unread) == 1 and total >= 20)
            or (share <= 0.3 and are_words(spelled) and values.n_unique() > 10)
        ):
            if share < 0.5:
                seen.doubts.append(
                    f"{share:.0%} of the values are no numbers, such as {spelled[0]!r}: labels"
                )
            seen.settings = {}
            return False
        seen.missing(spelled)
        shown = ", ".join(repr(one) for one in spelled[:3])
        some = "cell is" if len(unread) == 1 else "cells are"
        seen.notes.append(f"{len(unread)} {some} no number and count as missing: {shown}")
    written = {key: value for key, value in style.items() if key != "type"}
    if written:
        values = typed(pl.DataFrame({"x": present[:50]}), style)[1]
        read = [pair for pair in zip(present, values, strict=False) if pair[1] is not None]
        if read:
            sample, value = max(read, key=lambda pair: len(pair[0]))
            seen.notes.append(f"{sample!r} is read as {value:.10g}")
    affixes = style.get("affixes", [])
    if "%" in affixes:
        seen.settings["unit"] = "%"
    elif len(units := [one for one in affixes if one not in ("()", "-", "+", "<", ">", "~")]) == 1:
        seen.settings["unit"] = units[0]
    if {"<", ">", "~"} & set(affixes):
        seen.doubts.append("values such as '<5' are read as the number alone")
    if style.get("decimal") == "," or style.get("thousands") in (".",):
        seen.notes.append("decimal comma" if style.get("decimal") == "," else "")
    return True


def are_words(spelled: Sequence[str]) -> bool:
    """Whether these are one or two words, which may say why nothing else stands there."""
    return len(spelled) <= 2 and not any(re.search(r"\d", one) for one in spelled)


def dates(seen: ColumnProfile, present: list[str], blank: Sequence[str]) -> bool:
    """Settle that a column is a date, if nearly all of it has the shape of one."""
    found = date_formats(present)
    if found.matched < 1 - 5 * STRAY or not found.formats:
        return False
    formats = found.formats[0] if len(found.formats) == 1 else found.formats
    seen.settings = {"type": "date", "format": formats}
    lost(seen, blank)
    known, values = typed(seen.raw_frame, seen.settings)
    unread = known.filter(known.is_not_null() & values.is_null())
    if len(unread):
        spelled = unread.cast(pl.String).unique().sort().to_list()
        share = len(unread) / max(1, len(known) - known.null_count())
        if share > STRAY and len(unread) > 1 and not (share <= 0.3 and are_words(spelled)):
            seen.doubts.append(
                f"{share:.0%} of the values are no dates, such as {spelled[0]!r}: labels"
            )
            seen.settings = {}
            return False
        seen.missing(spelled)
        seen.notes.append(f"{len(unread)} cell(s) are no date and count as missing: {spelled[0]!r}")
    years = values.drop_nulls().dt.year()
    far = seen.raw.filter(values.dt.year().is_in([1, 1800, 1899, 1900, 1901, 1970, 2099, 9999]))
    if 0 < len(far) < 0.3 * len(values) and (table := far.value_counts(sort=True)).height:
        one, count = table["x"][0], table["count"][0]
        others = years.filter(~years.is_in([1, 1800, 1899, 1900, 1901, 1970, 2099, 9999]))
        middle = float(np.median(others.to_numpy())) if len(others) else 0.0
        year = int(typed(pl.DataFrame({"x": [one]}), seen.settings)[1].dt.year()[0])
        spread = float(others.max() or 0) - float(others.min() or 0)  # type: ignore[arg-type]
        if count >= 3 and abs(year - middle) > max(20.0, 1.5 * spread):
            seen.missing([one])
            seen.notes.append(f"{one!r} ({count} rows) is far from the other dates: missing")
    if isinstance(formats, list):
        seen.notes.append(f"written in {len(formats)} ways")
    seen.doubts += found.doubts
    return True


def labels_or_prose(seen: ColumnProfile, spellings: list[str]) -> None:
    """Decide between labels and free text."""
    missing = no_labels(spellings)
    known = seen.raw.filter(~seen.raw.is_in(missing)).drop_nulls()
    distinct, rows = known.n_unique(), len(known)
    spellings = [one for one in spellings if one not in missing] or spellings
    length = float(np.mean([len(one) for one in spellings]))
    count = float(np.mean([len(one.split()) for one in spellings]))
    several = distinct > max(20, 0.2 * rows)
    parts = [re.split(r"\s*[|;,]\s*", one) for one in spellings]
    listing = (
        distinct > 50
        and sum(len(one) > 1 for one in parts) > 0.3 * len(parts)
        and len({part for one in parts for part in one}) < 0.7 * distinct
    )
    if several and (count >= 3.5 or length >= 40):
        seen.settings = {"type": "text"}
        seen.notes.append(f"free text: {count:.0f} words on average, {distinct:,} different")
    elif listing:
        seen.settings = {"type": "text"}
        seen.notes.append("lists of labels, read as words")
    else:
        seen.settings = {"type": "category"}
        if distinct > LISTED:
            seen.notes.append(f"{distinct:,} different labels")
    if missing:
        seen.settings["missing_values"] = missing
        kept = [one for one in spellings if is_missing(one)]
        if kept and seen.type == "category":
            seen.notes.append(f"{', '.join(map(repr, kept[:3]))} stays a label")
    elif any(one == "NA" for one in spellings):
        seen.notes.append("'NA' is a label here, and not a missing value")
