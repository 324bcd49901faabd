"""The project's training loop beside a bare one in PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median

from project import Project, run_program, say


@dataclass(frozen=True)
class Training:
    """What was measured.

    Attributes
    ----------
    rows, epochs, threads
        Of one training.
    project, bare
        Rows a second, one value a round.
    """

    rows: int
    epochs: int
    threads: int
    project: list[float]
    bare: list[float]

    @property
    def ratio(self) -> float:
        """The project's rate divided by the bare loop's, the median over the rounds."""
        return median(a / b for a, b in zip(self.project, self.bare, strict=True))


def measure_training(project: Project, folder: Path, rounds: int, epochs: int) -> Training:
    """Train the network with both loops, in turns."""
    say(f"training, {rounds} rounds")
    return Training(**run_program(project, "loops.py", str(folder), str(rounds), str(epochs)))
