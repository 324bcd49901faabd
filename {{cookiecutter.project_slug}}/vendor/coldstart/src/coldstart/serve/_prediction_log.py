"""The prediction log: predictions are kept in Parquet files, for `make monitor`."""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple
from zlib import crc32

from prometheus_client import Counter

from coldstart.config._sections import PredictionLogSettings
from coldstart.contract._contract import Contract
from coldstart.errors import UserError
from coldstart.serve._schemas import REF, Row, passes_ref
from coldstart.serve._tables import arrow_array, arrow_type

WRITE_SECONDS = 10.0  # between two files
FILE_ROWS = 5_000  # that make a file before that
MAX_WAITING = 20_000  # rows that may wait to be written; more are dropped, and counted
PART_ROWS = 500  # that are turned to columns before other threads get their turn
DRIFT = "drift.json"

log = logging.getLogger(__name__)


class LogEntry(NamedTuple):
    """A request with its predictions, or for a shadow a function that makes them.

    Parameters
    ----------
    request : str
        Id of the request.
    time : datetime
        Time of the prediction, in UTC.
    role : {"champion", "challenger", "shadow"}
        Role of the model.
    version : str
        Version of the model.
    rows : list of dict
        Typed values by column, and `ref` if the request has one.
    predictions : list of dict, or callable
        One for each row, or a function that returns them and the version.
    """

    request: str
    time: dt.datetime
    role: str
    version: str
    rows: list[Row]
    predictions: list[dict[str, Any]] | Callable[[], tuple[list[dict[str, Any]], str]]


class LogFolder:
    """The folder of logged predictions.

    Parameters
    ----------
    settings : PredictionLogSettings
        The section `serving.record` of config.yaml.
    contract : Contract
        The data contract. Personal columns are not logged.
    classes : list of str
        Classes of the target; empty for regression.

    Raises
    ------
    UserError
        If the folder cannot be written to.
    """

    def __init__(
        self, settings: PredictionLogSettings, contract: Contract, classes: list[str]
    ) -> None:
        assert settings.folder is not None
        self.path, self.max_bytes, self.classes = settings.folder, settings.megabytes * 1e6, classes
        self.passes_ref = passes_ref(contract)
        self.columns = {
            name: arrow_type(column)
            for name, column in contract.features.items()
            if not column.personal
        }
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / f".{os.getpid()}").touch()
            (self.path / f".{os.getpid()}").unlink()
        except OSError as error:
            raise UserError(f"serving.record: {self.path}: {error.strerror}") from None

    def write(self, entries: list[LogEntry]) -> None:
        """Write a file of predictions, and delete the oldest files above the size limit."""
        from arro3.core import Table
        from arro3.io import write_parquet

        name = f"{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S.%f}-{os.getpid()}.parquet"
        unfinished = self.path / f".{name}"
        # In parts, between which the event loop gets its turn.
        table = Table.from_batches([self._batch(part) for part in parts(entries)])
        try:
            write_parquet(table, unfinished, compression="zstd(3)")
            unfinished.replace(self.path / name)
        except OSError:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
            raise
        self._delete_oldest()

    def _batch(self, entries: list[LogEntry]) -> Any:
        from arro3.core import Array, DataType, RecordBatch

        text, number = DataType.string(), DataType.float64()
        predictions: list[dict[str, Any]] = []
        versions: list[str] = []
        for entry in entries:
            made, version = (
                entry.predictions()
                if callable(entry.predictions)
                else (entry.predictions, entry.version)
            )
            predictions += made
            versions += [version] * len(made)
        each = [(entry, place) for entry in entries for place in range(len(entry.rows))]
        times = [entry.time for entry, _ in each]
        rows = [row for entry in entries for row in entry.rows]
        refs = [row.get(REF) if self.passes_ref else None for row in rows]
        arrays: dict[str, Any] = {
            "__request__": Array([entry.request for entry, _ in each], text),
            "__row__": Array([place for _, place in each], DataType.int32()),
            "__ref__": Array(refs, text),
            "__time__": arrow_array(times, DataType.timestamp("us", tz="UTC")),
            "__version__": Array(versions, text),
            "__role__": Array([entry.role for entry, _ in each], text),
        }
        for column, type_ in self.columns.items():
            arrays[column] = arrow_array([row.get(column) for row in rows], type_)
        if self.classes:
            last = self.classes[-1]
            shares = [one["probabilities"][last] for one in predictions]
            arrays["__label__"] = Array([one["label"] for one in predictions], text)
            arrays["__probability__"] = Array([one["probability"] for one in predictions], number)
            arrays["__prediction__"] = Array(shares, number)
            if len(self.classes) > 2:  # a list in JSON, as in files of predictions
                sets = [one.get("set") for one in predictions]
                arrays["__set__"] = Array(
                    [None if one is None else json.dumps(one, ensure_ascii=False) for one in sets],
                    text,
                )
        else:
            arrays["__prediction__"] = Array([one["value"] for one in predictions], number)
        return RecordBatch(arrays)

    def _delete_oldest(self) -> None:
        left = self.max_bytes
        for path in sorted(self.path.glob("[!.]*.parquet"), reverse=True):
            with suppress(FileNotFoundError):  # another worker was quicker
                left -= path.stat().st_size
                if left < 0:
                    path.unlink()


def parts(entries: list[LogEntry]) -> Iterator[list[LogEntry]]:
    """Yield entries in groups of a few rows; one with many stays whole."""
    part: list[LogEntry] = []
    rows = 0
    for entry in entries:
        part.append(entry)
        rows += len(entry.rows)
        if rows >= PART_ROWS:
            yield part
            part, rows = [], 0
    if part:
        yield part


class PredictionLog:
    """The log of predictions; a thread writes it, and no request waits for that.

    Parameters
    ----------
    folder : LogFolder
        Where the files go.
    share : float
        Share of the requests that are logged.
    counter : Counter
        Counts the rows that were kept, and those that were dropped.
    """

    def __init__(self, folder: LogFolder, share: float, counter: Counter) -> None:
        self.folder, self.share = folder, share
        self.kept, self.dropped = counter.labels("kept"), counter.labels("dropped")
        self._waiting: list[LogEntry] = []
        self._rows = 0
        self._lock, self._due, self._ended = threading.Lock(), threading.Event(), False
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def includes(self, request: str) -> bool:
        """Return whether a request is in the logged share; for one id it is the same each time."""
        return crc32(request.encode()) < self.share * 2**32

    def add(self, entry: LogEntry) -> None:
        """Add predictions; they are dropped if too many are waiting."""
        rows = len(entry.rows)
        with self._lock:
            if self._rows + rows > MAX_WAITING:
                self.dropped.inc(rows)
                return
            self._waiting.append(entry)
            self._rows += rows
        if self._rows >= FILE_ROWS:
            self._due.set()

    def close(self) -> None:
        """Write the waiting entries, and end the thread."""
        self._ended = True
        self._due.set()
        self._thread.join()

    def _write(self) -> None:
        ended = False
        while not ended:
            self._due.wait(WRITE_SECONDS)
            self._due.clear()
            ended = self._ended  # what was added before is still written
            with self._lock:
                waiting, self._waiting, self._rows = self._waiting, [], 0
            if not waiting:
                continue
            rows = sum(len(entry.rows) for entry in waiting)
            try:
                self.folder.write(waiting)
            except Exception:  # whatever goes wrong here must not stop the predictions
                self.dropped.inc(rows)
                log.exception("%s rows could not be kept in %s", rows, self.folder.path)
            else:
                self.kept.inc(rows)
