"""Reading: files to one raw table, in which every value is still text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from .errors import UserError
from .settings import Data

READERS = {".csv": ",", ".tsv": "\t"}
UNREADABLE = (pl.exceptions.PolarsError, OSError)  # a broken gzip file is an OSError


def scan(path: Path) -> pl.LazyFrame:
    """Open a table lazily, with every column as text.

    Nothing is guessed: "None" stays a word, "007" keeps its zeros, and only an
    empty field is null. What a value means is said by the contract.

    Raises
    ------
    UserError
        If the file is missing, or not a CSV, TSV (gzipped or not) or Parquet file.
    """
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    suffix = Path(path.name.removesuffix(".gz")).suffix
    if suffix == ".parquet":
        return pl.scan_parquet(path).cast(pl.String)
    if suffix not in READERS:
        raise UserError(f"{path}: expected a .csv, .tsv (or .gz of these) or .parquet file")
    return pl.scan_csv(path, separator=READERS[suffix], infer_schema=False)


@dataclass(frozen=True)
class RawTable:
    """A table as its file has it."""

    frame: pl.LazyFrame
    findings: list[str]
    path: Path

    def slices(self, rows: int) -> Iterator[pl.DataFrame]:
        """Yield the rows, so many at a time."""
        try:
            yield from self.frame.collect_batches(chunk_size=rows, lazy=True)
        except UNREADABLE as error:
            raise UserError(f"{self.path} cannot be read: {str(error).splitlines()[0]}") from None

    def place(self, row: int) -> str:
        """File and line of a row."""
        return f"{self.path}, line {row + 2}"


def read(data: Data) -> RawTable:
    """Read the table and add the joined ones, one row for each of the table's, in its order.

    Raises
    ------
    UserError
        If a file cannot be read, a key is missing or not unique, or no row is left.
    """
    table = collect(scan(data.table), data.table)
    if table.is_empty():
        raise UserError(f"{data.table} has a header but no rows")
    for join in data.joins:
        other = collect(scan(join.file), join.file)
        for path, frame in ((data.table, table), (join.file, other)):
            if join.key not in frame.columns:
                raise UserError(f"{path} has no column {join.key!r} to join on; see config.yaml")
        if twice := other.filter(other[join.key].is_duplicated())[join.key].unique().to_list():
            raise UserError(f"{join.file}: {join.key} must be unique, but {twice[0]!r} is not")
        if both := sorted(set(table.columns) & set(other.columns) - {join.key}):
            raise UserError(f"{join.file} and {data.table} both have a column {both[0]!r}")
        table = table.join(other, on=join.key, how="left", maintain_order="left")
    return RawTable(table.lazy(), [], data.table)


def collect(table: pl.LazyFrame, path: Path) -> pl.DataFrame:
    """Read a lazy table into memory, telling a person what is wrong with the file."""
    try:
        return table.collect()
    except UNREADABLE as error:
        raise UserError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
