"""Set aside: rows that cannot be read are kept in a file of their own, and told of."""

from __future__ import annotations

from pathlib import Path

from coldstart.config._settings import Dialect
from coldstart.errors import UserError

QUARANTINE = Path("data/quarantine")
MAX_SHARE = 0.05  # share of rows that may be so, where there are more than three


def quarantine(
    broken: list[tuple[int, str]], rows: int, what: str, fix: str, name: str, dialect: Dialect
) -> str:
    """Keep broken rows in a file of their own, and say so.

    Parameters
    ----------
    broken
        Line number and text of each.
    rows
        Number of the others.
    what, mend
        What is wrong with them, and what a person can do.

    Raises
    ------
    UserError
        If they are too many, or none may be.
    """
    count, total = len(broken), rows + len(broken)
    summary, lines = f"{count:,} of {total:,} rows {what}", format_lines([line for line, _ in broken])
    if dialect.ragged == "refuse" or count > max(3, MAX_SHARE * total) or count >= rows:
        first, text = broken[0]
        raise UserError(f"{summary}: {lines}\nline {first} is {shorten(text)}; {fix}")
    path = QUARANTINE / f"{Path(name).name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}: {text}\n" for line, text in broken)
    return f"{name}: {summary} and are quarantined: {lines} ({path})"


def format_lines(lines: list[int]) -> str:
    """Name lines, or the first of them."""
    shown = ", ".join(f"{line}" for line in lines[:10])
    more = f" and {len(lines) - 10:,} more" if len(lines) > 10 else ""
    return f"line{'s' * (len(lines) > 1)} {shown}{more}"


def shorten(text: str) -> str:
    """Show a text in a line."""
    return repr(text if len(text) < 60 else text[:60] + "…")
