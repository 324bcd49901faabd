"""Row groups of Parquet files, local or in an object store, one after the other.

`AWS_ENDPOINT_URL` selects a store other than AWS.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq

from coldstart.errors import UserError

STORE = "s3://"
BUFFER = 2**20  # bytes that are read ahead of a column


@dataclass(frozen=True)
class RowGroup:
    """A row group of a Parquet file.

    Attributes
    ----------
    file : str
        Path, or address in the store.
    number : int
        Number of the group in the file.
    first : int
        Number of its first row in the whole table.
    rows : int
        Number of rows.
    """

    file: str
    number: int
    first: int
    rows: int

    def slices(self, rows: int, columns: list[str] | None) -> Iterator[pl.LazyFrame]:
        """Yield the rows, this many at a time, with the given columns if the file has all of them.

        Raises
        ------
        UserError
            If the file cannot be read to its end.
        """
        try:
            file = open_parquet(self.file)
            there = set(file.schema_arrow.names)
            chosen = columns if columns and there.issuperset(columns) else None
            for batch in file.iter_batches(rows, row_groups=[self.number], columns=chosen):
                yield pl.DataFrame(pa.Table.from_batches([batch])).lazy()
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{self.file} cannot be read: {first_line(error)}") from None


def list_row_groups(names: list[str]) -> list[RowGroup]:
    """List the row groups of Parquet files, in order.

    Raises
    ------
    UserError
        If a file cannot be read, or is not Parquet.
    """
    found: list[RowGroup] = []
    first = 0
    for name in names:
        try:
            metadata = open_parquet(name).metadata
        except pa.ArrowInvalid:
            raise UserError(
                f"{name} is not Parquet, which neural.stream reads: write the table as Parquet, "
                "or set stream: false in config.yaml"
            ) from None
        except OSError as error:
            raise UserError(f"{name} cannot be read: {first_line(error)}") from None
        for number in range(metadata.num_row_groups):
            rows = metadata.row_group(number).num_rows
            found.append(RowGroup(name, number, first, rows))
            first += rows
    return found


def open_parquet(name: str) -> Any:
    """Open a Parquet file whose columns are read a little at a time."""
    if not name.startswith(STORE):
        return pq.ParquetFile(name, buffer_size=BUFFER)
    store, path = pyarrow.fs.FileSystem.from_uri(name)
    return pq.ParquetFile(path, filesystem=store, buffer_size=BUFFER)


def list_objects(table: str) -> list[str]:
    """List the addresses of a Parquet object, a folder or a pattern, in order.

    Raises
    ------
    UserError
        If there is none, or the store refuses access.
    """
    if table.endswith(".parquet") and not any(sign in table for sign in "*?["):
        return [table]
    folder, _, pattern = table.removeprefix(STORE).rpartition("/")
    if not any(sign in pattern for sign in "*?["):
        folder, pattern = f"{folder}/{pattern}".rstrip("/"), "*.parquet"
    try:
        store, _ = pyarrow.fs.FileSystem.from_uri(f"{STORE}{folder}")
        there = store.get_file_info(pyarrow.fs.FileSelector(folder, allow_not_found=True))
    except OSError as error:
        raise UserError(f"{table} cannot be read: {first_line(error)}") from None
    names = [one.path for one in there if one.is_file and fnmatch(one.base_name, pattern)]
    if not names:
        raise UserError(f"{table}: no object has such a name")
    return sorted(f"{STORE}{name}" for name in names)


def first_line(error: Exception) -> str:
    """Return the first line of an error message."""
    return str(error).strip().splitlines()[0][:200]
