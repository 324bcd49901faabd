"""Checkpoints for a training loop, which may be interrupted and resumes to the same weights."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from tqdm import tqdm

from coldstart.nn import _checkpoints, _ranks
from coldstart.nn._job import Result, TrainingJob

POLL_STEPS = 50  # steps between two checks of the clock, which cost several ranks a message
MAX_OVERHEAD = 100  # minimum time between checkpoints, as a multiple of the time to write one


class Checkpointer:
    """Checkpoints of a training, from which it resumes, and reports of finished epochs.

    Parameters
    ----------
    fabric : Fabric
        The ranks that train together.
    job : TrainingJob
        The run of the training loop.
    network : Module
        The network, as it was before Fabric wrapped it.
    optimizer : Optimizer
        The optimizer, as it was before Fabric wrapped it.

    Attributes
    ----------
    progress : Progress
        Progress of the training, restored from the newest checkpoint if there is one.
    """

    def __init__(
        self, fabric: Fabric, job: TrainingJob, network: nn.Module, optimizer: Any
    ) -> None:
        self.fabric, self.job, self.network, self.optimizer = fabric, job, network, optimizer
        self.progress = _checkpoints.restore(fabric, job.checkpoint, network, optimizer)
        if self.history and fabric.is_global_zero:
            at = time.strftime("%H:%M", time.localtime(self.history[-1]["timestamp"]))
            print(
                f"neural {job.stage}: resuming from epoch {len(self.history)} of {at}; "
                "FRESH=1 starts anew",
                flush=True,
            )
        self._steps_per_epoch = -(-len(job.train) // job.settings.batch_size)
        self._reported = 0  # a checkpoint's epochs are reported again: the first report may be lost
        self._saved, self._took = time.monotonic(), 0.0
        self._bar: Any = None

    @property
    def history(self) -> list[dict[str, float]]:
        """Metrics of the finished epochs."""
        return self.progress.history

    @property
    def best_epoch(self) -> int:
        """Number of epochs with the lowest validation loss (all, without a validation set)."""
        return best_epoch(self.history)

    def epochs(self) -> Iterator[int]:
        """Yield the numbers of the remaining epochs, until the validation loss stops improving.

        Yields
        ------
        int
            Number of an epoch, from 1.
        """
        done, patience = len(self.history), self.job.settings.patience
        self._bar = tqdm(
            range(done + 1, self.job.epochs + 1),
            desc=f"neural {self.job.stage}",
            unit="epoch",
            initial=done,
            total=self.job.epochs,
            disable=None if self.fabric.is_global_zero else True,
            leave=False,
        )
        for epoch in self._bar:
            if self.job.held_out and epoch - 1 - self.best_epoch >= patience:
                break
            yield epoch

    def start_epoch(self) -> Tensor:
        """Return this rank's sum of the loss over the rows of the epoch so far.

        Returns
        -------
        Tensor of shape ()
            The sum on the rank's device. It is not 0 for an epoch that was interrupted.
        """
        total = self.progress.total if self.fabric.is_global_zero else 0.0
        return torch.tensor(total, device=self.fabric.device)

    def start_step(self, epoch: int) -> int:
        """Seed the step's random numbers, so that a resumed training draws the same ones.

        Parameters
        ----------
        epoch : int
            Number of the epoch, from 1.

        Returns
        -------
        int
            Number of the step since the start of the first epoch, from 0.
        """
        start = self.progress.step * self.job.settings.batch_size
        seed_step(self.fabric.device, self.job.seed, epoch, start, self.fabric.global_rank)
        return (epoch - 1) * self._steps_per_epoch + self.progress.step

    def end_step(self, total: Tensor) -> None:
        """Count a step, and write a checkpoint if one is due.

        Parameters
        ----------
        total : Tensor of shape ()
            This rank's sum of the loss over the rows of the epoch so far.
        """
        self.progress.step += 1
        if (self.fabric.world_size == 1 or self.progress.step % POLL_STEPS == 0) and self._due():
            self.progress.total = float(self._sum(total))
            self.save()

    def end_epoch(self, total: Tensor, validation_loss: float | None) -> None:
        """Keep an epoch's metrics, and write a checkpoint if one is due.

        Parameters
        ----------
        total : Tensor of shape ()
            This rank's sum of the loss over its rows.
        validation_loss : float, optional
            Mean loss over the held-out rows.
        """
        metrics = {"train_loss": float(self._sum(total)) / len(self.job.train)}
        if validation_loss is not None:
            metrics["validation_loss"] = validation_loss
        self._bar.set_postfix({name: f"{value:.4f}" for name, value in metrics.items()})
        self.history.append(metrics | {"timestamp": time.time()})
        self.progress.step, self.progress.total = 0, 0.0
        if self._due():
            self.save()

    def finish(self) -> Result:
        """Write the last checkpoint, and return the result of the training.

        Returns
        -------
        weights : dict of str to ndarray
            Weights after the last epoch, by parameter.
        best_epoch : int
            Number of epochs with the lowest validation loss.
        """
        self.save()
        # As arrays, since a tensor's memory is freed with the process that shares it.
        whole = _checkpoints.collect(self.network, self.optimizer, self.progress)["network"]
        return {name: tensor.numpy() for name, tensor in whole.items()}, self.best_epoch

    def save(self) -> None:
        """Write a checkpoint, and then report the epochs in it."""
        began = time.monotonic()
        state = _checkpoints.collect(self.network, self.optimizer, self.progress)

        def keep() -> None:
            _checkpoints.write(self.job.checkpoint, state)
            if news := self.history[self._reported :]:
                self.job.report(self.job.stage, self._reported + 1, news)

        _ranks.on_rank_zero(self.fabric, keep)
        self._reported, self._saved = len(self.history), time.monotonic()
        self._took = self._saved - began

    def _due(self) -> bool:
        """Return whether a checkpoint is due; the first rank's clock decides for all."""
        seconds = self.job.settings.checkpoint_seconds
        pause = max(seconds, MAX_OVERHEAD * self._took) if seconds else 0.0
        return self.fabric.broadcast(time.monotonic() - self._saved >= pause)

    def _sum(self, total: Tensor) -> Tensor:
        """Return the sum over all ranks."""
        return cast(Tensor, self.fabric.all_reduce(total.clone(), reduce_op="sum"))


def seed_step(device: torch.device, *position: int) -> None:
    """Seed a device's random numbers for one step of one rank."""
    seed = zlib.crc32(repr(position).encode())
    # The general way seeds every device there may be, and takes longer than a small step.
    kinds: dict[str, Any] = {
        "cpu": torch.default_generator.manual_seed,
        "cuda": torch.cuda.manual_seed,
    }
    kinds.get(device.type, torch.manual_seed)(seed)


def best_epoch(history: list[dict[str, float]]) -> int:
    """Return the number of epochs after which the validation loss was lowest."""
    losses = [metrics.get("validation_loss", -epoch) for epoch, metrics in enumerate(history)]
    return int(np.argmin(losses)) + 1 if losses else 0
