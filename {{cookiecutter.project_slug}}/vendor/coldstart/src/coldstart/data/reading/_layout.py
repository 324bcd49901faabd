"""Layout: where in a grid of cells the table lies, and the names of its columns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from coldstart._terminal import UNPRINTABLE
from coldstart.errors import UserError

Row = Sequence[str]

MAX_COLUMNS = 10_000  # which take 40 s and 2 GB to profile
LONGEST = 200  # letters of a name; YAML takes at most 1024 for a key
RESERVED = re.compile(r"__part_\d+__")  # columns that preparation adds
NUMBER = re.compile(
    r"[-+(]?\s?[$€£]?\s?[-+]?(\d[\d.,' \u00a0\u202f]*|[.,]\d+)([eE][-+]?\d+)?"
    r"\s?([%)$€£]|[a-zA-Z]{1,2})?"
)
DATE = re.compile(
    r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}([T ]\d.*)?|\d{4}-\d\d|\d{1,2}:\d\d(:\d\d.*)?"
    r"|\d{1,2}[- ][A-Za-z]{3,9}[- ,]+\d{2,4}|[A-Za-z]{3,9} \d{1,2}, \d{4}"
)
UNKNOWN = {"", "?", "-", ".", "NA", "N/A", "nan", "NaN", "NULL", "null", "None"}
NOTE = re.compile(r"(sources?|notes?|quelle|stand|generated)\b|©|\*", re.IGNORECASE)
TOTAL = re.compile(r"(grand |sub-?)?(totals?|sum|summe|gesamt|insgesamt)\b\W*", re.IGNORECASE)


def cell_kind(cell: str) -> str:
    """Return "number", "date" or "text", or an empty string for a missing value."""
    cell = cell.strip()
    if cell in UNKNOWN:
        return ""
    if DATE.fullmatch(cell):
        return "date"
    return "number" if NUMBER.fullmatch(cell) else "text"


def count_filled(row: Row) -> int:
    """Count the cells that are not blank."""
    return sum(bool(cell.strip()) for cell in row)


def find_width(rows: Sequence[Row]) -> int:
    """Return the number of cells that most rows have, ignoring rows of one cell."""
    counts = Counter(len(row) for row in rows if len(row) > 1)
    if not counts:
        return 1
    return max(counts, key=lambda width: (counts[width], width))


def find_table(
    rows: Sequence[Row], comments: Sequence[bool], width: int, named: bool | None
) -> tuple[int, bool]:
    """Find the first row of the table, which may be its header.

    Parameters
    ----------
    rows : sequence of rows
        The grid from its first line on.
    comments : sequence of bool
        Whether each row begins with `#`.
    width : int
        Number of cells in a row of the table.
    named : bool or None
        Whether there is a header, or None if unknown.

    Returns
    -------
    index : int
        Index of the row.
    header : bool
        Whether this row is the header.

    Raises
    ------
    UserError
        If there are more names than fields.
    """
    first = next((i for i, row in enumerate(rows) if starts_table(rows, i, width, comments)), None)
    if first is None:  # nothing looks like a table: take all that is not a comment
        first = next((i for i, row in enumerate(rows) if count_filled(row) and not comments[i]), 0)
    if named is None:
        lacks_one = first < len(rows) and 1 < len(rows[first]) < width
        named = lacks_one or names_columns(rows[first:], width)
    comment = first - 1
    commented = first > 0 and comments[comment] and len(rows[comment]) == width > 1
    if commented and not named:  # "# id,weight"
        return comment, True
    above = rows[first - 1] if first else []
    if not named and len(above) > width and all(cell_kind(cell) == "text" for cell in above):
        raise UserError(f"there are {len(above)} names, but most rows have {width} fields")
    return first, named


def starts_table(rows: Sequence[Row], index: int, width: int, comments: Sequence[bool]) -> bool:
    """Return whether the table may begin with this row."""
    row, cells = rows[index], count_filled(rows[index])
    if comments[index] or not cells:
        return False
    if width == 1:
        return True
    alone = bool(row[0].strip()) and cells == 1  # a title, filled up with delimiters
    if len(row) >= width and count_filled(row[width:]) == 0:
        return 2 * cells >= width and not alone
    # Names that lack the one of the first column, as R writes them, right above the rows.
    after = rows[index + 1 : index + 6]
    names_all_but_one = len(row) == cells == width - 1 and len(after) > 0
    return (
        names_all_but_one
        and all(len(other) == width for other in after)
        and not all(cell_kind(cell) in ("text", "") for cell in after[0])
        and all(cell_kind(cell) == "text" for cell in row)
    )


def names_columns(rows: Sequence[Row], width: int) -> bool:
    """Return whether the first row is a header. It is, unless it clearly resembles the others."""
    rows = [row for row in rows if len(row) >= width]
    if not rows:
        return True
    first = rows[0]
    others = [row for row in rows[1:] if list(row) != list(first)] or rows[1:]
    alike = []
    for number in range(width):
        kinds = Counter(cell_kind(row[number]) for row in others) - Counter({"": len(others)})
        usual = max(kinds, key=lambda name: kinds[name], default="text")
        if usual != "text" and kinds[usual] >= 0.9 * kinds.total():
            alike.append(cell_kind(first[number]) in (usual, ""))
    numbers = [int(cell) for cell in first if re.fullmatch(r"\d{1,4}", cell.strip())]
    if len(numbers) > 2 and len({b - a for a, b in pairwise(numbers)}) == 1:
        return numbers[0] in (0, 1) or 1800 < numbers[0] < 2200 or not alike  # years, or counted
    if alike:
        return not all(alike) or not any(first[i].strip() for i in range(width))
    if len(rows) - len(others) > len(rows) / 4:  # too often for names that files were joined with
        others = rows[1:]
    if len(others) < 10:
        return True
    # A name is hardly ever one of the usual values below it.
    below = [Counter(row[number] for row in others) for number in range(width)]
    shares = [times[first[number]] / len(others) for number, times in enumerate(below)]
    return min(shares) == 0 and max(shares) < 0.1


def fit_names(names: list[str], rows: Sequence[Row], width: int, notes: list[str]) -> list[str]:
    """Fit the header to the width of the rows."""
    while len(names) > width and not names[-1].strip():
        names = names[:-1]
    full = [row for row in rows if len(row) == width]
    if len(names) == width - 1 and full and not any(row[-1].strip() for row in full):
        return [*names, ""]  # each row ends in a delimiter
    if len(names) == width - 1:
        notes.append("the first column has no name")
        return ["", *names]
    return names


def check_width(columns: int) -> None:
    """Refuse a table with more columns than can be profiled, trained on or predicted.

    Raises
    ------
    UserError
        If there are too many.
    """
    if columns > MAX_COLUMNS:
        raise UserError(
            f"{columns:,} columns are too many, at most {MAX_COLUMNS:,} can be read: leave out "
            "those that are not needed, or reshape the table to fewer columns and more rows"
        )


def unique_names(names: Sequence[str], notes: list[str]) -> list[str]:
    """Make names unique, printable, not empty and not too long, and note the changed ones.

    Raises
    ------
    UserError
        If there are too many.
    """
    check_width(len(names))
    found: dict[str, None] = {}
    later, tried = Counter(names), Counter[str]()
    for number, name in enumerate(names, 1):
        later[name] -= 1
        wanted = re.sub(r"\s*[\r\n]\s*", " ", name.replace("\ufeff", "").strip())
        wanted = UNPRINTABLE.sub("", wanted)[:LONGEST].strip()
        wanted = wanted or f"column {number}"
        wanted += "_" * (RESERVED.fullmatch(wanted) is not None)
        result, times = wanted, max(tried[wanted], 1)
        while result in found or (result != name and later[result]):
            times += 1
            result = f"{wanted} ({times})"
        tried[wanted] = times
        if result != name.strip():
            was = repr(name[:LONGEST]) if name.strip() else "without a name"
            notes.append(f"column {number}, {was}, is called {result!r}")
        found[result] = None
    return list(found)


def find_footer(rows: Sequence[tuple[int, int, Row]], lines: int, width: int) -> int:
    """Count the lines below the table: totals, notes, and what an empty line separates.

    Parameters
    ----------
    rows : sequence of tuple
        For each row the index of its first line, the index after its last line, and its cells.
    lines : int
        Number of lines.
    width : int
        Number of cells in a row of the table.

    Returns
    -------
    int
        Number of lines that are not part of the table.
    """
    if width == 1 or sum(len(row) == width for _, _, row in rows) < len(rows) / 2:
        return 0  # notes look like values, or the end cannot be parsed
    footer = lines
    for index in range(len(rows) - 1, max(len(rows) - 15, 0), -1):
        start, _, row = rows[index]
        words = next((cell.strip() for cell in row if cell.strip()), "")
        fits = len(row) >= width and not count_filled(row[width:])
        parted = count_filled(rows[index - 1][2]) == 0
        summed = any(TOTAL.fullmatch(cell.strip()) for cell in row) and count_filled(row) < width
        total = (TOTAL.fullmatch(words) or summed) and fits and count_filled(row) > 1
        alone = count_filled(row) == 1 < width and bool(row[0].strip())
        labeled = NOTE.match(words) is not None or TOTAL.match(words) is not None
        wordy = cell_kind(words) == "text" and (" " in words or labeled)
        note = not fits and (parted or labeled or (count_filled(row) <= width / 2 and wordy))
        note = note or (alone and (parted or labeled))
        if count_filled(row) == 0 and len(row) <= 1:
            continue  # an empty line: whether it is a part shows above it
        if not (total or note):
            break
        footer = start
    return lines - footer
