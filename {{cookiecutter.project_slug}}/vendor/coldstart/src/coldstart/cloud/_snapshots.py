"""Snapshots of a training's state: whole or not there, whatever happens to the machine.

    objects/<SHA-256>            contents of files, each once
    snapshots/<number>.json      names of the files and their SHA-256; written last

A snapshot that was cut off has no list, so it is never seen. One whose files are not what the
list says is passed over for the one before it.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from coldstart.bundle._bundle import checksum
from coldstart.cloud._store import Store, document
from coldstart.config._settings import CHECKPOINTS

SHARED = Path("shared")  # what jobs that belong together share, where there is no store for it
KEPT = (CHECKPOINTS.name, SHARED.name, "mlflow.db", "mlruns", "training.log")
"""What of the working folder is worth keeping: all else is made anew from it and the data."""
LISTS, OBJECTS = "snapshots/", "objects/"


class Frozen(NamedTuple):
    """A file as it is now, under a name that nothing else writes."""

    name: str
    path: Path
    state: tuple[int, int, int]


class Snapshots:
    """The snapshots of one job, and one machine that writes them.

    Of two machines that both believe to be the job's, the one that is late finds its next number
    taken (`TakenError`), and knows that it has to stop.
    """

    def __init__(self, store: Store, folder: Path) -> None:
        self.store, self.folder = store, folder
        self.number = 0
        self.there: set[str] = set()  # objects that are in the store
        self.known: dict[tuple[int, int, int], str] = {}  # checksums of files that are as they were

    def restore(self) -> dict[str, Any]:
        """Bring the newest whole snapshot into the folder, and return what was written with it."""
        for name in reversed(self.store.names(LISTS)):
            self.number = max(self.number, number_of(name))
            try:
                found = json.loads(self.store.get(name))
                unfinished = self.folder / ".restored"
                shutil.rmtree(unfinished, ignore_errors=True)
                for path, digest in found["files"].items():
                    self.fetch(digest, unfinished / path)
            except (KeyError, ValueError) as error:
                print(f"snapshot {number_of(name)} is not whole: {error}", file=sys.stderr)
                self.store.delete([name])
                continue
            for kept in KEPT:
                there = self.folder / kept
                shutil.rmtree(there) if there.is_dir() else there.unlink(missing_ok=True)
                if (unfinished / kept).exists():
                    (unfinished / kept).rename(there)
            shutil.rmtree(unfinished, ignore_errors=True)
            self.there = set(found["files"].values())
            return dict(found["about"])
        return {}

    def fetch(self, digest: str, path: Path) -> None:
        """Bring one object.

        Raises
        ------
        KeyError
            If it is not there.
        ValueError
            If it is another one than its name says.
        """
        self.store.fetch(OBJECTS + digest, path)
        if checksum(path) != digest:
            raise ValueError(f"an object is not what its name says: {digest[:12]}")

    def take(self, about: dict[str, Any]) -> bool:
        """Write a snapshot; return False if a file was written to meanwhile, so that it was not.

        Parameters
        ----------
        about
            What is to be known of it: see `worker.py`.

        Raises
        ------
        TakenError
            If another machine has taken over.
        """
        aside = self.folder / ".frozen"
        try:
            return self.write(freeze(self.folder, aside), about)
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def write(self, frozen: list[Frozen], about: dict[str, Any]) -> bool:
        """Write what is new, and last the list."""
        files = {}
        for file in frozen:
            digest = self.known.get(file.state) or checksum(file.path)
            self.known[file.state] = files[file.name] = digest
        new = {"about": about, "files": files}
        for file in frozen:
            if (digest := files[file.name]) not in self.there:
                self.store.put(OBJECTS + digest, file.path)
                self.there.add(digest)
        if any(state_of(file.path) != file.state for file in frozen):
            return False
        name = f"{LISTS}{self.number + 1:06}.json"
        self.store.put(name, json.dumps(new).encode(), first=True)
        self.number += 1
        self.prune()
        return True

    def prune(self) -> None:
        """Delete what neither the newest snapshot nor the one before it needs."""
        lists = self.store.names(LISTS)
        # Lists go first: one whose objects are gone would be no snapshot.
        self.store.delete(lists[:-2])
        used = set()
        for name in lists[-2:]:
            used |= set(document(self.store, name)["files"].values())
        self.there &= used
        unused = [name for name in self.store.names(OBJECTS) if name[len(OBJECTS) :] not in used]
        self.store.delete(unused)


def newest(store: Store) -> dict[str, Any]:
    """What was written with the newest snapshot; nothing if there is none."""
    names = store.names(LISTS)
    return dict(document(store, names[-1])["about"]) if names else {}


def freeze(folder: Path, into: Path) -> list[Frozen]:
    """Give each file that is kept a second name, under which it stays when it is replaced.

    The database, which is written in place, is copied by its own means.
    """
    shutil.rmtree(into, ignore_errors=True)
    paths = [path for kept in KEPT for path in [folder / kept, *(folder / kept).rglob("*")]]
    frozen = []
    for path in paths:
        if not path.is_file() or path.suffix == ".unfinished":
            continue
        name = path.relative_to(folder).as_posix()
        copied = into / name
        copied.parent.mkdir(parents=True, exist_ok=True)
        try:
            if path.suffix == ".db":
                copy_database(path, copied)
            else:
                os.link(path, copied)
        except FileNotFoundError:  # it was there a moment ago
            continue
        frozen.append(Frozen(name, copied, state_of(copied)))
    return frozen


def copy_database(path: Path, copied: Path) -> None:
    """Copy a SQLite database as it was at one moment."""
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copied)) as target:
        source.backup(target)


def state_of(path: Path) -> tuple[int, int, int]:
    """What changes when a file is written: its number, size and time."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def number_of(name: str) -> int:
    """Number of a snapshot, from the name of its list."""
    return int(Path(name).stem)
