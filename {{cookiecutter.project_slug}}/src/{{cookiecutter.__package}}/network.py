"""The neural network, and its training loop through Lightning Fabric.

The same loop runs on a CPU, on a GPU, or on several processes that share each
batch. It keeps checkpoints; killed at any moment, the same training goes on from
there and ends in the same weights, because every epoch draws its random numbers
from a seed of its own.
"""

from __future__ import annotations

import logging
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from tqdm import tqdm

from .models import Report
from .settings import Neural


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
    train: tuple[Tensor, Tensor]
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
    model = Network(*job.shape, settings)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    model, optimizer = fabric.setup(model, optimizer)
    loss_of = nn.CrossEntropyLoss() if job.shape[2] > 1 else nn.MSELoss()
    inputs, targets = (fabric.to_device(tensor) for tensor in job.train)

    state = {"model": model, "optimizer": optimizer, "history": []}
    if job.checkpoint.is_file():
        fabric.load(job.checkpoint, state)
    history = cast(list[dict[str, float]], state["history"])
    reported = 0  # those of the checkpoint are told again, since the first time may be lost

    def save() -> None:
        """Put the checkpoint in its place whole, and then report what it holds."""
        unfinished = job.checkpoint.with_suffix(".unfinished")
        fabric.save(unfinished, state)
        if fabric.is_global_zero:
            unfinished.replace(job.checkpoint)
            job.report(job.stage, reported + 1, history[reported:])
        fabric.barrier()  # no rank goes on, or ends, before that is done

    saved = time.monotonic()
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
        # A seed for each epoch and rank, so that a resumed training draws the same numbers.
        order = torch.randperm(
            len(inputs), generator=torch.Generator().manual_seed(job.seed + epoch)
        )
        torch.manual_seed(1000 * job.seed + 100_000 * fabric.global_rank + epoch)
        model.train()
        total = torch.zeros((), device=fabric.device)
        for start in range(0, len(order), settings.batch_size):
            batch = order[start : start + settings.batch_size]
            # Each rank takes every n-th row of the batch. The last, smaller batch is cut
            # so that all ranks have equally many, or left out.
            usable = len(batch) - len(batch) % fabric.world_size
            if not usable:
                continue
            mine = batch[fabric.global_rank : usable : fabric.world_size].to(fabric.device)
            optimizer.zero_grad()
            loss = loss_of(model(inputs[mine]), targets[mine])
            fabric.backward(loss)
            optimizer.step()
            total += loss.detach() * len(mine)
        total = cast(Tensor, fabric.all_reduce(total, reduce_op="sum"))
        metrics = {"train_loss": float(total) / len(order)}
        if job.held_out:
            metrics["validation_loss"] = loss_on(model, job.held_out, loss_of, fabric)
        metrics["timestamp"] = time.time()
        history.append(metrics)
        # The first rank's clock decides for all.
        if fabric.broadcast(time.monotonic() - saved >= settings.checkpoint_seconds):
            save()
            reported, saved = len(history), time.monotonic()
        bar.set_postfix({key: f"{value:.4f}" for key, value in metrics.items() if "loss" in key})
    save()
    # As arrays, since a tensor's memory goes with the process that shares it.
    weights = {name: tensor.cpu().numpy() for name, tensor in model.state_dict().items()}
    return weights, best_epoch(history)


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
    """Run a job on as many processes as the settings ask for."""
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fabric = Fabric(
            accelerator=job.settings.accelerator,
            devices=job.settings.devices,
            strategy="ddp_spawn" if job.settings.devices > 1 else "auto",
        )
        result: tuple[dict[str, np.ndarray], int] = fabric.launch(cast(Any, run), job)
    return result
