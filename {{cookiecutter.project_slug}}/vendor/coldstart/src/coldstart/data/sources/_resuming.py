"""Resuming the import of an API's records: what is here already, also after a kill."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import Any

from coldstart.data.sources._api_description import ApiDescription
from coldstart.data.sources._import_log import ImportRecord
from coldstart.errors import UserError


class ResumeState:
    """Which records are here already, and from where to request more.

    Parameters
    ----------
    api : ApiDescription
        How the API is requested.
    state : dict
        State of the import before.
    previous : ImportRecord or None
        The import before.
    part : Path
        File of the records that an interrupted import received.

    Attributes
    ----------
    rows : int
        Number of records in this import.
    start : object
        Cursor to request from. Records with this very value may be here in part.
    last : object
        Greatest cursor so far.
    """

    def __init__(
        self, api: ApiDescription, state: dict[str, Any], previous: ImportRecord | None, part: Path
    ) -> None:
        self.api, self.rows = api, 0
        self.last = self.start = state.get("cursor", api.start)
        self.seen: set[bytes] = set()
        for name, end in state.get("ends", {}).items():
            if previous and end == self.start:
                self.add_seen(previous.path / name, self.start)
        ordered, latest = api.order == "ascending", None
        for record in whole_lines(part):
            self.add(record)
            if api.cursor:
                value = self.value(record)
                ordered, latest = ordered and (latest is None or latest <= value), value
        # In order, all up to the last one is here; else those before it may be missing.
        if ordered and latest is not None:
            self.start = latest

    def add_seen(self, path: Path, cursor: Any) -> None:
        """Note the records of a file that have this cursor."""
        with path.open(encoding="utf-8") as file:
            for line in file:
                record = json.loads(line)
                if not self.api.cursor or self.value(record) == cursor:
                    self.seen.add(self.identity(record))

    def add(self, record: dict[str, Any]) -> bool:
        """Note a record, and return whether it is new."""
        identity = self.identity(record)
        if identity in self.seen:
            return False
        self.seen.add(identity)
        self.rows += 1
        if self.api.cursor:
            value = self.value(record)
            self.last = value if self.last is None else max(self.last, value)
        return True

    def value(self, record: dict[str, Any]) -> Any:
        """Return the cursor of a record."""
        try:
            found = reduce(
                lambda part, name: part[name], (self.api.cursor or "").split("."), record
            )
        except (KeyError, TypeError):
            found = None
        if found is None:
            raise UserError(
                f"a record has no {self.api.cursor!r} (cursor); it has: {', '.join(record)}"
            )
        return found

    def identity(self, record: dict[str, Any]) -> bytes:
        """Return a hash of a record's key, or of all of it. A changed record has another cursor."""
        known: Any = record
        if self.api.key:
            if missing := [name for name in self.api.key if name not in record]:
                raise UserError(
                    f"a record has no {missing[0]!r} (key); it has: {', '.join(record)}"
                )
            known = [record[name] for name in self.api.key]
            known.append(self.value(record) if self.api.cursor else None)
        text = json.dumps(known, sort_keys=True, default=str)
        return hashlib.blake2b(text.encode(), digest_size=16).digest()


def whole_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of an interrupted file, and cut off a last line that is incomplete."""
    end = 0
    if not path.exists():
        return
    with path.open("r+b") as file:
        for line in file:
            if not line.endswith(b"\n"):
                break
            end += len(line)
            yield json.loads(line)
        file.truncate(end)
