"""Delimited text, regular or not, to a raw table."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import polars as pl

from coldstart.config._sections import Dialect
from coldstart.data.reading._dialect import DetectedDialect, detect
from coldstart.data.reading._encoding import guess_legacy_encoding, lines_beyond_ascii
from coldstart.data.reading._layout import check_width, unique_names
from coldstart.data.reading._quarantine import format_lines, quarantine
from coldstart.data.reading._raw import Part, RawTable
from coldstart.data.reading._transcoding import LineIndex, is_plain, output_delimiter, transcode
from coldstart.data.reading._unpacking import cached
from coldstart.errors import UserError

HEAD, TAIL = 2**18, 2**16  # bytes that the dialect is detected from


def scan_text(file: Path, name: str, dialect: Dialect) -> RawTable:
    """Read delimited text lazily: a regular UTF-8 file as it is, any other through a regular copy.

    Parameters
    ----------
    file : Path
        File to read.
    name : str
        Name to print, which differs from the path for a member of an archive.
    dialect : Dialect
        What is known of how the file is written.

    Returns
    -------
    RawTable
        Columns of text.

    Raises
    ------
    UserError
        If the file is not a table, or too many of its rows are ragged.
    """
    with file.open("rb") as opened:
        head = opened.read(HEAD)
        opened.seek(0, 2)
        rest = min(opened.tell() - len(head), TAIL)
        opened.seek(-rest, 2)
        tail = opened.read() if rest else b""
    found = detect(head, tail, dialect)
    check_width(found.width)
    try:
        target, lines = regular_copy(file, found)
    except UnicodeDecodeError:  # the sample was UTF-8, but the rest was not
        encoding, lenient = guess_legacy_encoding(lines_beyond_ascii(file), found.notes)
        found = replace(found, encoding=encoding, lenient=lenient)
        target, lines = regular_copy(file, found)

    findings = [f"{name}: {note}" for note in found.notes]
    names = found.names or [f"column {number}" for number in range(1, found.width + 1)]
    notes: list[str] = []
    schema = dict.fromkeys(unique_names(names[: found.width], notes), pl.String)
    findings += [f"{name}: {line}" for line in notes]
    ragged = [line for line, _ in lines.ragged]
    if ragged:
        what = f"have another number of fields than {found.width}"
        fix = f"fix the file (delimiter {found.delimiter!r}, quote {found.quote!r})"
        if dialect.ragged != "refuse":
            fix += ", or set data.dialect in config.yaml"
        findings.append(quarantine(lines.ragged, lines.rows, what, fix, name, dialect))
    if lines.repeated:
        findings.append(
            f"{name}: the names are repeated and left out in {format_lines(lines.repeated)}"
        )
    if not lines.rows:
        raise UserError("there are no rows" + (" below the names" if found.names else ""))

    as_it_is = target == file
    frame = pl.scan_csv(
        target,
        has_header=False,
        schema=schema,
        skip_lines=found.skip if as_it_is else 0,
        n_rows=lines.rows if as_it_is and lines.blank_end else None,
        separator=output_delimiter(found),
        quote_char=found.quote,
        glob=False,
    )
    if lines.has_empty_text:
        frame = frame.with_columns(pl.when(pl.all() != "").then(pl.all()))
    shifts = np.concatenate([*lines.shifts, np.empty(0, np.int64)])
    part = Part(name, lines.rows, found.skip + 1, shifts, "line")
    return RawTable(frame, findings, [part], {name: ragged} if ragged else {})


def regular_copy(file: Path, found: DetectedDialect) -> tuple[Path, LineIndex]:
    """Return the path of the table in regular UTF-8, and an index of its lines.

    Raises
    ------
    UnicodeDecodeError
        If the file is not in the detected encoding.
    """
    if is_plain(found):
        with file.open("rb") as source:
            if lines := transcode(source, found, None):
                return file, lines
    lines = None

    def write(target: Path) -> None:
        nonlocal lines
        with file.open("rb") as source, target.open("wb") as sink:
            lines = transcode(source, found, sink)

    def write_lines(target: Path) -> None:
        if lines is None:  # the copy was made before
            write(Path(os.devnull))
        assert lines is not None
        shifts = np.concatenate([np.empty(0, np.int64), *lines.shifts])
        summary = json.dumps([lines.rows, lines.ragged, lines.repeated])
        with target.open("wb") as sink:
            np.savez(sink, shifts=shifts, summary=np.array(summary))

    key = json.dumps({**asdict(found), "notes": None})
    copy = cached(file, key, write)
    with np.load(cached(file, f"{key} lines", write_lines)) as kept:
        rows, ragged, repeated = json.loads(str(kept["summary"]))
        lines = LineIndex(rows, [kept["shifts"]], ragged, repeated, has_empty_text=True)
    return copy, lines
