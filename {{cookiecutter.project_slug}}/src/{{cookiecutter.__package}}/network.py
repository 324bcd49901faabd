"""The neural network, and its training loop through Lightning Fabric.

The same loop runs on a CPU, on a GPU, or on several processes that share each
batch. It keeps checkpoints; killed at any moment, the same training goes on from
there and ends in the same weights, because every step draws its random numbers
from a seed of its own.
"""

from __future__ import annotations

import time
import zlib
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from tqdm import tqdm

from . import checkpoints, ranks
from .batches import Rows
from .models import Report
from .settings import Neural

ASKED = 50  # steps between questions whether it is time for a checkpoint
RARELY = 100  # times as long as a checkpoint takes, at least, passes until the next one


class Network(nn.Module):
    """A linear model of all inputs (wide) plus a multilayer perceptron (deep).

    Parameters
    ----------
    n_numbers
        Leading columns of the input that are quantities.
    cardinalities
        For each column after them, the number of its categories.
    n_outputs
        Classes, or 1 for regression.

    References
    ----------
    Cheng et al., "Wide & Deep Learning for Recommender Systems", 2016.
    """

    def __init__(
        self, n_numbers: int, cardinalities: list[int], n_outputs: int, settings: Neural
    ) -> None:
        super().__init__()
        self.n_numbers = n_numbers
        widths = [min(16, (n + 1) // 2) for n in cardinalities]
        self.embeddings = nn.ModuleList(map(nn.Embedding, cardinalities, widths))
        self.wide_numbers = nn.Linear(n_numbers, n_outputs)
        self.wide_categories = nn.ModuleList(nn.Embedding(n, n_outputs) for n in cardinalities)
        for embedding in self.wide_categories:
            nn.init.zeros_(embedding.weight)  # type: ignore[arg-type]
        layers: list[nn.Module] = []
        width = n_numbers + sum(widths)
        for hidden in settings.hidden:
            layers += [nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(settings.dropout)]
            width = hidden
        self.deep = nn.Sequential(*layers, nn.Linear(width, n_outputs))

    def forward(self, inputs: Tensor) -> Tensor:
        """Map inputs of shape (n, columns) to scores of shape (n, n_outputs)."""
        numbers = inputs[:, : self.n_numbers]
        codes = inputs[:, self.n_numbers :].long()
        columns = range(len(self.embeddings))
        embedded = [self.embeddings[i](codes[:, i]) for i in columns]
        scores: Tensor = self.wide_numbers(numbers) + self.deep(torch.cat([numbers, *embedded], 1))
        for i in columns:
            scores = scores + self.wide_categories[i](codes[:, i])
        return scores


class Job(NamedTuple):
    """One run of the training loop.

    Attributes
    ----------
    stage
        "search" finds the best number of epochs on held-out rows; "fit" trains for
        that many on all rows.
    """

    stage: str
    shape: tuple[int, list[int], int]
    settings: Neural
    seed: int
    epochs: int
    train: Rows
    held_out: tuple[Tensor, Tensor] | None
    checkpoint: Path
    report: Report


def run(fabric: Fabric, job: Job) -> tuple[dict[str, np.ndarray], int]:
    """Train a network, going on from the job's checkpoint if there is one.

    Returns
    -------
    weights, best_epoch
        The weights after the last epoch, and the number of epochs after which the
        held-out loss was lowest.
    """
    settings = job.settings
    fabric.seed_everything(job.seed, verbose=False)
    network = Network(*job.shape, settings)
    model = fabric.setup_module(network)
    adam = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    optimizer: Any = fabric.setup_optimizers(adam)
    loss_of = nn.CrossEntropyLoss() if job.shape[2] > 1 else nn.MSELoss()
    rows = job.train.on(fabric)

    progress = checkpoints.restore(fabric, job.checkpoint, network, adam)
    history = progress.history
    reported = 0  # those of the checkpoint are told again, since the first time may be lost
    saved, took = time.monotonic(), 0.0

    def save() -> None:
        """Write a checkpoint, and then report the epochs that it holds."""
        nonlocal reported, saved, took
        began = time.monotonic()
        state = checkpoints.collect(network, adam, progress)

        def keep() -> None:
            checkpoints.write(job.checkpoint, state)
            if history[reported:]:
                job.report(job.stage, reported + 1, history[reported:])

        ranks.alone(fabric, keep)
        reported, saved = len(history), time.monotonic()
        took = saved - began

    def due() -> bool:
        """Whether it is time for a checkpoint; the first rank's clock decides for all."""
        seconds = settings.checkpoint_seconds
        pause = max(seconds, RARELY * took) if seconds else 0.0
        return fabric.broadcast(time.monotonic() - saved >= pause)

    bar = tqdm(
        range(len(history) + 1, job.epochs + 1),
        desc=f"neural {job.stage}",
        unit="epoch",
        initial=len(history),
        total=job.epochs,
        disable=None if fabric.is_global_zero else True,
        leave=False,
    )
    for epoch in bar:
        best = best_epoch(history)
        if job.held_out and epoch - 1 - best >= settings.patience:
            break
        model.train()
        total = torch.tensor(progress.total if fabric.is_global_zero else 0.0, device=fabric.device)
        step = progress.step
        for inputs, targets in rows.epoch(fabric, job.seed, epoch, step, settings.batch_size):
            # Where a training goes on from a checkpoint, it draws the same numbers.
            start = progress.step * settings.batch_size
            seed_step(fabric.device, job.seed, epoch, start, fabric.global_rank)
            optimizer.zero_grad()
            loss = loss_of(model(inputs), targets)
            fabric.backward(loss)
            optimizer.step()
            total += loss.detach() * len(inputs)
            progress.step += 1
            # To ask costs several ranks a message.
            if (fabric.world_size == 1 or progress.step % ASKED == 0) and due():
                progress.total = float(summed(fabric, total))
                save()
        metrics = {"train_loss": float(summed(fabric, total)) / len(rows)}
        if job.held_out:
            metrics["validation_loss"] = loss_on(model, job.held_out, loss_of, fabric)
        metrics["timestamp"] = time.time()
        history.append(metrics)
        progress.step, progress.total = 0, 0.0
        if due():
            save()
        bar.set_postfix({key: f"{value:.4f}" for key, value in metrics.items() if "loss" in key})
    save()
    # As arrays, since a tensor's memory goes with the process that shares it.
    whole = checkpoints.collect(network, adam, progress)["network"]
    return {name: tensor.numpy() for name, tensor in whole.items()}, best_epoch(history)


def seed_step(device: torch.device, *position: int) -> None:
    """Begin the device's random numbers anew, for a step of a rank."""
    seed = zlib.crc32(repr(position).encode())
    # The general way seeds every device there may be, and takes longer than a small step.
    kinds: dict[str, Any] = {
        "cpu": torch.default_generator.manual_seed,
        "cuda": torch.cuda.manual_seed,
    }
    kinds.get(device.type, torch.manual_seed)(seed)


def summed(fabric: Fabric, total: Tensor) -> Tensor:
    """The sum over all ranks."""
    return cast(Tensor, fabric.all_reduce(total.clone(), reduce_op="sum"))


@torch.no_grad()
def loss_on(model: Any, rows: tuple[Tensor, Tensor], loss_of: Any, fabric: Fabric) -> float:
    """Mean loss of the model on held-out rows."""
    model.eval()
    inputs, targets = (fabric.to_device(tensor) for tensor in rows)
    return float(loss_of(model(inputs), targets))


def best_epoch(history: list[dict[str, float]]) -> int:
    """Return the number of epochs after which the held-out loss was lowest (all, without one)."""
    losses = [metrics.get("validation_loss", -epoch) for epoch, metrics in enumerate(history)]
    return int(np.argmin(losses)) + 1 if losses else 0


def launch(job: Job) -> tuple[dict[str, np.ndarray], int]:
    """Run a job on as many processes as there are, or as the settings ask for."""
    # The other machines report nothing, and need not know the way to the tracking store.
    found: tuple[dict[str, np.ndarray], int] = ranks.launch(
        job.settings, run, job, job._replace(report=untold)
    )
    return found


def untold(stage: str, epoch: int, history: list[dict[str, float]]) -> None:
    """Report nothing."""
