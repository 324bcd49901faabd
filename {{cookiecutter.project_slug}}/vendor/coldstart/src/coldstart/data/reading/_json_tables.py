"""JSON: an array of records, one record a line, or a list of records within an object."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from coldstart.config._sections import Dialect
from coldstart.data.reading._layout import check_width, unique_names
from coldstart.data.reading._quarantine import quarantine
from coldstart.data.reading._raw import Part, RawTable
from coldstart.data.reading._unpacking import cached
from coldstart.errors import UserError

ROWS = 20_000  # in memory at a time
Record = dict[str, Any]
TYPES = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}


def scan_json(file: Path, name: str, dialect: Dialect) -> RawTable:
    """Read JSON through a Parquet file in the cache. A missing key is null.

    Parameters
    ----------
    file : Path
        File to read.
    name : str
        Name to print, which differs from the path for a member of an archive.
    dialect : Dialect
        Whether broken lines are refused.

    Returns
    -------
    RawTable
        One row for each record.

    Raises
    ------
    UserError
        If the file is not JSON, or holds no list of records.
    """
    notes: list[str] = []
    types: dict[str, type] = {}
    rows, shifts, broken = 0, [], []
    for line, record in enumerate(records(file, notes), 1):  # a first time for the types
        if isinstance(record, str):
            shifts.append(rows)
            if record:
                broken.append((line, record))
            continue
        rows += 1
        for key, value in record.items():
            kind, known = type(value), types.get(key)
            if value is None:
                types.setdefault(key, type(None))
            elif known in (None, type(None)):
                types[key] = kind
            elif known is not kind:
                types[key] = float if {known, kind} == {int, float} else str
        check_width(len(types))
    findings = []
    if broken:
        fix = "fix or remove it"
        findings.append(quarantine(broken, rows, "are not valid JSON", fix, name, dialect))
    if not rows:
        raise UserError("there are no records")
    if nested := sorted({key.split(".")[0] for key in types if "." in key}):
        notes.append(f"the keys within {', '.join(map(repr, nested[:5]))} are columns of their own")

    def write(target: Path) -> None:
        schema = pa.schema([(key, TYPES.get(kind, pa.string())) for key, kind in types.items()])
        with pq.ParquetWriter(target, schema) as writer:
            source = (record for record in records(file, []) if not isinstance(record, str))
            while some := list(islice(source, ROWS)):
                columns = {
                    key: [convert(record.get(key), types[key]) for record in some] for key in types
                }
                writer.write_table(pa.table(columns, schema))

    try:
        target = cached(file, "JSON", write)
    except UnicodeEncodeError as error:
        half = error.object[error.start : error.end]
        raise UserError(f"a text holds {half!a}, half of a character: remove it") from None
    frame = pl.scan_parquet(target, glob=False)
    frame = frame.rename(dict(zip(types, unique_names(list(types), notes), strict=True)))
    findings += [f"{name}: {line}" for line in notes]
    unit = "line" if by_line(file) else "row"
    part = Part(name, rows, shifts=np.array(shifts, int), unit=unit)
    quarantined = {name: [line for line, _ in broken]} if broken else {}
    return RawTable(frame, findings, [part], quarantined)


def convert(value: Any, kind: type) -> Any:
    """Convert a value to its column's type."""
    if value is None or type(value) is kind:
        return value
    return float(value) if kind is float else to_text(value)


def to_text(value: Any) -> str:
    """Write a value of a column of mixed types as text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def flatten(record: Any, prefix: str = "") -> Record:
    """Flatten nested objects to keys such as `outer.inner`, and lists to JSON text."""
    if not isinstance(record, dict):
        raise UserError(f"expected records, but there is {to_text(record)[:50]!r}")
    flat: Record = {}
    for key, value in record.items():
        if isinstance(value, dict) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        elif isinstance(value, list | dict) or (type(value) is int and abs(value) >= 2**63):
            flat[prefix + key] = to_text(value)
        else:
            flat[prefix + key] = value
    return flat


def records(file: Path, notes: list[str]) -> Iterator[Record | str]:
    """Yield flat records, and each line that is not a record as it is."""
    lines = by_line(file)
    with file.open(encoding="utf-8-sig") as opened:
        try:
            if not lines:
                yield from map(flatten, find_records(json.load(opened), notes))
                return
            for line in opened:
                try:
                    yield flatten(json.loads(line))
                except (ValueError, UserError, RecursionError):
                    yield line.strip()
        except RecursionError:
            raise UserError("objects and lists are nested too deeply: flatten them") from None
        except UnicodeDecodeError as error:
            raise UserError(f"this is not JSON in UTF-8: {error}") from None
        except json.JSONDecodeError as error:
            raise UserError(
                f"line {error.lineno} is not valid JSON: {error.msg}; fix or remove it"
            ) from None
        except ValueError as error:  # a number of thousands of digits
            raise UserError(f"this cannot be read as JSON: {error}") from None


def by_line(file: Path) -> bool:
    """Return whether each line is a record of its own."""
    with file.open(encoding="utf-8-sig", errors="replace") as opened:
        some = list(islice((line for line in opened if line.strip()), 2))
        try:
            first = json.loads(some[0])
        except (ValueError, IndexError, RecursionError):
            return False
        return isinstance(first, dict) and (len(some) > 1 or not record_lists(first))


def record_lists(whole: Any) -> list[str]:
    """Return the keys of an object that hold lists of records."""
    return [
        key
        for key, value in (whole.items() if isinstance(whole, dict) else ())
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value)
    ]


def find_records(whole: Any, notes: list[str]) -> list[Any]:
    """Return the records of a whole document."""
    if isinstance(whole, list):
        return whole
    keys = record_lists(whole)
    if len(keys) != 1:
        what = f"the lists {', '.join(keys)}" if keys else "no list of records"
        raise UserError(f"expected one list of records, but this object holds {what}")
    notes.append(f"the records are those under {keys[0]!r}")
    found: list[Any] = whole[keys[0]]
    return found
