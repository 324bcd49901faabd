"""Sampling: of more rows than are learned from at once, some."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import polars as pl

from coldstart.config._settings import Settings
from coldstart.contract._contract import Contract
from coldstart.data._rows import ROW_HASH, SLICE
from coldstart.data._splitting import strata
from coldstart.data._streams import prefetch

KEY = "__key__"


def sample(path: Path, rows: int, contract: Contract, settings: Settings) -> pl.DataFrame:
    """Read the rows to learn from, in order: all, or if they are too many some of each class.

    Classes (of a quantity, its tenths) keep their shares.
    """
    if rows <= settings.training_rows:
        return pl.read_parquet(path)
    print(
        f"learning from {settings.training_rows:,} of {rows:,} rows, drawn at random with "
        f"{contract.target} in the same shares (training_rows in config.yaml)"
    )
    target = pl.read_parquet(path, columns=[contract.target]).to_series()
    stratum = strata(target, contract)
    order = np.random.default_rng(settings.seed).permutation(rows)
    order = order[np.argsort(stratum[order], kind="stable")]
    chosen = np.zeros(rows, dtype=bool)
    chosen[order[np.arange(settings.training_rows) * rows // settings.training_rows]] = True
    parts, first = [], 0
    for part in pl.scan_parquet(path).collect_batches(chunk_size=SLICE, lazy=True):
        parts.append(part.filter(chosen[first : first + len(part)]))
        first += len(part)
    return pl.concat(parts)


class ReservoirSampler:
    """Draws rows at random while they pass by, and keeps their order.

    Each row gets a random key, and those with the lowest keys stay. Not more than twice as many
    rows as are wanted are kept at a time, and a slice.

    Attributes
    ----------
    digest
        Of all rows that have passed by.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self.rng = np.random.default_rng(seed)
        self.kept: list[pl.DataFrame] = []
        self.limit = 1.0
        self.digest = hashlib.sha256()

    def add(self, slices: Iterable[pl.DataFrame]) -> int:
        """Look at rows; return how many they were."""
        seen = 0
        for part in prefetch(slices):
            seen += len(part)
            self.digest.update(part[ROW_HASH].to_numpy().tobytes())
            keyed = part.with_columns(pl.Series(KEY, self.rng.random(len(part))))
            self.kept.append(keyed.filter(pl.col(KEY) < self.limit))
            if sum(map(len, self.kept)) > 2 * self.size:
                self.kept = [self.lowest()]
        return seen

    def lowest(self) -> pl.DataFrame:
        """The rows with the lowest keys."""
        table = pl.concat(self.kept)
        if len(table) > self.size:
            self.limit = float(np.partition(table[KEY].to_numpy(), self.size)[self.size])
            table = table.filter(pl.col(KEY) < self.limit)
        return table

    def rows(self) -> pl.DataFrame:
        """The rows that were drawn, in their order."""
        return self.lowest().drop(KEY)
