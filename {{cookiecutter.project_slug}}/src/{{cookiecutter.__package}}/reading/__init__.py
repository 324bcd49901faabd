"""Reading: files of any kind to one raw table, and what was found out about them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl

from ..errors import UserError
from ..settings import Data, Dialect
from .jsons import scan_json
from .raw import UNREADABLE, RawTable
from .texts import scan_text
from .typed import scan_parquet, scan_workbook
from .unpacking import NOT_DATA, TABLES, recognise, unpack

__all__ = ["RawTable", "read", "scan"]


def read(data: Data) -> RawTable:
    """Read the table and add the joined ones, one row for each of the table's, in its order.

    Raises
    ------
    UserError
        If a file cannot be read, a key is missing or not unique, or no row is left.
    """
    table = append([scan(file, data.dialect) for file in files(data.table)])
    if not table.rows:
        raise UserError(f"{data.table} has a header but no rows")
    frame, findings = table.frame, list(table.findings)
    names = frame.collect_schema().names()
    for join in data.joins:
        joined = scan(join.file)
        findings += joined.findings
        other = collect(joined.frame, join.file)
        for path, columns in ((data.table, names), (join.file, other.columns)):
            if join.key not in columns:
                raise UserError(f"{path} has no column {join.key!r} to join on; see config.yaml")
        if twice := other.filter(other[join.key].is_duplicated())[join.key].unique().to_list():
            raise UserError(f"{join.file}: {join.key} must be unique, but {twice[0]!r} is not")
        if both := sorted(set(names) & set(other.columns) - {join.key}):
            raise UserError(f"{join.file} and {data.table} both have a column {both[0]!r}")
        if frame.collect_schema()[join.key] != other.schema[join.key]:
            frame = frame.with_columns(pl.col(join.key).cast(pl.String))
            other = other.with_columns(pl.col(join.key).cast(pl.String))
        frame = frame.join(other.lazy(), on=join.key, how="left", maintain_order="left")
        names += [name for name in other.columns if name != join.key]
    return replace(table, frame=frame, findings=findings)


def files(table: Path) -> list[Path]:
    """Return the files that a path, a folder or a pattern names, in the order of their names.

    Raises
    ------
    UserError
        If there is none.
    """
    if table.is_dir():
        found = [
            path
            for path in sorted(table.iterdir())
            if path.is_file() and TABLES.search(path.name) and not NOT_DATA.match(path.name)
        ]
        if not found:
            raise UserError(f"{table}: there is no table in this folder")
        return found
    if not table.exists() and any(sign in str(table) for sign in "*?["):
        matching = Path(table.anchor).glob(str(table.relative_to(table.anchor)))
        if not (found := sorted(path for path in matching if path.is_file())):
            raise UserError(f"{table}: no file has such a name")
        return found
    return [table]


def scan(path: Path, dialect: Dialect = Dialect()) -> RawTable:  # noqa: B008 (never changed)
    """Read one file lazily; the tables of an archive are appended.

    Raises
    ------
    UserError
        If the file is missing, or holds no table that can be read.
    """
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    tables = []
    for name, file in unpack(path):
        try:
            match recognise(file):
                case "parquet":
                    tables.append(scan_parquet(file, name))
                case "excel":
                    tables.append(scan_workbook(file, name, dialect))
                case "json":
                    tables.append(scan_json(file, name, dialect))
                case "text":
                    tables.append(scan_text(file, name, dialect))
        except UserError as error:
            raise UserError(f"{name}: {error}") from None
        except UNREADABLE as error:
            raise UserError(f"{name} cannot be read: {str(error).splitlines()[0]}") from None
    return append(tables)


def append(tables: list[RawTable]) -> RawTable:
    """Put tables with the same columns, in any order, one below the other.

    Raises
    ------
    UserError
        If one has other columns than the first.
    """
    if len(tables) == 1:
        return tables[0]
    first = tables[0].frame.collect_schema()
    frames = []
    for table in tables:
        schema, name = table.frame.collect_schema(), table.parts[0].name
        for what, columns in (
            ("lacks the column", first.keys() - schema.keys()),
            ("has one more column,", schema.keys() - first.keys()),
        ):
            if columns:
                listed = ", ".join(repr(column) for column in sorted(columns)[:5])
                raise UserError(
                    f"{name} {what} {listed}, unlike {tables[0].parts[0].name}; files can be "
                    "appended only if they have the same columns (a pattern names some: 2024*.csv)"
                )
        frames.append((table.frame.select(first.keys()), schema))
    mixed = [name for name in first if len({schema[name] for _, schema in frames}) > 1]
    texts = [pl.col(name).cast(pl.String) for name in mixed]
    return RawTable(
        frame=pl.concat([frame.with_columns(texts) for frame, _ in frames]),
        findings=[finding for table in tables for finding in table.findings],
        parts=[part for table in tables for part in table.parts],
        set_aside={name: lines for table in tables for name, lines in table.set_aside.items()},
    )


def collect(table: pl.LazyFrame, path: Path) -> pl.DataFrame:
    """Read a lazy table into memory, telling a person what is wrong with the file."""
    try:
        return table.collect()
    except UNREADABLE as error:
        raise UserError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
