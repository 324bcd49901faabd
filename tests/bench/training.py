"""The project's training loop beside a bare one in PyTorch, and on two machines beside one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from project import Project, run_program, say
from weak import Weak, measure_weak


@dataclass(frozen=True)
class Training:
    """What was measured.

    Attributes
    ----------
    rows, epochs, threads
        Of one training.
    project, bare
        Rows a second, one value a round.
    checkpoints
        Share of the project's time that went into them, one value a round.
    snapshots
        Share of the time that a rented machine takes for bringing them away, one value a round.
    weak
        Rows a second of one rank, and of two that have twice the rows; or why not.
    """

    rows: int
    epochs: int
    threads: int
    project: list[float]
    bare: list[float]
    checkpoints: list[float]
    snapshots: list[float]
    weak: list[Weak] | str

    @property
    def ratio(self) -> float:
        """The project's rate divided by the bare loop's, the median over the rounds."""
        return median(a / b for a, b in zip(self.project, self.bare, strict=True))


def measure_training(project: Project, folder: Path, rounds: int, epochs: int) -> Training:
    """Train the network with both loops, in turns, and on one machine and two."""
    say(f"training, {rounds} rounds")
    found: dict[str, Any] = run_program(project, "loops.py", str(folder), str(rounds), str(epochs))
    found |= run_program(project, "snapshots.py", str(folder), str(rounds))
    weak = measure_weak(project, folder, min(rounds, 3), epochs)
    return Training(**found, weak=weak)
