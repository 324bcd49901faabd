"""Dialect detection: how a text table is written, from its beginning and its end."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from coldstart.config._sections import Dialect
from coldstart.data.reading._encoding import decode, detect_encoding
from coldstart.data.reading._layout import (
    cell_kind,
    find_footer,
    find_table,
    find_width,
    fit_names,
    names_columns,
)
from coldstart.data.reading._records import SEPARATOR, parse

SAMPLE_RECORDS = 300  # records that are parsed to detect the dialect
# Prior weight of each delimiter. A colon is not a candidate, since times contain it.
DELIMITERS = {",": 1.0, ";": 1.0, "\t": 1.0, "|": 0.95, "^": 0.9, "~": 0.9, "\x01": 0.9, "::": 0.9}
CALLED = {"\t": "tab", " ": "blanks", ";": "semicolon"}


@dataclass(frozen=True)
class DetectedDialect:
    """How a text file is written.

    Attributes
    ----------
    encoding : str
        Python's name of the encoding.
    lenient : bool
        Whether bytes that are invalid in this encoding are read as Windows-1252.
    delimiter : str
        One or more characters. A blank stands for any run of blanks.
    quote : str
        Character that fields are quoted with.
    cr : bool
        Whether lines end in a carriage return alone, as on old Macs.
    names : list of str or None
        The header as written, or None if there is none.
    width : int
        Number of fields in a row.
    skip : int
        Number of lines above the first row, the header included.
    footer : int
        Number of lines below the last row.
    notes : list of str
        What is unusual, one line each.
    """

    encoding: str
    lenient: bool
    delimiter: str
    quote: str
    cr: bool
    names: list[str] | None
    width: int
    skip: int
    footer: int
    notes: list[str] = field(default_factory=list)


def detect(head: bytes, tail: bytes, given: Dialect) -> DetectedDialect:
    """Detect how a file is written. Settings that are given are not questioned.

    Parameters
    ----------
    head, tail : bytes
        The beginning and the end of the file. `tail` is empty if `head` is the whole file.
    given : Dialect
        Settings from config.yaml.

    Returns
    -------
    DetectedDialect
        The given settings, completed.

    Raises
    ------
    UserError
        If the file is not text.
    """
    notes: list[str] = []
    if given.encoding:
        encoding, lenient = given.encoding, False
    else:
        encoding, lenient = detect_encoding(head, tail, notes)
    text, end = decode(head, encoding), decode(tail, encoding)
    if cr := "\n" not in text and "\r" in text:
        text, end = text.replace("\r", "\n"), end.replace("\r", "\n")
        notes.append("lines end in a carriage return alone")
    lines = text.split("\n")
    if tail or not lines[-1]:
        lines.pop()  # which is cut, or empty
    sep_line = re.fullmatch(r"sep=(.)\r?", lines[0]) if lines else None  # as Excel writes it
    delimiter = given.delimiter or (sep_line.group(1) if sep_line else find_delimiter(lines))
    quote = given.quote or find_quote(text, delimiter)
    if delimiter not in (",", SEPARATOR):
        notes.append(f"fields are separated by {CALLED.get(delimiter, repr(delimiter))}")
    if quote != '"':
        notes.append(f"fields are quoted with {quote}")

    records = list(parse(lines, delimiter, quote))[:SAMPLE_RECORDS]
    rows = [fields for _, _, fields in records]
    comments = [lines[start].startswith("#") for start, _, _ in records]
    width = find_width([row for row, out in zip(rows, comments, strict=True) if not out])
    skip = 1 if sep_line and given.skip is None else given.skip
    if skip is None:
        first, named = find_table(rows, comments, width, given.header)
    else:
        first = sum(start < skip for start, _, _ in records)
        named = names_columns(rows[first:], width) if given.header is None else given.header
    skip = records[first][0] if first < len(records) else len(lines)
    if above := [line for line in lines[:skip] if line.strip()]:
        notes.append(f"{describe_skipped(above)} above the table")
    names = None
    if named and first < len(rows):
        names, skip = rows[first], records[first][1]
        if comments[first]:
            names = [names[0].lstrip("# "), *names[1:]]
        names = fit_names(names, rows[first + 1 :], width, notes)
    elif not named:
        notes.append("there is no header: the first line is a row like the others")

    below = end.split("\n")[1:] if tail else lines[skip:]
    if tail and below[-1:] == [""]:
        below.pop()
    footer = given.footer
    if footer is None:
        last = list(parse(below, delimiter, quote))
        footer = find_footer(last, len(below), width)
    if skipped := [line for line in below[len(below) - footer :] if line.strip()]:
        notes.append(f"{describe_skipped(skipped)} below the table")
    return DetectedDialect(
        encoding, lenient, delimiter, quote, cr, names, width, skip, footer, notes
    )


def describe_skipped(lines: list[str]) -> str:
    """Describe skipped lines by their number and the first of them."""
    first = lines[0].strip()
    first = first if len(first) < 50 else first[:50] + "…"
    return f"{len(lines)} line{'s' * (len(lines) > 1)} ({first!r}) left out"


def find_delimiter(lines: list[str]) -> str:
    """Return the delimiter that gives the most regular rows and the most plausible cells.

    References
    ----------
    Van den Burg, Nazábal and Sutton, "Wrangling messy CSV files by detecting row and type
    patterns", 2019, https://doi.org/10.1007/s10618-019-00646-y
    """
    lines = [line for line in lines if line.strip() and not line.startswith("#")]
    scores = {
        delimiter: prior * regularity(lines, delimiter)
        for delimiter, prior in DELIMITERS.items()
        if any(delimiter in line for line in lines)
    }
    if is_aligned(lines):
        scores[" "] = 0.6 * regularity(lines, " ")
    best = max(scores, key=lambda delimiter: scores[delimiter], default="")
    return best if best and scores[best] > 0.05 else SEPARATOR  # in no line: a single column


def regularity(lines: list[str], delimiter: str) -> float:
    """Score from 0 to 1 how alike the rows are, and how many cells have a known type."""
    quote = find_quote("\n".join(lines[:SAMPLE_RECORDS]), delimiter)
    rows = [row for _, _, row in parse(lines, delimiter, quote)][:SAMPLE_RECORDS]
    width, times = Counter(map(len, rows)).most_common(1)[0]
    if width == 1 and (times < 0.5 * len(rows) or len(rows[0]) > 1):
        width = find_width(rows)
        times = sum(len(row) == width for row in rows)
    if width == 1 or times < 0.4 * len(rows) - 1:
        return 0
    cells = [cell for row in rows if len(row) == width for cell in row]
    if delimiter == "," and len(rows[0]) == 1 and all(is_decimal(row) for row in rows[1:]):
        return 0  # one column with decimal commas
    typed = sum(cell_score(cell, delimiter) for cell in cells) / len(cells)
    return (times / len(rows)) ** 2 * (width - 1) / width * typed


def is_decimal(row: list[str]) -> bool:
    """Return whether two cells are the halves of a number with a decimal comma."""
    return len(row) == 2 and re.fullmatch(r"-?\d+,\d+", ",".join(row)) is not None


def cell_score(cell: str, delimiter: str) -> float:
    """Score a cell: 1 for a known type, less for text that another delimiter would split."""
    if "\t" in cell:  # which hardly stands in a text
        return 0
    if "  " in cell.strip():
        return 0.3
    if cell_kind(cell) != "text":
        return 1
    others = [other for other in ",;\t|" if other != delimiter and other in cell]
    for other in others:
        if any(cell_kind(part) in ("number", "date") for part in cell.split(other)):
            return 0
    return 0.5 if others else 1


def is_aligned(lines: list[str]) -> bool:
    """Return whether blanks separate the columns: equal numbers of cells, many of them numbers."""
    rows = [row for _, _, row in parse(lines[:SAMPLE_RECORDS], " ", '"')]
    width = find_width(rows)
    full = [row for row in rows if len(row) == width]
    if width == 1 or len(full) < max(0.9 * len(rows) - 2, 2):
        return False
    if len(rows[0]) < max(width - 1, 2):  # a column of dates with times, below its name
        return False
    cells = [cell for row in full[1:] for cell in row]
    return sum(cell_kind(cell) in ("number", "date") for cell in cells) > 0.3 * len(cells)


def find_quote(text: str, delimiter: str) -> str:
    """Return the character that fields are quoted with."""
    mark, parts = re.escape(delimiter), {}
    for quote in "\"'":
        field = f"(?:^|{mark}) *{quote}(?:[^{quote}\n]|{quote}{quote})*{quote}(?=\r?$|{mark})"
        parts[quote] = len(re.findall(field, text, re.MULTILINE))
    single = parts["'"] > 0.5 * text.count("\n") and parts["'"] > 2
    return "'" if single and not parts['"'] else '"'
