"""Streams: tables that need not fit into memory, as slices that follow one another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import polars as pl
import pyarrow.parquet as pq

T = TypeVar("T")


def prefetch(slices: Iterable[T]) -> Iterator[T]:
    """Yield slices, each of them made in a thread while the one before it is used."""
    waiting = iter(slices)
    with ThreadPoolExecutor(1) as thread:
        following = thread.submit(next, waiting, None)
        while (rows := following.result()) is not None:
            following = thread.submit(next, waiting, None)
            yield rows


def write_parquet(slices: Iterable[pl.DataFrame], path: Path, compression: str = "snappy") -> int:
    """Write slices, each made while the one before it is written; return the number of rows."""
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
    """Columns whose values are worth a dictionary, which takes long to make of others."""
    head = rows.head(10_000)
    return [column.name for column in head if column.n_unique() < 0.5 * len(head)]


def write_csv(slices: Iterable[pl.DataFrame], path: Path, separator: str) -> int:
    """Write slices, each made while the one before it is written; return the number of rows."""
    rows = 0
    with path.open("wb") as file:
        for part in prefetch(slices):
            part.write_csv(file, separator=separator, include_header=rows == 0)
            rows += len(part)
    return rows
