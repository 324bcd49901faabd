"""Runs in the generated project, started by torchrun: trains its network on one rank or several.

Usage: torchrun ... ranks.py PACKAGE FOLDER EPOCHS

Each rank has as many rows, and as large a part of each batch, as one alone has. The first one
prints as JSON, for the project's network and for a wide one, what each rank had, and rows a second
of all: by the clock (the median epoch), and of CPU time.
"""

# The generated project's environment has these libraries, the template's has not.
# mypy: ignore-errors

import json
import sys
import time
from contextlib import ExitStack
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import loops
import torch
import wire

from coldstart.config._settings import rank_of
from coldstart.nn import TrainingJob, _ranks
from coldstart.nn._job import report_nothing

WIDE = [1024, 1024]


def main(package: str, folder: Path, epochs: int) -> int:
    """Train, or take part in it."""
    rank, count = rank_of()
    neural = wire.load_settings(package).neural
    if rank:
        return _ranks.run_worker(neural)
    job = loops.make_job(package, folder, epochs)
    rows, batch = len(job.train), neural.batch_size
    parts = (job.train.inputs, job.train.targets)
    train_rows = type(job.train)(*(torch.cat([part] * count) for part in parts))
    job = job._replace(train=train_rows, report=report_nothing)
    found = []
    with ExitStack() as stack:
        if count > 1:
            stack.enter_context(_ranks.leading(neural))
        for hidden, times in ((neural.hidden, epochs), (WIDE, max(2, epochs // 10))):
            chosen = {"batch_size": count * batch, "hidden": hidden, "checkpoint_seconds": 1e6}
            settings = neural.model_copy(update=chosen)
            size, seconds, cpu = train(package, job._replace(settings=settings, epochs=times + 1))
            rates = {"clock": count * rows / seconds, "cpu": count * rows * (times + 1) / cpu}
            found.append({"rows": rows, "batch": batch, "parameters": size, "rates": rates})
    print(json.dumps(found))
    return 0


def train(package: str, job: TrainingJob) -> tuple[int, float, float]:
    """Train from the beginning.

    Returns
    -------
    int, float, float
        The number of parameters, the median epoch's s, and s of CPU time of all ranks and epochs.
    """
    for path in job.checkpoint.parent.glob("loop*.ckpt"):
        path.unlink()
    ends: list[float] = []

    def report(stage: str, epoch: int, history: list[dict[str, float]]) -> None:
        ends.extend(metrics["timestamp"] for metrics in history)

    weights, cpu = _ranks.launch(
        job.settings, measured, (package, job._replace(report=report)), (package, job)
    )
    # The first epoch begins with what is only done once, and is not counted.
    seconds = median(later - earlier for earlier, later in pairwise(ends))
    return sum(values.size for values in weights.values()), seconds, cpu


def measured(fabric: Any, given: tuple[str, Any]) -> tuple[dict[str, Any], float]:
    """Run the project's loop on this rank; return the weights, and all ranks' CPU time."""
    package, job = given
    began = time.process_time()
    weights, _ = import_module(f"{package}.network").train_network(fabric, job)
    cpu = torch.tensor(time.process_time() - began)
    return weights, float(fabric.all_reduce(cpu, reduce_op="sum"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
