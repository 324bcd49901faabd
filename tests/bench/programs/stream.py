"""Runs in the generated project: trains its network on a table, streamed or on a sample in memory.

Usage: python stream.py PACKAGE streamed|sampled FILE

It runs where the table, its contract and config.yaml are. Writes the rows of an epoch, rows a
second of the training loop, and s of what comes before it (preparing, and counting the rows to
stream) to the file, as JSON.
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

import wire

from coldstart.data import prepare
from coldstart.nn import _estimator
from coldstart.train import Fitter

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the project's `train` does

CHECKPOINTS = Path("checkpoints")


def main(package: str, how: str, file: str) -> None:
    """Prepare and train once."""
    family = import_module(f"{package}.models").FAMILIES["neural"]
    settings = wire.load_settings(package)
    launch: Any = _estimator.launch
    trained: list[tuple[int, int, float]] = []

    def timed(loop: Any, job: Any) -> Any:
        began = time.perf_counter()
        result = launch(loop, job)
        trained.append((len(job.train), job.epochs, time.perf_counter() - began))
        return result

    _estimator.launch = timed
    shutil.rmtree(CHECKPOINTS, ignore_errors=True)
    began = time.perf_counter()
    dataset = prepare(settings)
    fitter = Fitter(family, settings, dataset, checkpoints=CHECKPOINTS, stream=how == "streamed")
    fitter.fit(dataset.fitting_rows)
    before = time.perf_counter() - began - sum(seconds for *_, seconds in trained)
    rows, epochs, seconds = trained[-1]  # it stops at no epoch before the last
    told = {"rows": rows, "rate": rows * epochs / seconds, "before": before}
    Path(file).write_text(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
