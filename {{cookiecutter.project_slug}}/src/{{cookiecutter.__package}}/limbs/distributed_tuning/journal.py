"""Optuna's journal in an object store: what many machines write, in one order.

Each entry is an object whose name is the next number, and is written only if nobody has written
that number before. Who comes late reads what the other wrote, and takes the number after it. So
all machines read the same entries in the same order, and none waits for another.
"""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from optuna.storages.journal import BaseJournalBackend

from ..cloud.store import BusyError, Store, TakenError

PAUSE = 2.0  # seconds until a busy store is asked again
AT_ONCE = 16  # entries that are read at a time, by who is new
Answer = TypeVar("Answer")


class StoreJournal(BaseJournalBackend):
    """Entries in a folder of the store.

    Parameters
    ----------
    until
        Seconds since 1970 up to which a store that does not answer is waited for.
    """

    def __init__(self, store: Store, until: float) -> None:
        self.store, self.until = store, until
        self.logs: list[dict[str, Any]] = []  # of all entries so far, in order
        self.number = 0  # of the entry after them

    def begin(self, seed: Path) -> None:
        """Write the first entry, from a file of Optuna's own; whichever machine is the first."""
        if seed.is_file():
            self.write([json.loads(line) for line in seed.read_text().splitlines()])

    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
        """Everything from a number on, with what has come since it was last asked."""
        if not self.number:
            self.catch_up()
        while (entry := self.read(self.number)) is not None:
            self.add(entry["logs"])
        return self.logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write an entry, after all that others have written meanwhile."""
        while not self.write(logs):
            pass

    def write(self, logs: list[dict[str, Any]]) -> bool:
        """Write the next entry; False if it is somebody else's, which is then read."""
        mine = uuid.uuid4().hex
        body = json.dumps({"id": mine, "logs": logs}).encode()
        try:
            self.patiently(lambda: self.store.put(name_of(self.number), body, first=True))
        except TakenError:
            entry = self.read(self.number)
            if entry is None:
                return False
            self.add(entry["logs"])
            # It is there already if the store had it, and only its answer was lost.
            return bool(entry["id"] == mine)
        self.add(logs)
        return True

    def add(self, logs: list[dict[str, Any]]) -> None:
        """Remember the entry that comes next."""
        self.logs += logs
        self.number += 1

    def read(self, number: int) -> dict[str, Any] | None:
        """An entry, if it has been written."""
        try:
            body = self.patiently(lambda: self.store.get(name_of(number)))
        except KeyError:
            return None
        entry: dict[str, Any] = json.loads(body)
        return entry

    def catch_up(self) -> None:
        """Read what is there, many entries at a time."""
        there = len(self.patiently(lambda: self.store.names("")))
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for entry in pool.map(self.read, range(there)):
                assert entry is not None
                self.add(entry["logs"])

    def patiently(self, ask: Callable[[], Answer]) -> Answer:
        """Ask the store, again and again while it does not answer and there is time.

        Raises
        ------
        BusyError
            If there is no more time.
        """
        while True:
            try:
                return ask()
            except BusyError:
                if time.time() > self.until:
                    raise
            time.sleep(PAUSE * random.uniform(0.5, 1.5))  # not all machines at once


def name_of(number: int) -> str:
    """Name of an entry."""
    return f"{number:08}.json"
