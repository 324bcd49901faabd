"""Pieces of Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table, with the first column to the left and numbers to the right."""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def code(text: str) -> str:
    """Return a name or a value as code, also inside a table."""
    plain = " ".join(text.replace("`", "'").split())
    return f"`{plain[:60]}`".replace("|", r"\|")


def plain(text: str) -> str:
    """Return a text without what Markdown takes for a tag, a link, code or the end of a cell."""
    return re.sub(r"([\\`<\[\]|])", r"\\\1", " ".join(text.split()))


def percent(share: float) -> str:
    """Return a share in percent, with one decimal."""
    return f"{100 * share:.1f}%"
