"""The network's training on tables that are streamed, beside one on a sample in memory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from project import PROGRAMS, Project, check_room, say
from scale import CONTRACT, run

STREAMED, SAMPLED = "streamed", "sampled"
DISK = 150  # bytes a row: the table as CSV and as Parquet
SAMPLE = 0.1  # of the rows of the smallest table: as many judge, or are learned from in memory

CONFIG = """
data: {{table: table.parquet}}
training_rows: {sample}
split: {{cross_validate_below: 0}}
neural: {{stream: {stream}, epochs: {epochs}}}
"""


@dataclass(frozen=True)
class Streaming:
    """What one training needed.

    Attributes
    ----------
    table, rows
        Rows of the table, and those of an epoch.
    rate
        Rows a second of the training loop.
    before
        s of what comes before it: preparing, and counting the rows to stream.
    peak
        GiB that the process held at its peak.
    """

    table: int
    how: str
    rows: int
    rate: float
    before: float
    peak: float


def measure_streaming(project: Project, folder: Path, sizes: Sequence[int]) -> list[Streaming]:
    """Train on a sample in memory, and streamed on tables of each size, ascending.

    Raises
    ------
    UserError
        If the disk is too small, or a program fails.
    """
    check_room(folder, max(sizes), DISK)
    work = folder / "streaming"
    work.mkdir()
    (work / "schema.yaml").write_text(CONTRACT)
    sample = int(min(sizes) * SAMPLE)
    found: list[Streaming] = []
    for table in sorted(sizes):
        run(project, work, [str(PROGRAMS / "tables.py"), "make", str(table), str(work)])
        (work / "table.csv").unlink()
        for how in (STREAMED,) if found else (SAMPLED, STREAMED):
            say(f"training on {table:,} rows, {how}")
            chosen = {"stream": str(how == STREAMED).lower(), "epochs": 10 if how == SAMPLED else 1}
            (work / "config.yaml").write_text(CONFIG.format(sample=sample, **chosen))
            told = work / "told.json"
            program = [str(PROGRAMS / "stream.py"), project.package, how, str(told)]
            cost = run(project, work, program)
            found.append(Streaming(table, how, peak=cost.peak, **json.loads(told.read_text())))
    shutil.rmtree(work)
    return found


def memory_ratio(measured: list[Streaming]) -> float:
    """Memory of the largest table that was streamed divided by that of the smallest."""
    streamed = [one for one in measured if one.how == STREAMED]
    return streamed[-1].peak / streamed[0].peak
