"""Quarantine: rows that cannot be read are kept in a file of their own."""

from __future__ import annotations

from pathlib import Path

from coldstart.config._sections import Dialect
from coldstart.errors import UserError

QUARANTINE = Path("data/quarantine")
MAX_SHARE = 0.05  # share of rows that may be so, where there are more than three


def quarantine(
    broken: list[tuple[int, str]], rows: int, what: str, fix: str, name: str, dialect: Dialect
) -> str:
    """Write broken rows to a file in `data/quarantine`, and describe them.

    Parameters
    ----------
    broken : list of (int, str)
        Line number and text of each broken row.
    rows : int
        Number of the other rows.
    what, fix : str
        What is wrong with them, and how to fix it.
    name : str
        Name of the table's file.
    dialect : Dialect
        Whether such rows are refused.

    Returns
    -------
    str
        One line to print.

    Raises
    ------
    UserError
        If more than 5% of the rows are broken, or `ragged` is `refuse`.
    """
    count, total = len(broken), rows + len(broken)
    summary, lines = (
        f"{count:,} of {total:,} rows {what}",
        format_lines([line for line, _ in broken]),
    )
    if dialect.ragged == "refuse" or count > max(3, MAX_SHARE * total) or count >= rows:
        first, text = broken[0]
        raise UserError(f"{summary}: {lines}\nline {first} is {shorten(text)}; {fix}")
    path = QUARANTINE / f"{Path(name).name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}: {text}\n" for line, text in broken)
    return f"{name}: {summary} and are quarantined: {lines} ({path})"


def format_lines(lines: list[int]) -> str:
    """Name lines, at most the first ten."""
    shown = ", ".join(f"{line}" for line in lines[:10])
    more = f" and {len(lines) - 10:,} more" if len(lines) > 10 else ""
    return f"line{'s' * (len(lines) > 1)} {shown}{more}"


def shorten(text: str) -> str:
    """Quote a text, cut to 60 characters."""
    return repr(text if len(text) < 60 else text[:60] + "…")
