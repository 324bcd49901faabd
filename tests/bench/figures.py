"""Tables and figures as they are printed."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median


def number(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def spread(values: Sequence[float]) -> str:
    """Median, lowest and highest."""
    return f"{median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def table(header: list[str], rows: list[list[str]]) -> str:
    """Draw a table as Markdown has it."""
    columns = list(zip(header, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join("| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines)
