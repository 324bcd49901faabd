"""The raw table: rows as they were brought, and where each of them stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from coldstart.errors import UserError

UNREADABLE = (pl.exceptions.PolarsError, OSError)  # a broken file may be found out late


@dataclass(frozen=True)
class Part:
    """One file's rows in a table.

    Attributes
    ----------
    name
        Of the file, and of the table in it.
    rows
        Number of rows.
    first
        Line or number of the first row.
    shifts
        For each line that begins no row, the number of the row that follows; sorted.
    unit
        What is counted.
    """

    name: str
    rows: int
    first: int = 1
    shifts: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    unit: str = "row"


@dataclass(frozen=True)
class RawTable:
    """A table as it was brought.

    Attributes
    ----------
    frame
        From delimited text every column is text, and an empty field is null. From Parquet,
        Excel and JSON columns are typed: numbers, booleans, dates, or text.
    findings
        What was found out about how the files are written, a line each.
    parts
        The files, in the order of their rows.
    quarantined
        Line numbers, by file, of rows that could not be read.
    """

    frame: pl.LazyFrame
    findings: list[str]
    parts: list[Part]
    quarantined: dict[str, list[int]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(part.rows for part in self.parts)

    def slices(self, rows: int) -> Iterator[pl.DataFrame]:
        """Yield the rows in their order, so many at a time.

        Raises
        ------
        UserError
            If a file cannot be read to its end.
        """
        try:
            yield from self.frame.collect_batches(chunk_size=rows, maintain_order=True, lazy=True)
        except UNREADABLE as error:
            name, what = self.parts[0].name, str(error).splitlines()[0]
            raise UserError(f"{name} cannot be read: {what}") from None

    def locate(self, row: int) -> str:
        """File and line of a row, by its number in `frame` from 0."""
        for part in self.parts:
            if row < part.rows:
                number = part.first + row + int(np.searchsorted(part.shifts, row, side="right"))
                return f"{part.name}, {part.unit} {number}"
            row -= part.rows
        raise IndexError(row)
