"""Runs in the baked project: trains its network on a table, streamed or on a sample in memory.

Usage: python stream.py PACKAGE streamed|sampled FILE

It runs where the table, its contract and config.yaml are. Writes the rows of an epoch, rows a
second of the training loop, and s of what comes before it (preparing, and counting the rows to
stream) to the file, as JSON.
"""

# The baked project's environment has these libraries, the template's has not.
# mypy: disable-error-code="import-not-found, import-untyped"

import json
import os
import shutil
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the project's `train` does

CHECKPOINTS = Path("checkpoints")


def main(package: str, how: str, file: str) -> None:
    """Prepare and train once."""
    rounds, neural = import_module(f"{package}.rounds"), import_module(f"{package}.neural")
    preparation = import_module(f"{package}.preparation")
    chosen = import_module(f"{package}.settings").Settings()
    launch: Any = neural.launch
    trained: list[tuple[int, int, float]] = []

    def timed(job: Any) -> Any:
        began = time.perf_counter()
        result = launch(job)
        trained.append((len(job.train), job.epochs, time.perf_counter() - began))
        return result

    neural.launch = timed  # type: ignore[attr-defined]
    shutil.rmtree(CHECKPOINTS, ignore_errors=True)
    began = time.perf_counter()
    prepared = preparation.prepare(chosen)
    rows = rounds.known(prepared.rounds[0])
    rounds.fit_family(chosen, prepared, "neural", rows, CHECKPOINTS, stream=how == "streamed")
    before = time.perf_counter() - began - sum(seconds for *_, seconds in trained)
    rows, epochs, seconds = trained[-1]  # it stops at no epoch before the last
    told = {"rows": rows, "rate": rows * epochs / seconds, "before": before}
    Path(file).write_text(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
