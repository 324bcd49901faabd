"""The record of what arrived: `data/arrivals.jsonl`, a line for each, kept by git."""

from __future__ import annotations

import datetime as dt
import stat
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from coldstart.errors import UserError

RAW = Path("data/raw")
ARRIVING = RAW / ".arriving"
RECORD = Path("data/arrivals.jsonl")


class Arrival(BaseModel):
    """The record of an arrival.

    Attributes
    ----------
    collection
        What arrives from one source, time and again.
    content
        SHA-256 of each file, by its name in the folder.
    sha256
        That of the file, or that of the list of `content` where there are several.
    new
        How many of the files were not in the arrival before.
    append
        Whether it holds the files of the arrival before, too.
    state
        What the source needs to go on from here.
    """

    model_config = ConfigDict(extra="forbid")

    time: dt.datetime
    collection: str
    folder: str
    source: str
    query: str | None = None
    licence: str | None = None
    append: bool = False
    size: int
    sha256: str
    new: int
    content: dict[str, str]
    state: dict[str, Any] = {}

    @property
    def path(self) -> Path:
        """The folder of its files."""
        return Path(self.folder)

    @property
    def table(self) -> Path:
        """What config.yaml names: the file, the folder of several, or all below it."""
        if len(self.content) == 1:
            return self.path / next(iter(self.content))
        deeper = any("/" in name for name in self.content)
        return self.path / "**" / "*" if deeper else self.path


def load() -> list[Arrival]:
    """Read the record, the oldest first; an arrival that a crash kept out of it is added.

    Raises
    ------
    UserError
        If a line of it cannot be read.
    """
    arrivals = []
    lines = RECORD.read_text(encoding="utf-8").splitlines() if RECORD.exists() else []
    for number, line in enumerate(lines, start=1):
        try:
            arrivals.append(Arrival.model_validate_json(line))
        except ValidationError:
            raise UserError(
                f"{RECORD}, line {number} is no record of an arrival: take back what was changed"
            ) from None
    for pending in ARRIVING.glob("*.json"):
        arrival = Arrival.model_validate_json(pending.read_bytes())
        if arrival.path.is_dir() and all(a.folder != arrival.folder for a in arrivals):
            arrivals.append(arrival)
            save(arrivals)
        pending.unlink()
    return arrivals


def save(arrivals: list[Arrival]) -> None:
    """Write the record."""
    replace(RECORD, "".join(f"{arrival.model_dump_json()}\n" for arrival in arrivals))


def keep(folder: Path, arrival: Arrival) -> None:
    """Put a finished arrival in its place, read-only, and record it.

    The record lies ready before the folder moves: a crash in between loses nothing.
    """
    for name in arrival.content:
        path = folder / name
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    replace(folder.with_suffix(".json"), arrival.model_dump_json())
    arrival.path.parent.mkdir(parents=True, exist_ok=True)
    folder.rename(arrival.path)
    load()


def replace(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)
