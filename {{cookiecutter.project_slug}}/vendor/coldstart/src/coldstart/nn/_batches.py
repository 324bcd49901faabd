"""Batches: the rows of an epoch in random order, from memory or from shards.

Random numbers are drawn with the epoch's own seed, so that a training that resumes from a
checkpoint draws the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, Self

import numpy as np
import polars as pl
import torch
from lightning_fabric import Fabric
from torch import Tensor

from coldstart.data._dataset import encode
from coldstart.data._shards import Shards
from coldstart.data._streams import prefetch
from coldstart.train._features import as_frame

BUFFER = 131_072  # rows that are shuffled at a time

Batch = tuple[Tensor, Tensor, Tensor]
"""Inputs, targets and weights of n rows. The mean weight of all rows is 1."""


class Rows(Protocol):
    """Rows to train on."""

    def __len__(self) -> int:
        """Return the number of rows of an epoch, of all ranks together."""

    def on(self, fabric: Fabric) -> Self:
        """Return the rows in memory that the device can access."""

    def epoch(self, fabric: Fabric, seed: int, epoch: int, step: int, size: int) -> Iterator[Batch]:
        """Yield this rank's part of each batch of `size` rows, beginning with a step.

        All ranks have equally many rows of a batch, and equally many batches.
        """


class InMemory:
    """Rows that are all in memory: inputs, shape (n, columns), targets, and weights (1)."""

    # No dataclass, here and below: Fabric looks into those, and puts copies in their places.
    def __init__(self, inputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> None:
        self.inputs, self.targets = inputs, targets
        self.weights = torch.ones(len(inputs)) if weights is None else weights

    def __len__(self) -> int:
        return len(self.inputs)

    def on(self, fabric: Fabric) -> InMemory:
        """Return the rows on the device."""
        return InMemory(*fabric.to_device((self.inputs, self.targets, self.weights)))

    def epoch(self, fabric: Fabric, seed: int, epoch: int, step: int, size: int) -> Iterator[Batch]:
        """Yield this rank's part of each batch: every n-th row of it."""
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed + epoch))
        for start in range(step * size, len(order), size):
            batch = order[start : start + size]
            # The last, smaller batch is cut so that all ranks have equally many, or left out.
            if usable := len(batch) - len(batch) % fabric.world_size:
                mine = batch[fabric.global_rank : usable : fabric.world_size].to(fabric.device)
                yield self.inputs[mine], self.targets[mine], self.weights[mine]


class Streamed:
    """Rows that are read during the training, each once in an epoch.

    Rows are shuffled within a buffer, which holds slices of several row groups.

    Parameters
    ----------
    shards : Shards
        The row groups, and the rows of each to train on.
    transform : callable
        The fitted preprocessing, from a table of encoded columns to inputs.
    mean, deviation : float
        Mean and standard deviation by which a numeric target is scaled.
    weight : float
        Mean weight by which weights are scaled.
    """

    def __init__(
        self,
        shards: Shards,
        transform: Callable[[pl.DataFrame], np.ndarray],
        mean: float = 0.0,
        deviation: float = 1.0,
        weight: float = 1.0,
    ) -> None:
        self.shards, self.transform = shards, transform
        self.mean, self.deviation, self.weight = mean, deviation, weight

    def __len__(self) -> int:
        return sum(self.shards.counts)

    def on(self, fabric: Fabric) -> Streamed:
        """Return the same object: batches are moved to the device one by one."""
        return self

    def epoch(self, fabric: Fabric, seed: int, epoch: int, step: int, size: int) -> Iterator[Batch]:
        """Yield this rank's part of each batch: the next of its own rows."""
        each = max(1, size // fabric.world_size)
        pieces = self.shards.plan(seed, epoch, fabric.global_rank, fabric.world_size)
        dice = np.random.default_rng([seed, epoch, fabric.global_rank])
        mixed = shuffled(self.shards.read(pieces), dice, each, BUFFER)
        for inputs, targets, weights in prefetch(map(self.encoded, after(mixed, step * each))):
            for start in range(0, len(inputs), each):
                some = slice(start, start + each)
                yield fabric.to_device((inputs[some], targets[some], weights[some]))

    def encoded(self, rows: pl.DataFrame) -> Batch:
        """Return the inputs, targets and weights of some rows."""
        contract = self.shards.contract
        inputs = torch.tensor(
            np.asarray(self.transform(as_frame(encode(contract, rows))), dtype=np.float32)
        )
        weights = torch.ones(len(rows))
        for name in contract.names("weight"):
            weights = torch.tensor(rows[name].to_numpy() / self.weight, dtype=torch.float32)
        target = rows[contract.target]
        if classes := self.shards.classes:
            number = target.cast(pl.String).cast(pl.Enum(classes)).to_physical().cast(pl.Int64)
            return inputs, torch.tensor(number.to_numpy()), weights
        scaled = (target.to_numpy().astype(np.float64) - self.mean) / self.deviation
        return inputs, torch.tensor(scaled, dtype=torch.float32)[:, None], weights


def shuffled(
    slices: Iterator[pl.DataFrame], dice: np.random.Generator, each: int, buffer: int
) -> Iterator[pl.DataFrame]:
    """Yield the rows in random order.

    The length of each table but the last is a multiple of `each`.
    """
    waiting: list[pl.DataFrame] = []
    for rows in slices:
        waiting.append(rows)
        if (count := sum(map(len, waiting))) >= max(buffer, each):
            mixed = pl.concat(waiting)[dice.permutation(count)]
            yield mixed[: count - count % each]
            waiting = [mixed[count - count % each :]]
    if count := sum(map(len, waiting)):
        yield pl.concat(waiting)[dice.permutation(count)]


def after(tables: Iterator[pl.DataFrame], rows: int) -> Iterator[pl.DataFrame]:
    """Yield the rows after the first ones."""
    for table in tables:
        if rows < len(table):
            yield table[rows:]
        rows = max(0, rows - len(table))
