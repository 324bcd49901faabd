"""Shards: training rows of Parquet files, read anew in each epoch.

The table need not fit into memory or on the disk. Its row groups are divided among the ranks,
and a rank holds a few slices of some of them at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from coldstart.config._sections import DataSettings
from coldstart.contract._contract import Contract
from coldstart.data._dataset import Dataset
from coldstart.data._rows import ROW, ROW_HASH, RowIdentifier, check_weights
from coldstart.data.reading._read import RowGroup, load_joins, read_main_table, row_groups, simplify
from coldstart.errors import UserError

SLICE = 16_384  # rows of a row group that are read at a time
INTERLEAVED = 8  # row groups that are read in turns, so that what follows each other there is mixed

RowGroupSlice = tuple[
    int, int, int
]  # number of a row group, and the first and last of its rows used


@dataclass(frozen=True)
class TrainingRowFilter:
    """Which streamed rows may be trained on, by the same rule as the split.

    Attributes
    ----------
    before : tuple of (str, object) or None
        Time column, and the first moment that is held out.
    groups : tuple of (str, polars.Series) or None
        Group column, and the groups of which some row is held out.
    rows : ndarray of int
        Sorted numbers (`ROW`) of the rows that are held out.
    hashes : ndarray of uint64
        Sorted `ROW_HASH` of the rows that are held out. Empty where equal rows are coincidence.
    """

    before: tuple[str, Any] | None
    groups: tuple[str, pl.Series] | None
    rows: np.ndarray
    hashes: np.ndarray

    @classmethod
    def of(
        cls, dataset: Dataset, train_rows: np.ndarray, stopping_rows: np.ndarray
    ) -> TrainingRowFilter:
        """Derive the filter from a dataset's split.

        Parameters
        ----------
        dataset : Dataset
            The prepared rows.
        train_rows : ndarray of int
            Numbers of the prepared rows that may be trained on.
        stopping_rows : ndarray of int
            Those of them that are held out for early stopping.
        """
        assert dataset.row_ids is not None
        table, contract = dataset.table, dataset.contract
        evaluated = np.ones(len(table), dtype=bool)
        evaluated[train_rows] = False
        held = evaluated.copy()
        held[stopping_rows] = True
        before = groups = None
        if time := contract.names("time"):
            before = (time[0], table[time[0]].filter(held).min())
        if group := contract.names("group"):
            groups = (group[0], table[group[0]].filter(evaluated).unique())
        numbers, hashes = (dataset.row_ids[name].to_numpy() for name in (ROW, ROW_HASH))
        # The split has kept copies together, unless it takes them for none.
        apart = not np.isin(hashes[evaluated], hashes[train_rows]).any()
        same = np.unique(hashes[held]) if apart and not time and not group else hashes[:0]
        return cls(before, groups, np.unique(numbers[held]), same)

    @property
    def columns(self) -> set[str]:
        """Columns that the filter reads."""
        return {column[0] for column in (self.before, self.groups) if column}

    def __call__(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the typed rows that may be trained on."""
        fits = ~contains(rows[ROW].to_numpy(), self.rows)
        if len(self.hashes):
            fits &= ~contains(rows[ROW_HASH].to_numpy(), self.hashes)
        rows = rows.filter(fits)
        if self.before:
            rows = rows.filter(pl.col(self.before[0]) < self.before[1])
        if self.groups:
            rows = rows.filter(~pl.col(self.groups[0]).is_in(self.groups[1].implode()))
        return rows


@dataclass(frozen=True)
class Shards:
    """Streamed rows that may be trained on, except rows of unknown classes or of weight 0.

    Attributes
    ----------
    data : DataSettings
        Where the table is.
    contract : Contract
        What the columns are.
    row_filter : TrainingRowFilter
        Which rows may be trained on.
    classes : list of str
        Names of the target's classes. Empty for regression.
    """

    data: DataSettings
    contract: Contract
    row_filter: TrainingRowFilter
    classes: list[str]

    @classmethod
    def of(
        cls, data: DataSettings, dataset: Dataset, train_rows: np.ndarray, stopping_rows: np.ndarray
    ) -> Shards:
        """Find the rows to stream for a dataset.

        Parameters
        ----------
        data : DataSettings
            Where the table is.
        dataset : Dataset
            The prepared rows.
        train_rows : ndarray of int
            Numbers of the prepared rows that may be trained on.
        stopping_rows : ndarray of int
            Positions among them of the rows that are held out for early stopping.

        Returns
        -------
        Shards
            The rows to stream.
        """
        classes = []
        if dataset.classes:
            classes = [dataset.classes[number] for number in np.unique(dataset.target(train_rows))]
        return cls(
            data,
            dataset.contract,
            TrainingRowFilter.of(dataset, train_rows, train_rows[stopping_rows]),
            classes,
        )

    @cached_property
    def groups(self) -> list[RowGroup]:
        """All row groups."""
        return row_groups(self.data)

    @cached_property
    def counts(self) -> list[int]:
        """Number of training rows in each row group. To count them, all rows are read."""
        read = Reader(self, set())
        counts = [sum(map(len, read(group))) for group in self.groups]
        if not any(counts):
            raise UserError("neural.stream: all rows are held out, and none is left to train on")
        return counts

    def plan(self, seed: int, epoch: int, rank: int, ranks: int) -> list[RowGroupSlice]:
        """Return which slices a rank reads in an epoch, in a new random order.

        Of n rows each rank reads n // ranks, and no two ranks read the same row.
        """
        each = sum(self.counts) // ranks
        first, last = rank * each, (rank + 1) * each
        order = np.random.default_rng([seed, epoch]).permutation(np.flatnonzero(self.counts))
        row_slices, start = [], 0
        for number in order.tolist():
            end = start + self.counts[number]
            if start < last and end > first:
                row_slices.append((number, max(first - start, 0), min(last, end) - start))
            start = end
        return row_slices

    def read(self, row_slices: list[RowGroupSlice]) -> Iterator[pl.DataFrame]:
        """Yield the rows of slices, interleaving a few row groups at a time.

        Raises
        ------
        UserError
            If the files have changed since their rows were counted.
        """
        read = Reader(self, set(self.contract.features))
        waiting = [self.read_slice(read, row_slice) for row_slice in row_slices]
        interleaved, waiting = waiting[:INTERLEAVED], waiting[INTERLEAVED:]
        while interleaved:
            for number, stream in enumerate(interleaved):
                rows = next(stream, None)
                if rows is not None:
                    yield rows
                elif waiting:
                    interleaved[number] = waiting.pop(0)
                else:
                    interleaved.pop(number)
                    break

    def read_slice(self, read: Reader, row_slice: RowGroupSlice) -> Iterator[pl.DataFrame]:
        """Yield the rows of one slice."""
        number, first, last = row_slice
        start = 0
        for rows in read(self.groups[number]):
            yield rows[max(first - start, 0) : max(last - start, 0)]
            start += len(rows)
            if start >= last:
                return
        file = self.groups[number].file
        raise UserError(f"{file} has changed during training; run: make train")


class Reader:
    """Reads the training rows of row groups, with the schema's types.

    Parameters
    ----------
    shards : Shards
        The rows to stream.
    needed : set of str
        Columns to read besides the target and those of the filter.
    """

    def __init__(self, shards: Shards, needed: set[str]) -> None:
        self.shards = shards
        contract, row_filter, data = shards.contract, shards.row_filter, shards.data
        table = read_main_table(data)
        self.schema = table.frame.collect_schema()
        self.join, _ = load_joins(data, self.schema)
        names = self.join(table.frame).collect_schema().names()
        self.identifier = RowIdentifier(
            contract,
            names,
            needed | row_filter.columns | {contract.target, *contract.names("weight")},
        )
        asked = set(self.identifier.validator.columns) | {join.key for join in data.joins}
        # Copies are detected by all columns, including those that are ignored.
        self.columns = sorted(
            asked | set(self.identifier.identifying) if len(row_filter.hashes) else asked
        )

    def __call__(self, group: RowGroup) -> Iterator[pl.DataFrame]:
        """Yield the rows of a row group, a slice at a time."""
        first, shards = group.first, self.shards
        for part in group.slices(SLICE, self.columns):
            plain = simplify(part, [])
            types = {name: self.schema[name] for name in plain.collect_schema().names()}
            raw = self.join(plain.cast(types)).collect()  # type: ignore[arg-type]
            rows = shards.row_filter(self.identifier(raw, first))
            first += len(raw)
            for name in shards.contract.names("weight"):
                check_weights(rows[name])
                rows = rows.filter(pl.col(name) > 0)
            if shards.classes:
                target = pl.col(shards.contract.target).cast(pl.String)
                rows = rows.filter(target.is_in(shards.classes))
            yield rows


def contains(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return for each value whether it is in a sorted array."""
    if not len(known):
        return np.zeros(len(values), dtype=bool)
    place = np.minimum(np.searchsorted(known, values), len(known) - 1)
    found: np.ndarray = known[place] == values
    return found
