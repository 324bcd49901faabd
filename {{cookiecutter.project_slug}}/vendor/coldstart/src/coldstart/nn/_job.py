"""One run of a training loop: its arguments, and how it is started on every rank."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from lightning_fabric import Fabric
from torch import nn

from coldstart.config._sections import NeuralSettings
from coldstart.config._settings import rank_of
from coldstart.nn import _ranks
from coldstart.nn._batches import Batch, Rows
from coldstart.train._context import EpochReport

Shape = tuple[int, list[int], int]
"""Numeric columns, categories of each further column, and outputs (1 for regression)."""
Network = Callable[[int, list[int], int, NeuralSettings], nn.Module]
Result = tuple[dict[str, np.ndarray], int]
"""Weights after the last epoch, and the number of epochs with the lowest validation loss."""


class TrainingJob(NamedTuple):
    """One run of a training loop.

    Parameters
    ----------
    stage : {"search", "fit"}
        `search` finds the best number of epochs on held-out rows; `fit` trains for that many on all
        rows.
    shape : tuple of (int, list of int, int)
        Arguments to build the network: number of numeric columns, number of categories of each
        further column, number of outputs.
    settings : NeuralSettings
        Settings of the network and its training.
    seed : int
        Seed of all random numbers.
    epochs : int
        Maximum number of epochs.
    train : Rows
        Rows to train on.
    held_out : tuple of Tensor or None
        Inputs, targets and weights of the rows that decide when to stop.
    checkpoint : Path
        File of the newest checkpoint.
    report : callable
        Function that is called with the stage, an epoch's number, and metrics of it and of those
        after it.
    """

    stage: str
    shape: Shape
    settings: NeuralSettings
    seed: int
    epochs: int
    train: Rows
    held_out: Batch | None
    checkpoint: Path
    report: EpochReport


Loop = Callable[[Fabric, TrainingJob], Result]


def launch(loop: Loop, job: TrainingJob) -> Result:
    """Run a training loop on all ranks that torchrun started, or that the settings request."""
    if job.stage == "search":
        settings, ranks = job.settings, max(job.settings.devices, rank_of()[1])
        print(
            f"neural: global batch of {settings.batch_size} rows, "
            f"{max(1, settings.batch_size // ranks)} on each of {ranks} rank(s); "
            f"learning rate {settings.learning_rate:g}"
        )
    # The other ranks report no epochs, and need no access to the tracking store.
    result: Result = _ranks.launch(job.settings, loop, job, job._replace(report=report_nothing))
    return result


def report_nothing(stage: str, epoch: int, history: list[dict[str, float]]) -> None:
    """Report nothing."""
