"""Runs in the generated project: trains its network with its own loop and with a bare one.

Usage: python loops.py PACKAGE FOLDER ROUNDS EPOCHS

Prints rows a second of both as JSON, and the share of the project's time that went into
checkpoints. Both loops draw the same random numbers, so that the weights they end in show
whether they did the same work.
"""

# The generated project's environment has these libraries, the template's has not.
# mypy: ignore-errors

import json
import os
import shutil
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the project's `train` does

import numpy as np
import torch
import wire
from mlflow import MlflowClient
from torch import nn

from coldstart.data import load
from coldstart.nn import TrainingJob, _checkpoints
from coldstart.nn._batches import InMemory
from coldstart.nn._checkpointer import seed_step
from coldstart.nn._job import launch
from coldstart.tracking._mlflow import EpochLog
from coldstart.train import Context
from coldstart.train._features import as_frame


def main(package: str, folder: Path, rounds: int, epochs: int) -> None:
    """Train in turns, the order reversed each round."""
    job = make_job(package, folder, epochs)
    rows = len(job.train)
    network = import_module(f"{package}.network")
    rates: dict[str, list[float]] = {"project": [], "bare": []}
    kept, shares = timed(), []
    for turn in range(-1, rounds):  # the first round only warms up
        weights = {}
        for name in sorted(rates, reverse=turn % 2 == 0):
            for path in folder.glob("loop*.ckpt"):
                path.unlink()
            kept.clear()
            began = time.perf_counter()
            weights[name] = (
                launch(network.train_network, job)[0] if name == "project" else bare(network, job)
            )
            took = time.perf_counter() - began
            if turn >= 0:
                rates[name].append(rows * epochs / took)
            if turn >= 0 and name == "project":
                shares.append(sum(kept) / took)
                shutil.copy(job.checkpoint, folder / "newest.ckpt")
        for key, tensor in weights["bare"].items():
            found = torch.from_numpy(weights["project"][key])
            assert torch.allclose(tensor, found, atol=1e-5), f"{key} differs"
    threads = torch.get_num_threads()
    found = {"rows": rows, "epochs": epochs, "threads": threads, "checkpoints": shares}
    print(json.dumps(found | rates))


def timed() -> list[float]:
    """List that the seconds are added to that putting together and writing checkpoints takes."""
    seconds: list[float] = []

    def measure(function: Any) -> Any:
        def measured(*arguments: Any) -> Any:
            began = time.perf_counter()
            result = function(*arguments)
            seconds.append(time.perf_counter() - began)
            return result

        return measured

    for name in ("collect", "write"):
        setattr(_checkpoints, name, measure(getattr(_checkpoints, name)))
    return seconds


def make_job(package: str, folder: Path, epochs: int) -> TrainingJob:
    """Training rows as the project's `fit` prepares them, tracked in a copy of its database."""
    settings = wire.load_settings(package)
    dataset = load(settings)

    shutil.copy("mlflow.db", folder)
    store = f"sqlite:///{folder / 'mlflow.db'}"
    client = MlflowClient(store)
    experiment = client.get_experiment_by_name(settings.experiment)
    run = client.create_run(experiment.experiment_id)
    report = EpochLog(store, run.info.run_id, "bench")

    rows = dataset.fitting_rows
    target = dataset.target(rows)
    context = Context(
        contract=dataset.contract,
        seed=settings.seed,
        neural=settings.neural,
        target=target,
        checkpoints=folder,
        report=report,
    )
    pipeline = import_module(f"{package}.models").FAMILIES["neural"](context)
    encoded = pipeline[0].fit_transform(as_frame(dataset.features(rows)), target)
    inputs = torch.tensor(np.asarray(encoded, dtype=np.float32))
    n_numbers = inputs.shape[1] - pipeline[-1].n_categories
    cardinalities = [int(column.max()) + 1 for column in inputs.T[n_numbers:]]
    return TrainingJob(
        stage="fit",
        shape=(n_numbers, cardinalities, len(dataset.classes)),
        settings=settings.neural,
        seed=settings.seed,
        epochs=epochs,
        train=InMemory(inputs, torch.tensor(target)),
        held_out=None,
        checkpoint=folder / "loop.ckpt",
        report=report,
    )


def bare(network: Any, job: Any) -> dict[str, torch.Tensor]:
    """Train as plainly as PyTorch allows: nothing is kept, reported, or made ready for a GPU."""
    settings, inputs, targets = job.settings, job.train.inputs, job.train.targets
    torch.manual_seed(job.seed)
    model = network.Network(*job.shape, settings)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    loss_of, step = nn.CrossEntropyLoss(), 0
    for epoch in range(1, job.epochs + 1):
        generator = torch.Generator().manual_seed(job.seed + epoch)
        order = torch.randperm(len(inputs), generator=generator)
        for start in range(0, len(order), settings.batch_size):
            batch = order[start : start + settings.batch_size]
            seed_step(inputs.device, job.seed, epoch, start, 0)
            network.set_learning_rate(optimizer, settings.learning_rate, step)
            optimizer.zero_grad()
            scores = model(inputs[batch])
            each = targets[batch].repeat_interleave(len(scores) // len(batch))
            loss_of(scores, each).backward()
            nn.utils.clip_grad_norm_(model.parameters(), network.MAX_GRADIENT_NORM)
            optimizer.step()
            step += 1
    weights: dict[str, torch.Tensor] = model.state_dict()
    return weights


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
