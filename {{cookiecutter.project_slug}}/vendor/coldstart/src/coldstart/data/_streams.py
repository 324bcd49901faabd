"""Streams: tables as a sequence of slices, so that they need not fit into memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import polars as pl
import pyarrow.parquet as pq

T = TypeVar("T")


def prefetch(slices: Iterable[T]) -> Iterator[T]:
    """Yield slices, preparing each in a thread while the one before it is used."""
    waiting = iter(slices)
    with ThreadPoolExecutor(1) as thread:
        following = thread.submit(next, waiting, None)
        while (rows := following.result()) is not None:
            following = thread.submit(next, waiting, None)
            yield rows


def write_parquet(slices: Iterable[pl.DataFrame], path: Path, compression: str = "snappy") -> int:
    """Write slices as Parquet, preparing each while the one before it is written.

    Parameters
    ----------
    slices : iterable of polars.DataFrame
        Rows with the same columns.
    path : Path
        File to write.
    compression : str
        Codec, as pyarrow names it.

    Returns
    -------
    int
        Number of rows.
    """
    writer, rows = None, 0
    try:
        for part in prefetch(slices):
            table = part.to_arrow()
            if writer is None:
                # Statistics serve those who look for some rows; here all are read.
                writer = pq.ParquetWriter(
                    path,
                    table.schema,
                    use_dictionary=dictionary_columns(part),
                    compression=compression,
                    write_statistics=False,
                )
            writer.write_table(table)
            rows += len(part)
    finally:
        if writer:
            writer.close()
    return rows


def dictionary_columns(rows: pl.DataFrame) -> list[str]:
    """Return the columns that repeat values, for which a dictionary is worth its time."""
    head = rows.head(10_000)
    return [column.name for column in head if column.n_unique() < 0.5 * len(head)]


def write_csv(slices: Iterable[pl.DataFrame], path: Path, separator: str) -> int:
    """Write slices as CSV, preparing each while the one before it is written.

    Parameters
    ----------
    slices : iterable of polars.DataFrame
        Rows with the same columns.
    path : Path
        File to write.
    separator : str
        Character between fields.

    Returns
    -------
    int
        Number of rows.
    """
    rows = 0
    with path.open("wb") as file:
        for part in prefetch(slices):
            part.write_csv(file, separator=separator, include_header=rows == 0)
            rows += len(part)
    return rows
