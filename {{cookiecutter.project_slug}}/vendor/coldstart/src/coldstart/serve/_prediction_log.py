"""The record: predictions are kept in Parquet files, for `make monitor`."""

from __future__ import annotations

import datetime as dt
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple
from zlib import crc32

from prometheus_client import Counter

from coldstart.config._settings import PredictionLogSettings as Choice
from coldstart.contract._contract import Contract
from coldstart.errors import UserError
from coldstart.serve._schemas import Row
from coldstart.serve._tables import arrow_array, arrow_type

EVERY = 10.0  # seconds between two files
FULL = 5_000  # rows that make a file before that
MOST = 20_000  # rows that may wait to be written; more are dropped, and counted
AT_ONCE = 500  # rows that are turned to columns before others may go on
DRIFT = "drift.json"

log = logging.getLogger(__name__)


class Entry(NamedTuple):
    """A request that was answered, or for a shadow is still to be."""

    request: str
    time: dt.datetime
    role: str
    version: str
    rows: list[Row]
    answers: list[dict[str, Any]] | Callable[[], tuple[list[dict[str, Any]], str]]


class Files:
    """The folder of predictions.

    Parameters
    ----------
    contract
        Columns that it marks personal are left out.
    classes
        Of the target, none if it is a quantity.

    Raises
    ------
    UserError
        If the folder cannot be written to.
    """

    def __init__(self, choice: Choice, contract: Contract, classes: list[str]) -> None:
        assert choice.folder is not None
        self.folder, self.room, self.classes = choice.folder, choice.megabytes * 1e6, classes
        self.columns = {
            name: arrow_type(column)
            for name, column in contract.features.items()
            if not column.personal
        }
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / f".{os.getpid()}").touch()
            (self.folder / f".{os.getpid()}").unlink()
        except OSError as error:
            raise UserError(f"serving.record: {self.folder}: {error.strerror}") from None

    def write(self, entries: list[Entry]) -> None:
        """Make a file of predictions, and room for it."""
        from arro3.core import Table
        from arro3.io import write_parquet

        name = f"{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S.%f}-{os.getpid()}.parquet"
        unfinished = self.folder / f".{name}"
        # In parts, between which the event loop gets its turn.
        table = Table.from_batches([self._batch(part) for part in parts(entries)])
        try:
            write_parquet(table, unfinished, compression="zstd(3)")
            unfinished.replace(self.folder / name)
        except OSError:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
            raise
        self._forget()

    def _batch(self, entries: list[Entry]) -> Any:
        from arro3.core import Array, DataType, RecordBatch

        text, number = DataType.string(), DataType.float64()
        said: list[dict[str, Any]] = []
        versions: list[str] = []
        for entry in entries:
            answers, version = (
                entry.answers() if callable(entry.answers) else (entry.answers, entry.version)
            )
            said += answers
            versions += [version] * len(answers)
        each = [(entry, place) for entry in entries for place in range(len(entry.rows))]
        times = [entry.time for entry, _ in each]
        arrays: dict[str, Any] = {
            "__request__": Array([entry.request for entry, _ in each], text),
            "__row__": Array([place for _, place in each], DataType.int32()),
            "__time__": arrow_array(times, DataType.timestamp("us", tz="UTC")),
            "__version__": Array(versions, text),
            "__role__": Array([entry.role for entry, _ in each], text),
        }
        rows = [row for entry in entries for row in entry.rows]
        for column, type_ in self.columns.items():
            arrays[column] = arrow_array([row.get(column) for row in rows], type_)
        if self.classes:
            last = self.classes[-1]
            shares = [answer["probabilities"][last] for answer in said]
            arrays["__label__"] = Array([answer["label"] for answer in said], text)
            arrays["__probability__"] = Array([answer["probability"] for answer in said], number)
            arrays["__prediction__"] = Array(shares, number)
        else:
            arrays["__prediction__"] = Array([answer["value"] for answer in said], number)
        return RecordBatch(arrays)

    def _forget(self) -> None:
        """Delete the oldest files where all together take more room than they may."""
        left = self.room
        for path in sorted(self.folder.glob("[!.]*.parquet"), reverse=True):
            with suppress(FileNotFoundError):  # another worker was quicker
                left -= path.stat().st_size
                if left < 0:
                    path.unlink()


def parts(entries: list[Entry]) -> Iterator[list[Entry]]:
    """Entries in groups of a few rows; one with many stays whole."""
    part: list[Entry] = []
    rows = 0
    for entry in entries:
        part.append(entry)
        rows += len(entry.rows)
        if rows >= AT_ONCE:
            yield part
            part, rows = [], 0
    if part:
        yield part


class Recorder:
    """Keeps predictions; a thread writes them, and nobody waits for it.

    Parameters
    ----------
    counter
        Counts the rows that were kept, and those that were dropped.
    """

    def __init__(self, files: Files, share: float, counter: Counter) -> None:
        self.files, self.share = files, share
        self.kept, self.dropped = counter.labels("kept"), counter.labels("dropped")
        self._waiting: list[Entry] = []
        self._rows = 0
        self._lock, self._due, self._ended = threading.Lock(), threading.Event(), False
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def wants(self, request: str) -> bool:
        """Whether a request is in the share that is kept; the same one always is or is not."""
        return crc32(request.encode()) < self.share * 2**32

    def keep(self, entry: Entry) -> None:
        """Put a prediction in; it is dropped where too many wait."""
        rows = len(entry.rows)
        with self._lock:
            if self._rows + rows > MOST:
                self.dropped.inc(rows)
                return
            self._waiting.append(entry)
            self._rows += rows
        if self._rows >= FULL:
            self._due.set()

    def close(self) -> None:
        """Write what waits, and end."""
        self._ended = True
        self._due.set()
        self._thread.join()

    def _write(self) -> None:
        ended = False
        while not ended:
            self._due.wait(EVERY)
            self._due.clear()
            ended = self._ended  # what was put in before is still written
            with self._lock:
                waiting, self._waiting, self._rows = self._waiting, [], 0
            if not waiting:
                continue
            rows = sum(len(entry.rows) for entry in waiting)
            try:
                self.files.write(waiting)
            except Exception:  # whatever goes wrong here must not stop the answers
                self.dropped.inc(rows)
                log.exception("%s rows could not be kept in %s", rows, self.files.folder)
            else:
                self.kept.inc(rows)
