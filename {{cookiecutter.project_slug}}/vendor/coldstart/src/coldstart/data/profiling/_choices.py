"""Close decisions: values that can be read in two ways, and what the other columns tell."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import polars as pl

from coldstart.data.profiling._draft import scalar
from coldstart.data.profiling._profiles import Choice, ColumnProfile, typed
from coldstart.data.profiling._spellings import open_mark

Decide = Callable[[ColumnProfile, Choice], bool | None]
MARKS = {".": "dots", ",": "commas"}


def settle_choices(
    profiles: Mapping[str, ColumnProfile], decided: Iterable[str], decide: Decide | None
) -> None:
    """Find the close decisions, and apply the answers.

    Parameters
    ----------
    profiles : mapping of str to ColumnProfile
        The columns, by name.
    decided : iterable of str
        Columns that are not questioned, since the schema has them already.
    decide : callable, optional
        Returns whether a reading is right, or None if that stays open: then it is a warning.
    """
    questioned = [one for name, one in profiles.items() if name not in decided]
    compare_marks(profiles.values(), questioned)
    for profile in questioned:
        if not (choice := profile.choice):
            continue
        right = decide(profile, choice) if decide else None
        if right is None:
            profile.warnings.append(describe(profile, choice))
            continue
        if not right:
            apply(profile, choice.other)
        spelled, value, _ = example(profile, choice)
        profile.notes.append(f"{spelled!r} is read as {value}, as you answered")


def compare_marks(profiles: Iterable[ColumnProfile], questioned: Iterable[ColumnProfile]) -> None:
    """Read numbers such as 1.234 by the marks of the other columns, if these differ from it."""
    marks, clear = {}, []
    for one in profiles:
        if one.dtype == pl.String and one.settings.get("type") == "number":
            if mark := open_mark(one.raw.drop_nulls().unique()):
                marks[one.name] = mark
            elif one.raw.str.contains(r"\d[.,]\d").any():
                clear.append(one.settings.get("decimal", "."))
    usual = max(MARKS, key=clear.count)
    if clear.count(usual) <= len(clear) / 2:
        return  # as many of one kind as of the other, or none at all
    for one in questioned:
        mark, was = marks.get(one.name, ""), marks_of(one.settings)
        new = {"decimal": usual, "thousands": mark if mark != usual else ""}
        if mark and new != was:
            apply(one, new)
            one.choice = Choice(f"since other columns have decimal {MARKS[usual]}", was)


def marks_of(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return how a number is written, with what is so by default."""
    return {"decimal": settings.get("decimal", "."), "thousands": settings.get("thousands", "")}


def apply(profile: ColumnProfile, other: Mapping[str, Any]) -> None:
    """Change settings, and drop the remarks about those before."""
    profile.settings |= other
    for key, usual in (("decimal", "."), ("thousands", "")):
        if profile.settings.get(key) == usual:
            del profile.settings[key]
    profile.notes = [
        note for note in profile.notes if not re.search("is read as|^decimal comma", note)
    ]
    profile.read()


def example(profile: ColumnProfile, choice: Choice) -> tuple[str, str, str]:
    """Return a value that the two ways read differently, and how each does."""
    first = typed(profile.raw_frame, profile.settings)[1]
    second = typed(profile.raw_frame, profile.settings | choice.other)[1]
    row = first.ne_missing(second).arg_max() or 0
    return str(profile.raw[row]), show(first[row]), show(second[row])


def show(value: Any) -> str:
    """Show a value that was read, such that day and month cannot be confused."""
    if value is None:
        return "missing"
    return f"{value:.10g}" if isinstance(value, float) else f"{value:%d %B %Y}".lstrip("0")


def describe(profile: ColumnProfile, choice: Choice) -> str:
    """Describe how a value is read, and how to read it in the other way."""
    spelled, value, other = example(profile, choice)
    change = ", ".join(f"{key}: {scalar(one)}" for key, one in choice.other.items())
    return f"{spelled!r} is read as {value}, {choice.why}; if it is {other}, set {change}"
