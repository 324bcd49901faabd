"""Small tables: the CPU time of a training that tries all model types that suit."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from project import PROGRAMS, Project, say
from scale import run

TABLES = {
    "64 3 number": 20,
    "300 10 number": 20,
    "300 10 binary": 20,
    "900 40 binary": 20,
    "900 40 classes": 20,
    "64 2500 number": 60,
    "64 2500 binary": 60,
}
"""Rows, columns and target of each table, and the s of CPU time that are aimed at."""


@dataclass(frozen=True)
class Small:
    """What a training took, one value a round.

    Attributes
    ----------
    models
        How many model types were trained.
    cpu, fits
        s of CPU time of the training, and of its fits alone.
    start
        s of CPU time before that: Python, imports, an empty database for MLflow.
    seconds
        s by the clock, of the whole process.
    """

    models: int
    cpu: list[float]
    fits: list[float]
    start: list[float]
    seconds: list[float]


def measure_small(project: Project, folder: Path, rounds: int) -> dict[str, Small]:
    """Train all model types that suit on each table, in turns."""
    found: dict[str, Small] = {}
    for number in range(1, rounds + 1):
        for table in TABLES:
            say(f"training on a table of {table}, round {number} of {rounds}")
            work = folder / "small"
            program = str(PROGRAMS / "small_tables.py")
            run(project, folder, [program, "make", table, str(work)])
            cost = run(project, work, [program, "train", project.package, "told.json"])
            told = json.loads((work / "told.json").read_text())
            small = found.setdefault(table, Small(told["models"], [], [], [], []))
            for name in ("cpu", "fits", "start"):
                getattr(small, name).append(told[name])
            small.seconds.append(cost.seconds)
            shutil.rmtree(work)
    return found
