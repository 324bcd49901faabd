"""Files of rows: a CSV or an Arrow stream is read, and its predictions written, in slices.

The API starts a separate process for each file (`serve._files`), which ends with the file. A
malicious file can only crash that process, and other requests do not wait for it.

The file is not loaded into memory as a whole. Values are validated by the same types as those of
JSON: the smallest and the largest number, and each distinct value of other types.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import itertools
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

import numpy as np
from pydantic import TypeAdapter, ValidationError

from coldstart._project import Project
from coldstart.bundle._predictor import BundlePredictor
from coldstart.contract._contract import EncodedFeatures
from coldstart.contract._derived import register_derived
from coldstart.contract.columns import Boolean, Number
from coldstart.serve._schemas import NO_LAG, REF, Ref, passes_ref
from coldstart.serve._tables import arrow_type, as_numbers, convert, distinct

if TYPE_CHECKING:  # see _tables
    from arro3.core import Array, DataType, RecordBatch, RecordBatchReader

SLICE_ROWS = 8_192
HELD_BYTES = 2**20  # of predictions; errors in rows before them are still reported as status 422
MAX_MEMORY = 4 * 2**30  # bytes
# Compressed rows, or rows without any value, may be so many that a few bytes take minutes.
UNPACKED, RATIO = 64 * 2**20, 200  # bytes; larger rows of a file that packs better are refused
VALUE_BYTES = 8
CSV, ARROW = "text/csv", "application/vnd.apache.arrow.stream"
UNREADABLE = re.compile(r"value '(.*)' as type '(\w+)' for column (\d+) at line (\d+)", re.DOTALL)
Columns = dict[str, "Array"]
OnSlice = Callable[[Columns, np.ndarray], None]


class RowsError(Exception):
    """Rows that are refused; `detail` has the reason and the place, as for a body in JSON."""

    def __init__(self, why: str, *where: int | str) -> None:
        super().__init__(why)
        self.detail = [{"loc": ["body", *where], "msg": why, "type": "value_error"}]


class CountedReader(io.RawIOBase):
    """A file that counts what is read of it.

    Parameters
    ----------
    file : file
        The file.

    Attributes
    ----------
    received : int
        Number of bytes.
    """

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self.file, self.received = file, 0

    def read(self, size: int = -1) -> bytes:
        """Read from the file."""
        content = self.file.read(size)
        self.received += len(content)
        return content


class BulkPredictor:
    """Predictions of a file of rows, as a file of the same kind.

    Parameters
    ----------
    kind : str
        `CSV` or `ARROW`, of both files.
    predictor : BundlePredictor
        The model.
    on_slice : callable
        Called with each slice: its columns, and the prediction of shape (n, classes) or (n, 1).
    """

    def __init__(self, kind: str, predictor: BundlePredictor, on_slice: OnSlice) -> None:
        self.kind, self.predictor, self.contract = kind, predictor, predictor.contract
        self.on_slice = on_slice
        self.columns = dict(predictor.contract.features)
        self.types: dict[str, Any] = {
            name: column.request_type() for name, column in self.columns.items()
        }
        if passes_ref(self.contract):
            self.types[REF] = Ref | None
        self.refusal: RowsError | None = None
        self.done = 0  # rows

    def predict(self, body: BinaryIO, out: BinaryIO) -> None:
        """Read rows from one file, and write their predictions to the other.

        Parameters
        ----------
        body : file
            The rows.
        out : file
            The columns are those of `make predict`, and `ref` if the rows have it.

        Raises
        ------
        RowsError
            If the rows cannot be read or one violates the contract. The predictions of slices
            before it may have been written.
        """
        from arro3.core import RecordBatchReader
        from arro3.io import write_csv, write_ipc_stream

        batches = self.batches(body)
        first = next(batches)
        predictions = RecordBatchReader.from_batches(
            first.schema, itertools.chain([first], batches)
        )
        try:
            if self.kind == CSV:
                write_csv(predictions, out)
            else:
                write_ipc_stream(predictions, out, compression=None)
        except Exception:
            if self.refusal:  # of what the generator raises, the writer keeps the words alone
                raise self.refusal from None
            raise

    def batches(self, body: BinaryIO) -> Iterator[RecordBatch]:
        """Yield the predictions of each slice."""
        from arro3.core import Array, DataType, RecordBatch

        names, conformal = self.predictor.manifest.classes, self.predictor.manifest.conformal
        classes = np.array(names, dtype=object)
        try:
            for columns, rows in self.slices(body):
                prediction = self.predictor.predict(self.encode(columns, rows))
                arrays = dict[str, Any]()
                if names:
                    labels = self.predictor.labels(prediction)
                    arrays["label"] = Array(classes[labels].tolist(), DataType.string())
                    if conformal and (sets := conformal.describe_sets(prediction, labels, names)):
                        arrays["set"] = Array(sets, DataType.string())
                titles = [f"probability {name}" for name in names] or ["value"]
                # As float64, which prints as the predictions in JSON do.
                shares = [*prediction.T.astype(np.float64)]
                if not names and conformal and (ends := conformal.bounds(shares[0])):
                    titles, shares = [*titles, "low", "high"], [*shares, *ends]
                for title, share in zip(titles, shares, strict=True):
                    arrays[title] = Array.from_numpy(np.ascontiguousarray(share))
                if REF in columns and REF not in self.columns:
                    arrays[REF] = columns[REF]
                self.on_slice(columns, prediction)
                self.done += rows
                yield RecordBatch(arrays)
            if not self.done:
                raise RowsError("there are no rows")
        except RowsError as error:
            self.refusal = error
            raise

    def slices(self, body: BinaryIO) -> Iterator[tuple[Columns, int]]:
        """Yield the columns of a few thousand rows, in the types that the API takes."""
        from arro3.core import DataType
        from arro3.io import read_ipc_stream

        names: list[str] = []
        counted: Any = CountedReader(body)
        unpacked = 0
        try:
            reader = self.read_csv(body) if self.kind == CSV else read_ipc_stream(counted)
            names = reader.schema.names
            self.check_names(names)
            width = sum(not DataType.is_null(one) for one in reader.schema.types) or 1
            for batch in reader:
                unpacked += batch.num_rows * width * VALUE_BYTES
                if self.kind == ARROW and unpacked > max(UNPACKED, RATIO * counted.received):
                    raise RowsError(
                        f"unpacked, the rows are more than {RATIO} times as large as the file; "
                        "send it without compression"
                    )
                for start in range(0, batch.num_rows, SLICE_ROWS):
                    part = batch.slice(start, min(SLICE_ROWS, batch.num_rows - start))
                    yield (
                        {name: self.convert(name, part.column(name)) for name in names},
                        part.num_rows,
                    )
        except RowsError:
            raise
        except BaseException as error:  # arro3's own have no common class, and may be panics
            if isinstance(error, GeneratorExit | KeyboardInterrupt):
                raise
            self.refuse_unreadable(str(error), names)

    def read_csv(self, body: BinaryIO) -> RecordBatchReader:
        """Read a CSV whose first line names the columns; values are written as in JSON."""
        from arro3 import io as arrow
        from arro3.core import Field, Schema

        line = body.readline(1_000_000).decode("utf-8-sig", errors="replace")
        names = next(csv.reader([line]), [])
        self.check_names(names)
        fields = [Field(name, self.arrow_type(name), nullable=True) for name in names]
        return arrow.read_csv(body, Schema(fields), has_header=False, batch_size=SLICE_ROWS)

    def arrow_type(self, name: str) -> DataType:
        """Return the type of a column's values, as the API takes them."""
        from arro3.core import DataType

        return arrow_type(self.columns[name]) if name in self.columns else DataType.string()

    def check_names(self, names: list[str]) -> None:
        """Refuse columns that are unknown, repeated, or missing."""
        for name in names:
            if name not in self.types:
                self.refuse(name, 0, "there is no such column")
            if names.count(name) > 1:
                self.refuse(name, 0, "the column is there twice")
        for name, column in self.columns.items():
            if name not in names and (name in self.contract.lags or not column.nullable):
                self.refuse(name, 0, "the column is missing")

    def convert(self, name: str, array: Array) -> Array:
        """Convert a column to the type that the API takes."""
        type_ = self.arrow_type(name)
        converted = convert(array, type_)
        if converted is None:
            self.refuse(name, 0, f"expected {type_}, not {array.type}")
        if name not in self.columns and (error := self.error(name, list(converted.to_pylist()))):
            self.refuse(name, error["loc"][0], error["msg"])
        return converted

    def encode(self, columns: Columns, rows: int) -> EncodedFeatures:
        """Check the features of a slice, and encode them."""
        encoded: dict[str, list[Any]] = {"numbers": [], "strings": []}
        for name, column in self.columns.items():
            array = columns.get(name)
            if array is None:
                encoded[column.matrix] += column.encode([None] * rows)
                continue
            if array.null_count and not column.nullable and name not in self.contract.lags:
                self.refuse(name, list(array.to_pylist()).index(None), "a value is needed")
            if isinstance(column, Number | Boolean):
                encoded["numbers"] += column.encode(self.numbers(name, array))
            else:
                encoded[column.matrix] += self.others(name, array)
        if lags := list(self.contract.target_lags):
            known = np.any([~np.isnan(as_numbers(columns[name])) for name in lags], axis=0)
            if not known.all():
                self.refuse(lags[0], int(known.argmin()), NO_LAG.format(", ".join(lags)))
        return self.contract.assemble(encoded)

    def numbers(self, name: str, array: Array) -> Any:
        """Return values as float64, NaN where missing."""
        values = as_numbers(array)
        known = values[~np.isnan(values)]
        if len(known) and isinstance(self.columns[name], Number):
            for extreme in (known.min(), known.max()):
                if error := self.error(name, [float(extreme)]):
                    self.refuse(name, int(np.flatnonzero(values == extreme)[0]), error["msg"])
        return values

    def others(self, name: str, array: Array) -> list[np.ndarray]:
        """Return encoded columns; each different value is checked and encoded once."""
        column = self.columns[name]
        indices, different = distinct(array)
        if error := self.error(name, different):
            self.refuse(name, int(np.flatnonzero(indices == error["loc"][0])[0]), error["msg"])
        kind = object if column.matrix == "strings" else np.float64
        encoded = column.encode([*different, None])  # the last stands for what is missing
        return [np.array(values, dtype=kind)[indices] for values in encoded]

    def error(self, name: str, values: Sequence[Any]) -> Any:
        """Return the first error in values of a column; None if there is none."""
        kind: Any = self.types[name]
        try:
            TypeAdapter(list[kind]).validate_python(values)
        except ValidationError as error:
            return error.errors()[0]
        return None

    def refuse_unreadable(self, message: str, names: list[str]) -> NoReturn:
        """Refuse a file that cannot be read, with its reader's message or a clearer one."""
        if found := UNREADABLE.search(message):
            value, type_, column, row = found.groups()
            self.done = 0  # this row is counted from the first
            self.refuse(names[int(column)], int(row), f"expected {type_}, not {value[:100]!r}")
        message = message.rpartition("error: ")[2][:200]
        raise RowsError(f"cannot be read after row {self.done}: {message}")

    def refuse(self, column: str, row: int, why: str) -> NoReturn:
        """Refuse a value, as a body in JSON is refused."""
        raise RowsError(why, self.done + row, column)


class SliceLogger:
    """A log of slices for `make monitor`, each in a file.

    Parameters
    ----------
    predictor : BundlePredictor
        The model.
    settings : dict or None
        Settings of the prediction log; None: nothing is logged.
    request : str
        Id of the request.
    """

    def __init__(
        self, predictor: BundlePredictor, settings: dict[str, Any] | None, request: str
    ) -> None:
        self.predictor, self.settings, self.request = predictor, settings, request

    def __call__(self, columns: Columns, prediction: np.ndarray) -> None:
        """Log a slice."""
        if self.settings is None:
            return
        # Imported here, since they load the whole API.
        from coldstart.config._sections import PredictionLogSettings
        from coldstart.serve._prediction_log import LogEntry, LogFolder

        settings = PredictionLogSettings.model_validate(self.settings)
        values = [array.to_pylist() for array in columns.values()]
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]
        now, predictions = dt.datetime.now(dt.UTC), self.predictor.describe(prediction)
        entry = LogEntry(self.request, now, "champion", self.predictor.number, rows, predictions)
        LogFolder(settings, self.predictor.contract, self.predictor.manifest.classes).write([entry])


def main(arguments: str) -> None:
    """Predict the rows of standard input on standard output; report as JSON on standard error.

    Parameters
    ----------
    arguments : str
        JSON: the `bundle`'s folder and `fingerprint` (another bundle may have come into the
        folder, which the API does not serve yet), the `kind` of file, where the `derived`
        columns are, the id of the `request`, and settings of the prediction `log`, if it is kept.
    """
    limit_memory()
    given = json.loads(arguments)
    if given["derived"]:
        register_derived(Project(derived=given["derived"]).load("derived"))
    predictor = BundlePredictor(Path(given["bundle"]), given["providers"])
    bulk = BulkPredictor(
        given["kind"], predictor, SliceLogger(predictor, given["log"], given["request"])
    )
    report: dict[str, Any] = {"version": predictor.number}
    body = os.fdopen(0, "rb")
    out = os.fdopen(1, "wb", buffering=HELD_BYTES)
    try:
        if predictor.fingerprint != given["fingerprint"]:
            raise RowsError("the model is being replaced; try again")
        bulk.predict(body, out)
        out.flush()
    except RowsError as error:
        report["detail"] = error.detail
    print(json.dumps({"rows": bulk.done, **report}), file=sys.stderr, flush=True)
    os._exit("detail" in report)  # immediately: what `out` still holds is half a response


def limit_memory() -> None:
    """Limit the memory of this process, so that a file cannot exhaust the machine's.

    Where the machine has less, this process is ended rather than the API: a few bytes of a stream
    can declare gigabytes.
    """
    with suppress(OSError):  # of another system than Linux
        Path("/proc/self/oom_score_adj").write_text("1000")
    try:
        import resource
    except ImportError:  # on Windows
        return
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))


if __name__ == "__main__":
    main(*sys.argv[1:])
