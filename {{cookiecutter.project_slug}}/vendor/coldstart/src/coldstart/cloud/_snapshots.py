"""Snapshots of a training's state, each of which is complete or not visible.

    objects/<SHA-256>            contents of files, each once
    snapshots/<number>.json      names of the files and their SHA-256; written last

A snapshot that was interrupted has no list, so no machine reads it. If a file is missing or has
another checksum than its list says, the snapshot before it is used.
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
from coldstart.cloud._store import Store, read_json
from coldstart.config._settings import CHECKPOINTS

KEPT = (CHECKPOINTS.name, "mlflow.db", "mlruns", "training.log")
"""What of the working folder is kept. All else can be made again from it and the data."""
LISTS, OBJECTS = "snapshots/", "objects/"


class FrozenFile(NamedTuple):
    """A file in its present state, under a name that no other program writes."""

    name: str
    path: Path
    state: tuple[int, int, int]


class Snapshots:
    """The snapshots of one job, and the machine that writes them.

    If two machines work on a job, the later one finds its next number taken (`TakenError`) and
    stops.
    """

    def __init__(self, store: Store, folder: Path) -> None:
        self.store, self.folder = store, folder
        self.number = 0
        self.stored: set[str] = set()  # objects that are in the store
        self.checksums: dict[tuple[int, int, int], str] = {}  # of files, by their state

    def restore(self) -> dict[str, Any]:
        """Download the newest complete snapshot into the folder.

        Return the worker's status that was stored with it; empty if there is no snapshot.
        """
        for name in reversed(self.store.names(LISTS)):
            self.number = max(self.number, number_of(name))
            try:
                found = json.loads(self.store.get(name))
                unfinished = self.folder / ".restored"
                shutil.rmtree(unfinished, ignore_errors=True)
                for path, digest in found["files"].items():
                    self.fetch(digest, unfinished / path)
            except (KeyError, ValueError) as error:
                print(f"snapshot {number_of(name)} is not complete: {error}", file=sys.stderr)
                self.store.delete([name])
                continue
            for kept in KEPT:
                path = self.folder / kept
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
                if (unfinished / kept).exists():
                    (unfinished / kept).rename(path)
            shutil.rmtree(unfinished, ignore_errors=True)
            self.stored = set(found["files"].values())
            return dict(found["status"])
        return {}

    def fetch(self, digest: str, path: Path) -> None:
        """Download one object.

        Raises
        ------
        KeyError
            If it does not exist.
        ValueError
            If its checksum is not the one in its name.
        """
        self.store.fetch(OBJECTS + digest, path)
        if checksum(path) != digest:
            raise ValueError(f"object {digest[:12]} has another checksum than its name says")

    def take(self, status: dict[str, Any]) -> bool:
        """Write a snapshot with a status, and return whether: not if a file changed meanwhile.

        Raises
        ------
        TakenError
            If another machine has taken over.
        """
        copies = self.folder / ".frozen"
        try:
            return self.write(freeze(self.folder, copies), status)
        finally:
            shutil.rmtree(copies, ignore_errors=True)

    def write(self, frozen: list[FrozenFile], status: dict[str, Any]) -> bool:
        """Write objects that are new, and the list last."""
        files = {}
        for file in frozen:
            digest = self.checksums.get(file.state) or checksum(file.path)
            self.checksums[file.state] = files[file.name] = digest
        new = {"status": status, "files": files}
        for file in frozen:
            if (digest := files[file.name]) not in self.stored:
                self.store.put(OBJECTS + digest, file.path)
                self.stored.add(digest)
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
        # Lists first: a list without its objects would be a broken snapshot.
        self.store.delete(lists[:-2])
        used = set()
        for name in lists[-2:]:
            used |= set(read_json(self.store, name)["files"].values())
        self.stored &= used
        unused = [name for name in self.store.names(OBJECTS) if name[len(OBJECTS) :] not in used]
        self.store.delete(unused)


def newest_status(store: Store) -> dict[str, Any]:
    """Return the worker's status in the newest snapshot; empty if there is none."""
    names = store.names(LISTS)
    return dict(read_json(store, names[-1])["status"]) if names else {}


def freeze(folder: Path, into: Path) -> list[FrozenFile]:
    """Give each file that is kept a second name, under which it stays when it is replaced.

    The database and the log are written in place, so they are copied, the database through SQLite.
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
            elif path.suffix == ".log":
                shutil.copyfile(path, copied)
            else:
                os.link(path, copied)
        except FileNotFoundError:  # it was replaced or deleted just now
            continue
        frozen.append(FrozenFile(name, copied, state_of(copied)))
    return frozen


def copy_database(path: Path, copied: Path) -> None:
    """Copy a SQLite database in a consistent state."""
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copied)) as target:
        source.backup(target)


def state_of(path: Path) -> tuple[int, int, int]:
    """Return what changes when a file is written: its inode, size and time."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def number_of(name: str) -> int:
    """Return the number of a snapshot, from the name of its list."""
    return int(Path(name).stem)
