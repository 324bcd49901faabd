"""Reading any supported files as one raw table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl

from coldstart.config._sections import DataSettings, Dialect
from coldstart.contract._pictures import is_picture
from coldstart.data.reading._json_tables import scan_json
from coldstart.data.reading._raw import UNREADABLE, RawTable
from coldstart.data.reading._row_groups import RowGroup, list_objects, list_row_groups
from coldstart.data.reading._text_tables import scan_text
from coldstart.data.reading._typed_tables import scan_parquet, scan_workbook, simplify
from coldstart.data.reading._unpacking import NOT_DATA, TABLES, detect_kind, unpack
from coldstart.errors import UserError

__all__ = [
    "RawTable",
    "RowGroup",
    "load_joins",
    "read",
    "read_main_table",
    "row_groups",
    "scan",
    "simplify",
]

Joining = Callable[[pl.LazyFrame], pl.LazyFrame]


def read(data: DataSettings) -> RawTable:
    """Read the table and join the other tables to it, in the table's order.

    Parameters
    ----------
    data : DataSettings
        The section `data` of config.yaml.

    Returns
    -------
    RawTable
        One row for each row of the main table.

    Raises
    ------
    UserError
        If a file cannot be read, a key is missing or not unique, or there are no rows.
    """
    table = read_main_table(data)
    if not table.rows:
        raise UserError(f"{data.table} has a header but no rows")
    add, findings = load_joins(data, table.frame.collect_schema())
    return replace(table, frame=add(table.frame), findings=[*table.findings, *findings])


def read_main_table(data: DataSettings) -> RawTable:
    """Read the table without those that are joined to it."""
    return concatenate([scan(file, data.dialect) for file in files(data.table)])


def row_groups(data: DataSettings) -> list[RowGroup]:
    """Return the row groups of the table's files.

    Raises
    ------
    UserError
        If a file cannot be read, or is not Parquet.
    """
    return list_row_groups([str(file) for file in files(data.table)])


def load_joins(data: DataSettings, schema: pl.Schema) -> tuple[Joining, list[str]]:
    """Read the tables to join.

    Parameters
    ----------
    data : DataSettings
        The section `data` of config.yaml.
    schema : polars.Schema
        Columns of the main table.

    Returns
    -------
    join : callable
        Joins the tables to a lazy frame of the main table's rows.
    findings : list of str
        What was detected about how the files are written.

    Raises
    ------
    UserError
        If a file cannot be read, or a key is missing or not unique.
    """
    findings: list[str] = []
    names = list(schema)
    others = []
    for join in data.joins:
        joined = scan(join.file)
        findings += joined.findings
        other = collect_table(joined.frame, join.file)
        for path, columns in ((data.table, names), (join.file, other.columns)):
            if join.key not in columns:
                raise UserError(f"{path} has no column {join.key!r} to join on; see config.yaml")
        if twice := other.filter(other[join.key].is_duplicated())[join.key].unique().to_list():
            raise UserError(
                f"{join.file}: {join.key} must be unique, but {twice[0]!r} is not; remove all but "
                "one of its rows"
            )
        if both := sorted(set(names) & set(other.columns) - {join.key}):
            raise UserError(
                f"{join.file} and {data.table} both have a column {both[0]!r}; rename one of them"
            )
        names += [name for name in other.columns if name != join.key]
        others.append((join.key, other.lazy()))

    def add(frame: pl.LazyFrame) -> pl.LazyFrame:
        for key, other in others:
            if frame.collect_schema()[key] != other.collect_schema()[key]:
                frame, other = (rows.cast({key: pl.String}) for rows in (frame, other))
            frame = frame.join(other, on=key, how="left", maintain_order="left")
        return frame

    return add, findings


def files(table: Path | str) -> list[Path] | list[str]:
    """List the files of a path, folder or pattern, sorted by name.

    For an address in an object store, list the addresses of its Parquet files.

    Raises
    ------
    UserError
        If there is none.
    """
    if isinstance(table, str):
        return list_objects(table)
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
        # Pictures that are imported with several tables are no tables themselves.
        return [path for path in found if not is_picture(path.name)] or found
    return [table]


def scan(path: Path | str, dialect: Dialect = Dialect()) -> RawTable:  # noqa: B008 (never changed)
    """Read one file or one address lazily. The tables in an archive are concatenated.

    Raises
    ------
    UserError
        If the file is missing, or holds no table that can be read.
    """
    if isinstance(path, str):
        try:
            return scan_parquet(path, path)
        except UNREADABLE as error:
            raise UserError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
    if not path.is_file():
        if path.exists() and not path.is_dir():
            raise UserError(f"{path} is a pipe or a device: write what it sends to a file first")
        raise UserError(f"{path}: there is no such file")
    tables = []
    for name, file in unpack(path):
        try:
            match detect_kind(file):
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
    return concatenate(tables)


def concatenate(tables: list[RawTable]) -> RawTable:
    """Concatenate tables with the same columns, in any order.

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
        quarantined={name: lines for table in tables for name, lines in table.quarantined.items()},
    )


def collect_table(table: pl.LazyFrame, path: Path) -> pl.DataFrame:
    """Read a lazy table into memory.

    Raises
    ------
    UserError
        If the file is broken.
    """
    try:
        return table.collect()
    except UNREADABLE as error:
        raise UserError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
