"""Typed tables: Parquet and Excel to a raw table whose columns have types already."""

from __future__ import annotations

import datetime as dt
import logging
from pathlib import Path
from typing import Any

import fastexcel
import numpy as np
import polars as pl
from polars import selectors as cs

from coldstart.config._sections import Dialect
from coldstart.data.reading._layout import (
    Row,
    check_width,
    count_filled,
    find_footer,
    find_table,
    find_width,
    names_columns,
    unique_names,
)
from coldstart.data.reading._raw import Part, RawTable
from coldstart.data.reading._workbook_size import check_cells, check_unpacked
from coldstart.errors import UserError


def scan_parquet(file: Path | str, name: str) -> RawTable:
    """Read a Parquet file lazily, local or in an object store.

    Raises
    ------
    UserError
        If there are no rows, or too many columns.
    """
    frame = pl.scan_parquet(file, glob=False)
    check_width(len(frame.collect_schema()))
    rows = frame.select(pl.len()).collect().item()
    if not rows:
        raise UserError("there are no rows")
    notes: list[str] = []
    return RawTable(
        simplify(frame, notes), [f"{name}: {line}" for line in notes], [Part(name, rows)]
    )


def simplify(frame: pl.LazyFrame, notes: list[str]) -> pl.LazyFrame:
    """Flatten structs, and convert columns to numbers, booleans, dates or text."""
    schema = frame.collect_schema()
    while nested := [name for name, kind in schema.items() if isinstance(kind, pl.Struct)]:
        fields = []
        for name, kind in schema.items():
            if isinstance(kind, pl.Struct):
                inner = [field.name for field in kind.fields]
                fields += [pl.col(name).struct.field(key).alias(f"{name}.{key}") for key in inner]
            else:
                fields.append(pl.col(name))
        frame = frame.select(fields)
        notes.append(f"the fields of {', '.join(map(repr, nested))} are columns of their own")
        schema = frame.collect_schema()
    lists = [name for name, kind in schema.items() if kind.is_nested()]
    if lists:
        notes.append(f"the lists in {', '.join(map(repr, lists))} are read as JSON")
    if binary := frame.select(cs.binary()).collect_schema().names():
        notes.append(f"values that are not text in {', '.join(map(repr, binary))} are left out")
    as_json = [
        pl.when(pl.col(name).is_not_null())
        .then(pl.struct(pl.col(name).alias("_")).struct.json_encode().str.slice(5).str.head(-1))
        .alias(name)
        for name in lists
    ]
    frame = frame.with_columns(*as_json).with_columns(
        cs.decimal().cast(pl.Float64),
        (cs.categorical() | cs.enum() | cs.time() | cs.by_dtype(pl.Null)).cast(pl.String),
        cs.binary().cast(pl.String, strict=False),
        cs.duration().dt.total_seconds(fractional=True),
        cs.datetime(time_zone="*").dt.convert_time_zone("UTC").dt.replace_time_zone(None),
    )
    names = frame.collect_schema().names()
    return frame.rename(dict(zip(names, unique_names(names, notes), strict=True)))


def scan_workbook(file: Path, name: str, dialect: Dialect) -> RawTable:
    """Read the first sheet that holds a table, or the sheet that the settings name.

    Raises
    ------
    UserError
        If the workbook is broken or protected, or has no such sheet.
    """
    logging.getLogger("fastexcel").setLevel(logging.ERROR)
    check_unpacked(file)
    try:
        book = fastexcel.read_excel(file)
    except fastexcel.FastExcelError:
        with file.open("rb") as opened:
            locked = "EncryptedPackage".encode("utf-16-le") in opened.read(2**20)
        what = "is protected by a password" if locked else "cannot be read: it is broken"
        raise UserError(f"the workbook {what}") from None
    if dialect.sheet and dialect.sheet not in book.sheet_names:
        raise UserError(f"there is no sheet {dialect.sheet!r}, only {', '.join(book.sheet_names)}")
    for sheet in [dialect.sheet] if dialect.sheet else book.sheet_names:
        check_cells(file, sheet)
        try:
            cells = load(book, sheet, 0, dtypes="string")
        except fastexcel.FastExcelError as error:
            raise UserError(f"sheet {sheet!r} cannot be read: {first_line(error)}") from None
        if cells.height > 1:
            break
    else:
        raise UserError("no sheet holds a table")

    rows: list[Row] = [[cell or "" for cell in row] for row in cells.iter_rows()]
    notes: list[str] = []
    if len(book.sheet_names) > 1:
        others = ", ".join(repr(other) for other in book.sheet_names if other != sheet)
        notes.append(f"sheet {sheet!r} is read, not {others}; see data.dialect.sheet")
    width = find_width(rows)
    first, named = find_table(rows, [False] * len(rows), width, dialect.header)
    if dialect.skip is not None:
        first = dialect.skip
        named = names_columns(rows[first:], width) if dialect.header is None else dialect.header
    if filled_above := [row for row in rows[:first] if count_filled(row)]:
        notes.append(
            f"{len(filled_above)} row(s) above the table left out: {first_cell(filled_above[0])}"
        )
    names = [""] * width
    if named:
        names, first = list(rows[first]), first + 1
    else:
        notes.append("there is no header: the first row is like the others")
    footer = dialect.footer
    if footer is None:
        below = [(index, index + 1, row) for index, row in enumerate(rows[first:])]
        footer = find_footer(below, len(below), width)
    last = len(rows) - footer
    if filled_below := [row for row in rows[last:] if count_filled(row)]:
        notes.append(
            f"{len(filled_below)} row(s) below the table left out: {first_cell(filled_below[0])}"
        )

    full = [count_filled(row) > 0 for row in rows[first:last]]
    if not any(full):
        raise UserError("there are no rows" + (" below the names" if named else ""))
    typed = load_typed(book, sheet, cells, first, last - first).filter(pl.Series(full))
    used = [i for i, name in enumerate(names) if name.strip() or typed[:, i].count()]
    typed = typed[:, used]
    typed.columns = unique_names([names[i] for i in used], notes)
    empty = np.flatnonzero(~np.array(full))
    shifts = empty - np.arange(len(empty))
    part = Part(name, len(typed), first + 1, shifts)
    return RawTable(typed.lazy(), [f"{name}: {line}" for line in notes], [part])


def first_line(error: Exception) -> str:
    """Return the first line of an error message."""
    return str(error).strip().splitlines()[0][:200]


def first_cell(row: Row) -> str:
    """Quote the first cell that is not blank."""
    return repr(next(cell for cell in row if cell.strip())[:50])


def load(book: fastexcel.ExcelReader, sheet: str, skip: int, **options: Any) -> pl.DataFrame:
    """Load the cells of a sheet below the given number of rows."""
    cells = book.load_sheet(
        sheet, header_row=None, skip_rows=skip, schema_sample_rows=None, **options
    )
    table: pl.DataFrame = cells.to_polars()
    return table


def load_typed(
    book: fastexcel.ExcelReader, sheet: str, cells: pl.DataFrame, skip: int, height: int
) -> pl.DataFrame:
    """Load cells as numbers, booleans and dates, and columns of mixed types as text."""
    columns = []
    for text in cells[skip : skip + height]:
        if not text.count():  # loading a column reads the whole sheet
            columns.append(text)
            continue
        try:
            column = load(book, sheet, skip, n_rows=height, use_columns=[text.name]).to_series()
        except fastexcel.UnsupportedColumnTypeCombinationError:
            column = text
        if column.dtype == pl.Float64 and (column.drop_nulls() % 1 == 0).all():
            column = column.cast(pl.Int64, strict=False)
        elif column.dtype == pl.Datetime and (column.dt.year() < 1900).any():
            column = text.str.strip_prefix("1899-12-31 ")  # times of a day
        elif column.dtype == pl.Datetime and (column.drop_nulls().dt.time() == dt.time()).all():
            column = column.cast(pl.Date)
        elif column.dtype not in (pl.Float64, pl.Int64, pl.Boolean, pl.Datetime, pl.Date):
            column = text.str.strip_prefix("1899-12-31 ")
        columns.append(column if len(column) == height else text)
    return pl.DataFrame(columns)
