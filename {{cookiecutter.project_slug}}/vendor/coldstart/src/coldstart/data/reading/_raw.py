"""Raw tables: rows as they are in the files, and where each of them is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from coldstart.errors import UserError

# Scans are lazy, so a broken file may fail late. Some broken Parquet files make polars panic.
UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)


@dataclass(frozen=True)
class Part:
    """The rows of one file in a table.

    Attributes
    ----------
    name : str
        Name of the file, and of the table in it.
    rows : int
        Number of rows.
    first : int
        Number of the line or row that the first row begins on.
    shifts : ndarray of int
        For each line that begins no row, the number of the row after it. Sorted.
    unit : {"line", "row"}
        What is counted.
    """

    name: str
    rows: int
    first: int = 1
    shifts: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    unit: str = "row"


@dataclass(frozen=True)
class RawTable:
    """A table as it is in the files.

    Attributes
    ----------
    frame : LazyFrame
        From delimited text every column is text, and an empty field is null. From Parquet, Excel
        and JSON columns are numbers, booleans, dates or text.
    findings : list of str
        What was detected about how the files are written, one line each.
    parts : list of Part
        The files, in the order of their rows.
    quarantined : dict
        From a file's name to the line numbers of the rows that could not be read.
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
        """Yield the rows in their order, this many at a time.

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
        """Return the file and line of a row, by its number in `frame` from 0."""
        for part in self.parts:
            if row < part.rows:
                number = part.first + row + int(np.searchsorted(part.shifts, row, side="right"))
                return f"{part.name}, {part.unit} {number}"
            row -= part.rows
        raise IndexError(row)
