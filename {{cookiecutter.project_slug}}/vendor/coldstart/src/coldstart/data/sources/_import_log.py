"""The import log, `data/arrivals.jsonl`: one line for each import, kept by git."""

from __future__ import annotations

import datetime as dt
import json
import stat
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from coldstart._writing import write_whole
from coldstart.contract._pictures import is_picture
from coldstart.errors import UserError

RAW = Path("data/raw")
INCOMING = RAW / ".incoming"
LOG = Path("data/arrivals.jsonl")
LOCAL = Path("data/local_sources.json")  # git ignores it: it names folders of this computer


class ImportRecord(BaseModel):
    """One import of a source.

    Attributes
    ----------
    time : datetime
        When it was imported, in UTC.
    collection : str
        Name of all imports of one source.
    folder : str
        Folder of its files.
    source : str
        Address of the source, without passwords, and without folders outside this project.
    query : str or None
        SQL, if the source is a database.
    license : str or None
        License of the data.
    append : bool
        Whether it also holds the files of the import before.
    local : bool
        Whether `source` lacks its folder, which only `data/local_sources.json` holds.
    size : int
        Bytes of all files.
    sha256 : str
        SHA-256 of the file or, of several files, of the list of `content`.
    new : int
        Number of files that the import before did not have.
    content : dict of str to str
        From the name of each file in the folder to its SHA-256.
    state : dict
        What the source needs to resume from here.
    """

    model_config = ConfigDict(extra="forbid")

    time: dt.datetime
    collection: str
    folder: str
    source: str
    query: str | None = None
    # The second name is that of the first versions.
    license: str | None = Field(None, validation_alias=AliasChoices("license", "licence"))
    append: bool = False
    local: bool = False
    size: int
    sha256: str
    new: int
    content: dict[str, str]
    state: dict[str, Any] = {}

    @property
    def path(self) -> Path:
        """Folder of its files."""
        return Path(self.folder)

    @property
    def table(self) -> Path:
        """What config.yaml names: the file, the folder of several files, or all files below it."""
        tables = [name for name in self.content if not is_picture(name)]
        if len(tables) == 1:
            return self.path / tables[0]
        deeper = any("/" in name for name in self.content)
        return self.path / "**" / "*" if deeper else self.path


def load_entries() -> list[ImportRecord]:
    """Load the log, oldest first. An import that a crash kept out of the log is added.

    Raises
    ------
    UserError
        If a line is invalid.
    """
    entries = []
    lines = LOG.read_text(encoding="utf-8").splitlines() if LOG.exists() else []
    for number, line in enumerate(lines, start=1):
        try:
            entries.append(ImportRecord.model_validate_json(line))
        except ValidationError:
            raise UserError(
                f"{LOG}, line {number} is not a valid record of an import; undo the last edit"
            ) from None
    for pending in INCOMING.glob("*.json"):
        entry = ImportRecord.model_validate_json(pending.read_bytes())
        if entry.path.is_dir() and all(a.folder != entry.folder for a in entries):
            entries.append(entry)
            save_entries(entries)
        pending.unlink()
    return entries


def save_entries(entries: list[ImportRecord]) -> None:
    """Write the log."""
    write_whole(LOG, "".join(f"{entry.model_dump_json()}\n" for entry in entries))


def store_files(folder: Path, entry: ImportRecord) -> None:
    """Move a complete import to its folder, read-only, and log it.

    The record is written before the folder moves, so that a crash in between loses nothing.
    """
    for name in entry.content:
        path = folder / name
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    write_whole(folder.with_suffix(".json"), entry.model_dump_json())
    entry.path.parent.mkdir(parents=True, exist_ok=True)
    folder.rename(entry.path)
    load_entries()


def local_sources() -> dict[str, str]:
    """Return where on this computer the sources of collections are, by collection."""
    try:
        found: dict[str, str] = json.loads(LOCAL.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def remember_local(collection: str, location: str) -> None:
    """Note where on this computer the source of a collection is."""
    write_whole(LOCAL, json.dumps(local_sources() | {collection: location}, indent=1) + "\n")
