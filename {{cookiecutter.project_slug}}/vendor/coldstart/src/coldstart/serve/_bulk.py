"""Many rows at once: a CSV or an Arrow stream comes in, and its answers go out, slice by slice.

The API starts this as a process of its own (`serving.files`), which ends with the file. What is
hostile may end it as well, and no other request is held up meanwhile.

Neither the rows nor the answers are ever whole in memory. Values are checked by the same types
as those of JSON: of numbers the smallest and the largest, of all others each different one.
"""

from __future__ import annotations

import csv
import datetime as dt
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

import numpy as np
from pydantic import TypeAdapter, ValidationError

from coldstart.bundle._predictor import BundlePredictor
from coldstart.config._settings import PredictionLogSettings
from coldstart.contract._contract import EncodedFeatures
from coldstart.contract.columns import Boolean, Number
from coldstart.serve._tables import arrow_type, as_numbers, converted, distinct

if TYPE_CHECKING:  # see tables
    from arro3.core import Array, RecordBatch, RecordBatchReader, Schema

ROWS = 8_192  # in a slice
HELD = 2**20  # bytes of answers; what is wrong with rows before them is still told with status 422
MEMORY = 4 * 2**30  # bytes
CSV, ARROW = "text/csv", "application/vnd.apache.arrow.stream"
UNREADABLE = re.compile(r"value '(.*)' as type '(\w+)' for column (\d+) at line (\d+)", re.DOTALL)
Columns = dict[str, "Array"]
Seen = Callable[[Columns, np.ndarray], None]


class RowsError(Exception):
    """Rows that are not answered; `detail` says why and where, as of a body in JSON."""

    def __init__(self, why: str, *where: int | str) -> None:
        super().__init__(why)
        self.detail = [{"loc": ["body", *where], "msg": why, "type": "value_error"}]


class Bulk:
    """Answers a file of rows with a file of answers.

    Parameters
    ----------
    kind
        `CSV` or `ARROW`, of both files.
    seen
        Is told of each slice: its columns, and what was predicted, shape (n, classes) or (n, 1).
    """

    def __init__(self, kind: str, predictor: BundlePredictor, seen: Seen) -> None:
        self.kind, self.predictor, self.contract, self.seen = kind, predictor, predictor.contract, seen
        self.refusal: RowsError | None = None
        self.done = 0  # rows

    def answer(self, body: BinaryIO, out: BinaryIO) -> None:
        """Read rows from one file, and write their answers to the other.

        Raises
        ------
        RowsError
            If the rows cannot be read or one breaks the contract. Slices before it may have
            been answered.
        """
        from arro3.core import RecordBatchReader
        from arro3.io import write_csv, write_ipc_stream

        answers = RecordBatchReader.from_batches(self.schema(), self.answers(body))
        try:
            if self.kind == CSV:
                write_csv(answers, out)
            else:
                write_ipc_stream(answers, out, compression=None)
        except Exception:
            if self.refusal:  # of what the generator raises, the writer hands the words on only
                raise self.refusal from None
            raise

    def schema(self) -> Schema:
        """Columns of the answers, named as `make predict` names them."""
        from arro3.core import DataType, Field, Schema

        classes = self.predictor.manifest.classes
        if not classes:
            return Schema([Field("value", DataType.float64())])
        shares = [Field(f"probability {name}", DataType.float64()) for name in classes]
        return Schema([Field("label", DataType.string()), *shares])

    def answers(self, body: BinaryIO) -> Iterator[RecordBatch]:
        """Yield the answers to each slice."""
        from arro3.core import Array, DataType, RecordBatch

        classes, schema = np.array(self.predictor.manifest.classes, dtype=object), self.schema()
        try:
            for columns, rows in self.slices(body):
                prediction = self.predictor.predict(self.encode(columns, rows))
                # As float64, which prints as the answers in JSON do.
                shares = [
                    Array.from_numpy(np.ascontiguousarray(share))
                    for share in prediction.T.astype(np.float64)
                ]
                if len(classes):
                    labels = classes[self.predictor.labels(prediction)].tolist()
                    shares.insert(0, Array(labels, DataType.string()))
                self.seen(columns, prediction)
                self.done += rows
                yield RecordBatch.from_arrays(shares, schema=schema)
            if not self.done:
                raise RowsError("there are no rows")
        except RowsError as error:
            self.refusal = error
            raise

    def slices(self, body: BinaryIO) -> Iterator[tuple[Columns, int]]:
        """Yield the columns of a few thousand rows, in the types that the API takes."""
        from arro3.io import read_ipc_stream

        names: list[str] = []
        try:
            reader = self.read_csv(body) if self.kind == CSV else read_ipc_stream(body)
            names = reader.schema.names
            self.check_names(names)
            for batch in reader:
                for start in range(0, batch.num_rows, ROWS):
                    part = batch.slice(start, min(ROWS, batch.num_rows - start))
                    yield (
                        {name: self.typed(name, part.column(name)) for name in names},
                        part.num_rows,
                    )
        except RowsError:
            raise
        except BaseException as error:  # arro3's own have no common class, and may be panics
            if isinstance(error, GeneratorExit | KeyboardInterrupt):
                raise
            self.tell(str(error), names)

    def read_csv(self, body: BinaryIO) -> RecordBatchReader:
        """Read a CSV whose first line names the columns; values are written as in JSON."""
        from arro3 import io as arrow
        from arro3.core import Field, Schema

        line = body.readline(1_000_000).decode("utf-8-sig", errors="replace")
        names = next(csv.reader([line]), [])
        self.check_names(names)
        types = [arrow_type(self.contract.features[name]) for name in names]
        fields = [Field(*pair, nullable=True) for pair in zip(names, types, strict=True)]
        return arrow.read_csv(body, Schema(fields), has_header=False, batch_size=ROWS)

    def check_names(self, names: list[str]) -> None:
        """Refuse columns that are unknown, there twice, or missing."""
        for name in names:
            if name not in self.contract.features:
                self.refuse(name, 0, "there is no such column")
            if names.count(name) > 1:
                self.refuse(name, 0, "the column is there twice")
        for name, column in self.contract.features.items():
            if name not in names and (name in self.contract.lags or not column.nullable):
                self.refuse(name, 0, "the column is missing")

    def typed(self, name: str, array: Array) -> Array:
        """Convert a column to the type that the API takes."""
        type_ = arrow_type(self.contract.features[name])
        found = converted(array, type_)
        if found is None:
            self.refuse(name, 0, f"expected {type_}, not {array.type}")
        return found

    def encode(self, columns: Columns, rows: int) -> EncodedFeatures:
        """Check the features of a slice, and encode them."""
        encoded: dict[str, list[Any]] = {"numbers": [], "strings": []}
        for name, column in self.contract.features.items():
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
        return self.contract.assemble(encoded)

    def numbers(self, name: str, array: Array) -> Any:
        """Values as float64, NaN where missing."""
        values = as_numbers(array)
        known = values[~np.isnan(values)]
        if len(known) and isinstance(self.contract.columns[name], Number):
            for extreme in (known.min(), known.max()):
                if wrong := self.wrong(name, [float(extreme)]):
                    self.refuse(name, int(np.flatnonzero(values == extreme)[0]), wrong["msg"])
        return values

    def others(self, name: str, array: Array) -> list[np.ndarray]:
        """Encoded columns; each different value is looked at once."""
        column = self.contract.columns[name]
        feature_slices, different = distinct(array)
        if wrong := self.wrong(name, different):
            self.refuse(name, int(np.flatnonzero(feature_slices == wrong["loc"][0])[0]), wrong["msg"])
        kind = object if column.matrix == "strings" else np.float64
        encoded = column.encode([*different, None])  # the last stands for what is missing
        return [np.array(values, dtype=kind)[feature_slices] for values in encoded]

    def wrong(self, name: str, values: list[Any]) -> Any:
        """Say what is wrong with values of a column; None if nothing is."""
        kind: Any = self.contract.features[name].request_type()
        try:
            TypeAdapter(list[kind]).validate_python(values)
        except ValidationError as error:
            return error.errors()[0]
        return None

    def tell(self, message: str, names: list[str]) -> NoReturn:
        """Refuse a file that cannot be read, in its reader's words or in better ones."""
        if found := UNREADABLE.search(message):
            value, type_, column, row = found.groups()
            self.done = 0  # this row is counted from the first
            self.refuse(names[int(column)], int(row), f"expected {type_}, not {value[:100]!r}")
        message = message.rpartition("error: ")[2][:200]
        raise RowsError(f"cannot be read after row {self.done}: {message}")

    def refuse(self, column: str, row: int, why: str) -> NoReturn:
        """Refuse a value, as a body in JSON is refused."""
        raise RowsError(why, self.done + row, column)


class Keeper:
    """Keeps slices for `make monitor`, each in a file.

    Parameters
    ----------
    choice
        Settings of the record, with the request's id; None: nothing is kept.
    """

    def __init__(self, predictor: BundlePredictor, choice: dict[str, Any] | None) -> None:
        self.predictor, self.choice = predictor, choice

    def __call__(self, columns: Columns, prediction: np.ndarray) -> None:
        """Keep a slice."""
        if self.choice is None:
            return
        from coldstart.serve._prediction_log import Entry, Files  # which loads the whole API

        request, choice = self.choice["request"], PredictionLogSettings.model_validate(self.choice["record"])
        values = [array.to_pylist() for array in columns.values()]
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]
        now, answers = dt.datetime.now(dt.UTC), self.predictor.answers(prediction)
        entry = Entry(request, now, "champion", self.predictor.number, rows, answers)
        Files(choice, self.predictor.contract, self.predictor.manifest.classes).write([entry])


def main(bundle: str, seal: str, kind: str, record: str) -> None:
    """Answer standard input on standard output; what came of it is JSON on standard error.

    Parameters
    ----------
    seal
        The bundle's; another bundle may have come into the folder, which the API does not serve.
    """
    limit_memory()
    predictor = BundlePredictor(Path(bundle))
    bulk = Bulk(kind, predictor, Keeper(predictor, json.loads(record)))
    told: dict[str, Any] = {"version": predictor.number}
    body = os.fdopen(0, "rb")
    out = os.fdopen(1, "wb", buffering=HELD)
    try:
        if predictor.seal != seal:
            raise RowsError("the model is being changed; try again")
        bulk.answer(body, out)
        out.flush()
    except RowsError as error:
        told["detail"] = error.detail
    print(json.dumps({"rows": bulk.done, **told}), file=sys.stderr, flush=True)
    os._exit("detail" in told)  # at once: what `out` still holds is half an answer


def limit_memory() -> None:
    """Let a file that claims to hold more than there is end this process, and no other."""
    try:
        import resource
    except ImportError:  # on Windows
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


if __name__ == "__main__":
    main(*sys.argv[1:])
