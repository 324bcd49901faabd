"""Column types: what a column is, by its name and its values."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from coldstart.contract._pictures import is_picture
from coldstart.contract.columns._label import LONGEST
from coldstart.data.profiling._dates import date_formats
from coldstart.data.profiling._profiles import Choice, ColumnProfile, typed, words
from coldstart.data.profiling._sentinels import sentinels
from coldstart.data.profiling._spellings import (
    booleans,
    find_missing_labels,
    is_missing,
    number_style,
)

PROBE = 3_000  # spellings of a column that its style is detected from
STRAY = 0.02  # share of cells that may be typos
MAX_LISTED = 30  # more categories are not listed
CODES = {"zip", "zipcode", "postal", "postcode", "plz", "code", "codes", "type", "class", "cluster"}
KIND_WORDS, MAX_CODES = {"type", "class", "cluster", "category", "kind"}, 30  # more are a number
CODES |= {"category", "fips", "sic", "naics", "icd", "iso", "kind", "ndc", "cpt", "isbn", "ean"}
WHEN = {"time", "timestamp", "ts", "epoch", "date", "datetime", "created", "updated", "at", "unix"}
TWO_DIGITS = {"month", "day", "hour", "minute", "week", "min", "hr", "mon", "dow", "year", "second"}


def profile_column(name: str, column: pl.Series) -> ColumnProfile:
    """Profile one column.

    Parameters
    ----------
    name : str
        Name of the column.
    column : polars.Series
        The sampled rows, as they are in the file.

    Returns
    -------
    ColumnProfile
        Its type and settings.
    """
    if column.dtype == pl.Categorical or column.dtype == pl.Enum:
        column = column.cast(pl.String)
    column = column.alias("x")
    raw = column.cast(pl.String, strict=False).str.strip_chars().replace("", None)
    profile = ColumnProfile(name, raw, column.dtype, original=column)
    counts = raw.drop_nulls().value_counts(sort=True)
    spellings: list[str] = (
        counts["x"].to_list() if len(counts) <= 2 * PROBE else probe_spellings(counts["x"])
    )
    if not spellings:
        profile.settings = {"type": "category"}
        profile.leave_out("ignore", "It is empty.")
    elif column.dtype == pl.Boolean:
        profile.settings = {"type": "boolean"}
    elif column.dtype.is_temporal():
        if column.dtype in (pl.Time, pl.Duration):
            profile.settings = {"type": "category"}
        else:
            days = column.cast(pl.Datetime("us"))
            format = "%Y-%m-%d" if (days.dt.truncate("1d") == days).all() else "%Y-%m-%d %H:%M:%S"
            profile.settings = {"type": "date", "format": format}
    elif column.dtype.is_numeric():
        set_number(profile, spellings, {"type": "number"})
    else:
        set_text(profile, spellings, counts)
    profile.read()
    if profile.type == "number" and profile.role == "feature":
        sentinels(profile)
    if profile.role == "feature" and profile.distinct <= 1 and profile.values.null_count() == 0:
        value = profile.raw.drop_nulls()[0]
        profile.leave_out("ignore", f"It is {value[:40]!r} in every row.")
    if profile.type == "category" and 1 < profile.distinct <= MAX_LISTED:
        profile.settings["categories"] = natural_order(profile)
    return profile


def probe_spellings(spellings: pl.Series) -> list[str]:
    """Return the most frequent spellings and some of the others."""
    first, rest = spellings.head(PROBE), spellings.tail(-PROBE)
    return [*first.to_list(), *rest.sample(min(PROBE, len(rest)), seed=0).to_list()]


def natural_order(profile: ColumnProfile) -> list[str]:
    """Sort the categories in natural order, so that 2 comes before 10."""
    found = profile.values.drop_nulls().unique().sort().to_list()
    return sorted(found, key=lambda one: [(not p.isdigit(), int(p) if p.isdigit() else 0, p.lower())
                                          for p in re.split(r"(\d+)", one) if p])  # fmt: skip


def set_text(profile: ColumnProfile, spellings: list[str], counts: pl.DataFrame) -> None:
    """Decide what a text column is."""
    present = [spelled for spelled in spellings if not is_missing(spelled)]
    if len(present) > 1 and all(map(is_picture, present)):
        profile.settings = {"type": "image", "nullable": profile.raw.null_count() > 0}
        profile.notes.append(f"paths of pictures, such as {present[0]!r}")
        return
    blank = [spelled for spelled in spellings if spelled not in set(present)]
    spellings_of = booleans(present) if len(counts) <= 20 else None
    numeric = {"0", "1", "0.0", "1.0"}
    if spellings_of and (len(profile.raw) >= 100 or not set(present) <= numeric):
        profile.settings = {
            "type": "boolean",
            "true_values": spellings_of[0],
            "false_values": spellings_of[1],
        }
        set_missing(profile, blank)
        return
    style = number_style(present) if present else None
    if style and not is_code(profile, present) and set_number(profile, present, style, blank):
        return
    figures = any(re.search(r"\d", one) for one in present[:3])  # words may be commoner than a day
    if figures and set_date(profile, present, blank):
        return
    set_category_or_text(profile, spellings)


def set_missing(profile: ColumnProfile, blank: Sequence[str]) -> None:
    """Note spellings of "missing"."""
    if blank:
        profile.settings["missing_values"] = list(blank)


def is_code(profile: ColumnProfile, present: list[str]) -> bool:
    """Return whether digits are a code's and not a number's."""
    name = set(words(profile.name))
    zeros = [one for one in present if re.fullmatch(r"0\d+", one)]
    figures = all(one.isdigit() for one in present)
    if zeros and len(zeros) >= 0.01 * len(present):
        short = all(len(one) <= 2 for one in present)
        if not (short and name & TWO_DIGITS):
            profile.notes.append(f"a code, not a number: {zeros[0]!r} begins with a zero")
            return True
    if figures and max(map(len, present)) > 16:
        profile.notes.append("a code, not a number: it has more than 16 digits")
        return True
    few = len(set(present)) <= MAX_CODES or not name & KIND_WORDS
    if name & CODES and few and all(re.fullmatch(r"-?\d+(\.0)?", one) for one in present):
        profile.notes.append("a code, not a number, by its name")
        return True
    return False


def set_number(
    profile: ColumnProfile, present: list[str], style: dict[str, Any], blank: Sequence[str] = ()
) -> bool:
    """Make a column a number, if nearly all of it can be read as one."""
    typed_number = profile.dtype != pl.String
    if typed_number and profile.dtype.is_integer() and is_code(profile, present):
        profile.settings = {"type": "category"}
        return True
    name = words(profile.name)
    if set(name) & WHEN and all(re.fullmatch(r"\d{9,13}(\.\d+)?", one) for one in present):
        lengths = {len(one.split(".")[0]) for one in present}
        if lengths <= {9, 10} or lengths <= {12, 13}:
            profile.settings = {
                "type": "date",
                "format": "unix" if max(lengths) < 11 else "unix ms",
            }
            profile.notes.append("seconds since 1970" if max(lengths) < 11 else "ms since 1970")
            set_missing(profile, blank)
            return True
    days = all(re.fullmatch(r"(19|20)\d{6}", one) for one in present) and len(present) >= 2
    if days and set_date(profile, present, blank):
        return True
    profile.settings = {**style, **({"missing_values": list(blank)} if blank else {})}
    known, values = typed(profile.raw_frame, profile.settings)
    profile.values, profile.read_by = values, dict(profile.settings)
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
                profile.warnings.append(
                    f"{share:.0%} of the values are not numbers, such as {spelled[0]!r}: a category"
                )
            profile.settings = {}
            return False
        profile.missing(spelled)
        shown = ", ".join(repr(one) for one in spelled[:3])
        single = len(unread) == 1
        some = "cell is not numeric and counts" if single else "cells are not numeric and count"
        profile.notes.append(f"{len(unread)} {some} as missing: {shown}")
    written = {key: value for key, value in style.items() if key != "type"}
    if written:
        values = typed(pl.DataFrame({"x": present[:50]}), style)[1]
        read = [pair for pair in zip(present, values, strict=False) if pair[1] is not None]
        if read:
            sample, value = max(read, key=lambda pair: len(pair[0]))
            profile.notes.append(f"{sample!r} is read as {value:.10g}")
    affixes = style.get("affixes", [])
    if "%" in affixes:
        profile.settings["unit"] = "%"
    elif len(units := [one for one in affixes if one not in ("()", "-", "+", "<", ">", "~")]) == 1:
        profile.settings["unit"] = units[0]
    if {"<", ">", "~"} & set(affixes):
        profile.warnings.append("values such as '<5' are read as the number alone")
    if style.get("decimal") == "," or style.get("thousands") in (".",):
        profile.notes.append("decimal comma" if style.get("decimal") == "," else "")
    return True


def are_words(spelled: Sequence[str]) -> bool:
    """Return whether these are one or two words, which may say why a value is missing."""
    return len(spelled) <= 2 and not any(re.search(r"\d", one) for one in spelled)


def set_date(profile: ColumnProfile, present: list[str], blank: Sequence[str]) -> bool:
    """Make a column a date, if nearly all of it looks like one."""
    found = date_formats(present)
    if found.matched < 1 - 5 * STRAY or not found.formats:
        return False
    formats = found.formats[0] if len(found.formats) == 1 else found.formats
    profile.settings = {"type": "date", "format": formats}
    set_missing(profile, blank)
    known, values = typed(profile.raw_frame, profile.settings)
    unread = known.filter(known.is_not_null() & values.is_null())
    if len(unread):
        spelled = unread.cast(pl.String).unique().sort().to_list()
        share = len(unread) / max(1, len(known) - known.null_count())
        if share > STRAY and len(unread) > 1 and not (share <= 0.3 and are_words(spelled)):
            profile.warnings.append(
                f"{share:.0%} of the values are not dates, such as {spelled[0]!r}: a category"
            )
            profile.settings = {}
            return False
        profile.missing(spelled)
        profile.notes.append(
            f"{len(unread)} cell(s) are not dates and count as missing: {spelled[0]!r}"
        )
    years = values.drop_nulls().dt.year()
    far = profile.raw.filter(values.dt.year().is_in([1, 1800, 1899, 1900, 1901, 1970, 2099, 9999]))
    if 0 < len(far) < 0.3 * len(values) and (table := far.value_counts(sort=True)).height:
        one, count = table["x"][0], table["count"][0]
        others = years.filter(~years.is_in([1, 1800, 1899, 1900, 1901, 1970, 2099, 9999]))
        middle = float(np.median(others.to_numpy())) if len(others) else 0.0
        year = int(typed(pl.DataFrame({"x": [one]}), profile.settings)[1].dt.year()[0])
        spread = float(others.max() or 0) - float(others.min() or 0)  # type: ignore[arg-type]
        if count >= 3 and abs(year - middle) > max(20.0, 1.5 * spread):
            profile.missing([one])
            profile.notes.append(f"{one!r} ({count} rows) is far from the other dates: missing")
    short = any("%y" in one for one in found.formats)
    ahead = profile.raw.filter(values.dt.year() > dt.date.today().year) if short else pl.Series()
    if len(ahead):
        year = int(typed(pl.DataFrame({"x": ahead[:1]}), profile.settings)[1].dt.year()[0])
        profile.warnings.append(
            f"{ahead[0]!r} is read as {year}, which is in the future: 00 to 68 are read as 2000 to "
            "2068; if it is a year before, write years with four digits, or set role: ignore"
        )
    if isinstance(formats, list):
        profile.notes.append(f"written in {len(formats)} ways")
    profile.warnings += found.warnings
    if found.others != found.formats:
        other = found.others[0] if len(found.others) == 1 else found.others
        if not values.equals(typed(profile.raw_frame, profile.settings | {"format": other})[1]):
            why = "which is a guess, since no value decides whether the day or the month is first"
            profile.choice = Choice(why, {"format": other})
    return True


def set_category_or_text(profile: ColumnProfile, spellings: list[str]) -> None:
    """Decide between categories and free text."""
    missing = find_missing_labels(spellings)
    known = profile.raw.filter(~profile.raw.is_in(missing)).drop_nulls()
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
    long = distinct > MAX_LISTED and known.str.len_chars().max() > LONGEST  # type: ignore[operator]
    if long or (several and (count >= 3.5 or length >= 40)):
        profile.settings = {"type": "text"}
        profile.notes.append(f"free text: {count:.0f} words on average, {distinct:,} different")
    elif listing:
        profile.settings = {"type": "text"}
        profile.notes.append("lists of categories, read as words")
    else:
        profile.settings = {"type": "category"}
        if distinct > MAX_LISTED:
            profile.notes.append(f"{distinct:,} categories")
    if missing:
        profile.settings["missing_values"] = missing
        kept = [one for one in spellings if is_missing(one)]
        if kept and profile.type == "category":
            some = "is a category" if len(kept) == 1 else "are categories"
            profile.notes.append(f"{', '.join(map(repr, kept[:3]))} {some}")
    elif any(one == "NA" for one in spellings):
        profile.notes.append("'NA' is a category here, not a missing value")
