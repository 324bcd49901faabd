"""Sampling: a random part of more rows than fit into memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import polars as pl

from coldstart.config._settings import Settings
from coldstart.contract._contract import Contract
from coldstart.data._lags import read_lags
from coldstart.data._rows import ROW_HASH, slice_rows
from coldstart.data._splitting import strata
from coldstart.data._streams import prefetch

KEY = "__key__"


def sample(path: Path, rows: int, contract: Contract, settings: Settings) -> pl.DataFrame:
    """Load the rows to train on, in order: all, or a random sample stratified by the target.

    A numeric target is stratified by its deciles. Lags are computed before the sample is drawn,
    and rows without a target or without earlier rows are left out after that.
    """
    if not contract.lags:
        if rows <= settings.training_rows:
            return pl.read_parquet(path)
        chosen = choose(path, np.ones(rows, dtype=bool), contract, settings)
        return read_rows(path, chosen, contract)
    lags, usable = read_lags(path, contract)
    chosen = choose(path, usable.to_numpy(), contract, settings)
    return read_rows(path, chosen, contract).hstack(lags.filter(pl.Series(chosen)))


def choose(path: Path, usable: np.ndarray, contract: Contract, settings: Settings) -> np.ndarray:
    """Return which rows to train on: the usable ones, or `training_rows` of them."""
    rows, size = int(usable.sum()), settings.training_rows
    if rows <= size:
        return usable
    print(
        f"training on {size:,} of {rows:,} rows, sampled at random and "
        f"stratified by {contract.target} (training_rows in config.yaml)"
    )
    target = pl.read_parquet(path, columns=[contract.target]).to_series()
    stratum = strata(target.filter(pl.Series(usable)), contract)
    order = np.random.default_rng(settings.seed).permutation(rows)
    order = order[np.argsort(stratum[order], kind="stable")]
    chosen = np.zeros(len(usable), dtype=bool)
    chosen[np.flatnonzero(usable)[order[np.arange(size) * rows // size]]] = True
    return chosen


def read_rows(path: Path, chosen: np.ndarray, contract: Contract) -> pl.DataFrame:
    """Read the chosen rows of a Parquet file, a slice at a time."""
    parts, first = [], 0
    size = slice_rows(contract.columns.values())
    for part in pl.scan_parquet(path).collect_batches(chunk_size=size, lazy=True):
        parts.append(part.filter(chosen[first : first + len(part)]))
        first += len(part)
    return pl.concat(parts)


class ReservoirSampler:
    """Sample rows at random in one pass, and keep their order.

    Each row gets a random key, and the rows with the lowest keys are kept.

    Parameters
    ----------
    size : int
        Number of rows to sample. At most twice as many and a slice are in memory.
    seed : int
        Seed of the random numbers.

    Attributes
    ----------
    digest : hashlib hash
        SHA-256 of all rows that were added.

    References
    ----------
    Vitter, "Random sampling with a reservoir", 1985, https://doi.org/10.1145/3147.3165
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self.rng = np.random.default_rng(seed)
        self.kept: list[pl.DataFrame] = []
        self.limit = 1.0
        self.digest = hashlib.sha256()

    def add(self, slices: Iterable[pl.DataFrame]) -> int:
        """Add slices of rows, and return the number of their rows."""
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
        """Return the rows with the lowest keys."""
        table = pl.concat(self.kept)
        if len(table) > self.size:
            self.limit = float(np.partition(table[KEY].to_numpy(), self.size)[self.size])
            table = table.filter(pl.col(KEY) < self.limit)
        return table

    def rows(self) -> pl.DataFrame:
        """Return the sample, in the order of the rows."""
        return self.lowest().drop(KEY)
