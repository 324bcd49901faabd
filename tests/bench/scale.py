"""Large tables: what preparing and scoring them takes, beside polars and pandas, in turns."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from project import PROGRAMS, Project, UserError, check_room, say

KINDS = ("csv", "parquet")
PREPARE, PREDICT, POLARS, PANDAS = "prepare", "predict", "polars", "pandas"
MEASURED = 9_000_000  # rows that are gone through in all the rounds of a size
DISK = 400  # bytes a row: two tables, two copies of each that are written
PANDAS_MEMORY = 500  # bytes a row that pandas holds at its peak

CONFIG = """
data: {table: TABLE}
training_rows: 20000
"""
CONTRACT = """
columns:
  id: {type: category, role: id}
  amount: {type: number, minimum: 0}
  speed: {type: number}
  count: {type: number}
  city: {type: category}
  kind: {type: category}
  flag: {type: boolean}
  day: {type: date}
  rate: {type: number, minimum: 0, maximum: 1}
  target: {type: boolean, role: target}
"""


@dataclass(frozen=True)
class Cost:
    """What a process needed: s by the clock, s of CPU time, and GiB at its peak."""

    seconds: float
    cpu: float
    peak: float


@dataclass
class Scale:
    """What was measured: for rows, kind of file and who did it, a cost a round.

    Attributes
    ----------
    skipped
        What was not measured, and why.
    """

    costs: dict[tuple[int, str, str], list[Cost]] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)

    def median(self, rows: int, kind: str, who: str, what: str) -> float:
        """Median of a cost over the rounds."""
        found: float = median(getattr(cost, what) for cost in self.costs[rows, kind, who])
        return found

    def ratios(self, rows: int, kind: str, who: str, what: str) -> list[float]:
        """A cost divided by that of polars, round by round."""
        rounds = zip(self.costs[rows, kind, who], self.costs[rows, kind, POLARS], strict=True)
        return [getattr(one, what) / getattr(other, what) for one, other in rounds]

    @property
    def sizes(self) -> list[int]:
        """Numbers of rows, ascending."""
        return sorted({rows for rows, _, _ in self.costs})


def measure_scale(project: Project, folder: Path, sizes: Sequence[int], rounds: int) -> Scale:
    """Make tables of each size, and measure everybody on each, in turns.

    Raises
    ------
    UserError
        If the disk is too small, or a program fails.
    """
    check_room(folder, max(sizes), DISK)
    work = folder / "scale"
    work.mkdir()
    (work / "schema.yaml").write_text(CONTRACT)
    scale = Scale()
    for rows in sorted(sizes):
        turns = max(1, min(rounds, MEASURED // rows))
        say(f"{rows:,} rows, {turns} rounds (up to {rows * DISK / 2**30:.1f} GiB of disk)")
        run(project, work, program("make", str(rows), str(work)))
        if not scale.costs:
            configure(work, "table.csv")
            run(project, work, [*command(project, "train"), "--models", '["boosting"]'])
        for _ in range(turns):
            for kind in KINDS:
                measure(scale, project, work, rows, kind)
    shutil.rmtree(work)
    return scale


def measure(scale: Scale, project: Project, work: Path, rows: int, kind: str) -> None:
    """Measure everybody once on one file."""
    table = f"table.{kind}"
    configure(work, table)
    doing = {
        POLARS: program(POLARS, table, "polars.parquet"),
        PREPARE: command(project, "prepare"),
        PREDICT: [*command(project, "predict"), "--file", table, "--out", f"predicted.{kind}"],
        PANDAS: program(PANDAS, table, "pandas.parquet"),
    }
    if rows * PANDAS_MEMORY > available_memory():
        del doing[PANDAS]
        left_out = f"pandas at {rows:,} rows: it needs {rows * PANDAS_MEMORY / 2**30:.0f} GiB"
        if left_out not in scale.skipped:
            scale.skipped.append(left_out)
    for who, what in doing.items():
        cost = run(project, work, what)
        scale.costs.setdefault((rows, kind, who), []).append(cost)
        for written in ("polars.parquet", "pandas.parquet", f"predicted.{kind}"):
            (work / written).unlink(missing_ok=True)


def configure(work: Path, table: str) -> None:
    """Name the table that the project reads."""
    (work / "config.yaml").write_text(CONFIG.replace("TABLE", table))


def program(*arguments: str) -> list[str]:
    """Arguments of Python for a step that is not the project's."""
    return [str(PROGRAMS / "tables.py"), *arguments]


def command(project: Project, name: str) -> list[str]:
    """Arguments of Python for a command of the project."""
    return ["-m", project.package, name]


def run(project: Project, folder: Path, arguments: list[str]) -> Cost:
    """Run Python in a process of its own, and see what it cost.

    Raises
    ------
    UserError
        If it fails.
    """
    start = time.perf_counter()
    process = subprocess.Popen(
        [project.python, *arguments], cwd=folder, env=project.environment, stdout=sys.stderr
    )
    try:
        _, status, used = os.wait4(process.pid, 0)
    except BaseException:
        process.kill()
        raise
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise UserError(f"{' '.join(arguments)} failed: see above")
    seconds = time.perf_counter() - start
    return Cost(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 2**20)


def available_memory() -> int:
    """Bytes that a new process can have."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("MemAvailable:"))
    return int(line.split()[1]) * 1024
