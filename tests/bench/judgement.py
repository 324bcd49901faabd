"""What a generated project judges by itself, on tables whose answer is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from project import Project, run_program, say


class Kind(NamedTuple):
    """A target, its kind, and the kind that it was taken for."""

    name: str
    kind: str
    found: str


class Late(NamedTuple):
    """Columns that are known only after the target, in one table; "none" if there are none.

    Attributes
    ----------
    plant
        What kind of columns they are.
    planted, found
        How many there are, and how many of them are questioned or left out.
    alarms, clean
        How many of the other columns are as well, and how many others there are.
    """

    plant: str
    planted: int
    found: int
    alarms: int
    clean: int


class Choice(NamedTuple):
    """The model type that the validation rows choose.

    Attributes
    ----------
    table
        Name of the table.
    chosen, best
        The chosen model type, and the one with the best test score.
    regret
        How much lower the test score of the chosen one is.
    cpu
        s of CPU time of `make data` and of all fits.
    """

    table: str
    chosen: str
    best: str
    regret: float
    cpu: float


class Stability(NamedTuple):
    """How many shuffles of a table choose another model type than most of them do."""

    table: str
    changes: int
    shuffles: int


@dataclass(frozen=True)
class Judgement:
    """What was judged."""

    kinds: Sequence[Kind]
    late: Sequence[Late]
    choices: Sequence[Choice]
    stability: Sequence[Stability]


def measure_judgement(project: Project, folder: Path, draws: int) -> Judgement:
    """Let the project judge tables with known answers, each kind drawn several times."""
    say(f"judging tables with known answers, {draws} draws")
    found = run_program(project, "judge.py", str(folder), str(draws))
    return Judgement(
        [Kind(*one) for one in found["kinds"]],
        [Late(*one) for one in found["late"]],
        [Choice(*one) for one in found["choices"]],
        [Stability(*one) for one in found["stability"]],
    )
