"""Records: delimited text to rows of fields, where a quote may lack its partner."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from typing import Any

LINES = 2000  # a quoted field that spans more of them has lost its closing quote
SEPARATOR = "\x1f"  # stands for delimiters of several characters, which csv does not know

csv.field_size_limit(2**28)


def parse(
    lines: Sequence[str], delimiter: str, quote: str, width: int | None = None, final: bool = True
) -> Iterator[tuple[int, int, list[str]]]:
    """Yield records: index of the first line, index after the last line, and the fields.

    A quote that opens a field and is not closed properly is taken for a character.

    Parameters
    ----------
    lines : sequence of str
        Lines without their line feeds.
    delimiter : str
        One or more characters. A blank stands for any run of blanks and tabs.
    quote : str
        Character that fields are quoted with.
    width : int, optional
        Number of fields that a record of several lines must have to be accepted.
    final : bool
        Whether the text ends here. If not, a record that may go on is not yielded.

    Yields
    ------
    tuple of (int, int, list of str)
        First line, line after the last, fields.
    """
    if delimiter == " ":
        lines = [line.replace("\t", " ").strip() for line in lines]
    elif len(delimiter) > 1:
        lines = [line.replace(delimiter, SEPARATOR) for line in lines]
        delimiter = SEPARATOR
    options: dict[str, Any] = {"delimiter": delimiter, "skipinitialspace": True}
    start = position = 0

    def feed() -> Iterator[str]:
        nonlocal position
        while position < len(lines) and position - start < LINES:
            position += 1
            yield lines[position - 1] + "\n"

    while position < len(lines):
        reader = csv.reader(feed(), quotechar=quote, strict=True, **options)
        try:
            for fields in reader:
                if position - start > 1 and width and len(fields) != width:
                    raise csv.Error
                yield start, position, fields
                start = position
        except csv.Error:
            if not final and position == len(lines) and position - start < LINES:
                return
            literal = lines[start].removesuffix("\r").replace("\r", " ")
            fields = next(csv.reader([literal], quoting=csv.QUOTE_NONE, **options), [])
            yield start, start + 1, fields
            start = position = start + 1
