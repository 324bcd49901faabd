"""Date formats of a text column: one or several, with the day or the month first."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

MONTH = r"(?P<b>jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec)"
MONTHS = (
    r"(?P<B>january|february|march|april|may|june|july|august|september|october|november|december)"
)
YEAR = r"(?:1[5-9]|20|21)\d\d"
# Each shape of a day: pattern, and format; {1}{2} stand for day and month in either order.
DAYS = [
    (rf"{YEAR}(?P<s>[-/.])(?:0?[1-9]|1[0-2])(?P=s)(?:0?[1-9]|[12]\d|3[01])", "%Y{s}%m{s}%d"),
    (rf"{YEAR}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])", "%Y%m%d"),
    (rf"(?P<p>\d\d?)(?P<s>[-/.])(?P<q>\d\d?)(?P=s){YEAR}", "{1}{s}{2}{s}%Y"),
    (r"(?P<p>\d\d?)(?P<s>[-/.])(?P<q>\d\d?)(?P=s)\d\d", "{1}{s}{2}{s}%y"),
    (rf"\d\d?(?P<s>[-/. ]?){MONTHS}(?P=s){YEAR}", "%d{s}%B{s}%Y"),
    (rf"\d\d?(?P<s>[-/. ]?){MONTH}(?P=s){YEAR}", "%d{s}%b{s}%Y"),
    (rf"\d\d?(?P<s>[-/. ]){MONTH}(?P=s)\d\d", "%d{s}%b{s}%y"),
    (rf"\d\d?\. {MONTHS} {YEAR}", "%d. %B %Y"),
    (rf"{MONTHS} \d\d?, ?{YEAR}", "%B %d, %Y"),
    (rf"{MONTH} \d\d?, ?{YEAR}", "%b %d, %Y"),
    (rf"{MONTHS} \d\d? {YEAR}", "%B %d %Y"),
    (rf"{MONTH} \d\d? {YEAR}", "%b %d %Y"),
    (rf"{YEAR}(?P<s>[-/ ]){MONTH}(?P=s)\d\d?", "%Y{s}%b{s}%d"),
    (rf"(?:mon|tue|wed|thu|fri|sat|sun), \d\d? {MONTH} {YEAR}", "%a, %d %b %Y"),
    (rf"{YEAR}(?P<s>[-/])(?:0[1-9]|1[0-2])", "%Y{s}%m"),
    (rf"(?:0?[1-9]|1[0-2])(?P<s>[-/]){YEAR}", "%m{s}%Y"),
    (rf"(?:{YEAR}[-/ ]?q[1-4]|q[1-4][-/ ]?{YEAR})", "quarter"),
    (rf"{MONTHS}(?P<s>[- ]){YEAR}", "%B{s}%Y"),
    (rf"{MONTH}(?P<s>[- ]){YEAR}", "%b{s}%Y"),
    (rf"{MONTH}(?P<s>-)\d\d", "%b{s}%y"),
]
TIMES = [
    ("", ""),
    (r"\d\d?:\d\d", "%H:%M"),
    (r"\d\d?h\d\d", "%Hh%M"),
    (r"\d\d?:\d\d:\d\d", "%H:%M:%S"),
    (r"\d\d?:\d\d:\d\d\.\d+", "%H:%M:%S%.f"),
    (r"\d\d?:\d\d ?[ap]m", "%I:%M %p"),
    (r"\d\d?:\d\d:\d\d ?[ap]m", "%I:%M:%S %p"),
]
ZONES = [("", ""), ("z", "Z"), (r" utc", " UTC"), (r" gmt", " GMT"), (r" ?[+-]\d\d:?\d\d", "%z")]
SHAPES = [
    (
        re.compile(
            f"^{day}" + (f"(?P<t>t| |, |:){time}" if time else "") + zone + "$", re.IGNORECASE
        ),
        day_format,
        time_format,
        zone_format,
    )
    for day, day_format in DAYS
    for time, time_format in TIMES
    for zone, zone_format in (ZONES if time else ZONES[:1])
]


@dataclass
class Dates:
    """Detected date formats.

    Attributes
    ----------
    formats : list of str
        Most frequent first.
    matched : float
        Share of the spellings that look like a date.
    others : list of str
        The same with day and month exchanged where no value decides which is first.
    warnings : list of str
        What the values contradict.
    """

    formats: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    matched: float = 0.0
    warnings: list[str] = field(default_factory=list)


def date_formats(texts: Sequence[str]) -> Dates:
    """Detect the formats of dates. `texts` holds each spelling once, in the order of the rows."""
    counts: Counter[str] = Counter()  # format with {1}, {2} where the order is open
    firsts: dict[str, list[tuple[int, int]]] = {}
    shapes = list(SHAPES)
    for row, text in enumerate(texts):
        if row == 40 and sum(counts.values()) < 30:
            return Dates()  # not worth the time
        for number, (pattern, day, time, zone) in enumerate(shapes):
            if not (match := pattern.match(text)):
                continue
            parts = match.groupdict()
            blank = " " if re.search(r"\d [ap]m$|\d [+-]\d", text, re.IGNORECASE) else ""
            written = day.replace("{s}", parts.get("s") or "") + (parts.get("t") or "")
            written += time.replace(" %p", f"{blank}%p") + zone.replace("%z", f"{blank}%z")
            counts[written] += 1
            if "{1}" in written:
                firsts.setdefault(written, []).append((int(parts["p"]), int(parts["q"])))
            shapes.insert(0, shapes.pop(number))  # the next is mostly like this one
            break
    found = Dates(matched=sum(counts.values()) / max(1, len(texts)))
    order = {written: day_first(pairs) for written, pairs in firsts.items()}
    decided = {first for known in order.values() for first in known}
    for written, _ in counts.most_common():
        if written not in order:
            found.formats.append(written)
            found.others.append(written)
            continue
        known = order[written] or (decided if len(decided) == 1 else set())
        guessed = not known
        known = known or {is_day_first(firsts[written], "." in written)}
        if len(known) == 2:
            found.warnings.append(
                "some dates have the day first and some the month: where both fit, "
                "the more frequent is used"
            )
        for first in sorted(known, key=lambda first: -sum(fits(firsts[written], first))):
            for formats, by_day in ((found.formats, first), (found.others, first ^ guessed)):
                one, two = ("%d", "%m") if by_day else ("%m", "%d")
                formats.append(written.replace("{1}", one).replace("{2}", two))
    return found


def day_first(pairs: list[tuple[int, int]]) -> set[bool]:
    """Return what pairs of numbers decide: {True}, {False}, both, or nothing."""
    day = sum(p > 12 and q <= 12 for p, q in pairs)
    month = sum(q > 12 and p <= 12 for p, q in pairs)
    if day and month:  # a stray one is a typo
        return {True} if month <= 0.02 * day else {False} if day <= 0.02 * month else {True, False}
    return {True} if day else {False} if month else set()


def fits(pairs: list[tuple[int, int]], first: bool) -> list[bool]:
    """Return whether each pair can be read with the day first, or last."""
    return [(q if first else p) <= 12 for p, q in pairs]


def is_day_first(pairs: list[tuple[int, int]], dotted: bool) -> bool:
    """Return whether the day is likely first: the number that varies more, or a dotted date."""
    days, months = len({p for p, _ in pairs}), len({q for _, q in pairs})
    return dotted if days == months else days > months
