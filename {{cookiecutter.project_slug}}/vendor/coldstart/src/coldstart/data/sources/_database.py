"""The result of a query, streamed from a database to Parquet."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from tqdm import tqdm

from coldstart.data.sources._sources import Source
from coldstart.errors import UserError

ROWS = 20_000


def run_query(source: Source, into: Path) -> None:
    """Write the result of a query as one Parquet file, in the database's types.

    At most one batch of rows is in memory. The transaction is not committed, so that a query that
    would change something does not.

    Parameters
    ----------
    source : Source
        The database and the query.
    into : Path
        An empty folder.

    Raises
    ------
    UserError
        If the address or the query is wrong, the database cannot be reached, or its driver is
        missing.
    """
    with explain_errors(source.address, urlsplit(source.location).password):
        url = make_url(source.location)
        if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
            raise UserError(
                f"{source.address}: there is no database file {url.database or ''}; "
                "sqlite:///FILE is in this folder, sqlite:////FOLDER/FILE anywhere"
            )
        timeout = {"connect_timeout": 10} if url.get_driver_name() == "psycopg" else {}
        engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args=timeout)
        with engine.connect() as connection:
            # A server-side cursor: without it the driver fetches the whole result first.
            options = {"stream_results": True, "max_row_buffer": ROWS, "no_parameters": True}
            query = (source.query or "").strip().rstrip(";")
            result = connection.execution_options(**options).exec_driver_sql(query)
            if not result.returns_rows:
                raise UserError("the query returns no rows: it must be a select")
            write(result, into, source.name)


def make_url(location: str) -> sa.URL:
    """Return the address of a database, of PostgreSQL with the driver that is installed."""
    url = sa.make_url(location)
    if url.drivername in ("postgres", "postgresql"):
        url = url.set(drivername="postgresql+psycopg")
    return url


@contextmanager
def explain_errors(address: str, secret: str | None = None) -> Iterator[None]:
    """Turn errors of a database into one line.

    Parameters
    ----------
    address : str
        The address, without a password.
    secret : str, optional
        The password, which no message shows.

    Raises
    ------
    UserError
        If the address is wrong, the database cannot be reached or refuses, or its driver is
        missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise UserError(
            f"{address} needs the package {error.name}: "
            f".venv/bin/python -m uv pip install {error.name}"
        ) from None
    except (ArgumentError, NoSuchModuleError) as error:
        raise UserError(f"{address} is not a valid database address: {error}") from None
    except SQLAlchemyError as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        reason = " ".join(str(cause).split())[:300]
        if secret:
            reason = reason.replace(secret, "***")
        raise UserError(f"{address}: {reason}") from None


def write(result: sa.CursorResult[Any], into: Path, name: str) -> None:
    """Write rows as they arrive.

    A column may be null in all of a batch, or have fewer digits in one than in the next. So each
    batch is written with its own types, and cast to common types when all are known.
    """
    names = list(result.keys())
    if twice := sorted({column for column in names if names.count(column) > 1}):
        raise UserError(f"the query names two columns {twice[0]!r}: rename one with `as`")
    batches, schemas = into.with_suffix(".arrow"), []
    with pa.OSFile(str(batches), "wb") as file, tqdm(desc=name, unit="row", unit_scale=True,
                                                     disable=None, leave=False) as bar:  # fmt: skip
        for rows in result.partitions(ROWS):
            columns = [as_array(values) for values in zip(*rows, strict=True)]
            table = pa.table(columns, names=names)
            schemas.append((file.tell(), table.schema))
            with pa.ipc.new_stream(file, table.schema) as stream:
                stream.write_table(table)
            bar.update(len(rows))
    if not schemas:
        raise UserError("the query returns no rows")
    schema = unify([kinds for _, kinds in schemas], names)
    with pq.ParquetWriter(into / f"{name}.parquet", schema) as writer:
        for table in read_batches(batches, [place for place, _ in schemas]):
            writer.write_table(cast(table, schema))
    batches.unlink()


def read_batches(path: Path, places: list[int]) -> Iterator[pa.Table]:
    """Yield the batches, one at a time."""
    with pa.OSFile(str(path), "rb") as file:
        for place in places:
            file.seek(place)
            with pa.ipc.open_stream(file) as stream:
                yield stream.read_all()


def as_array(values: Sequence[Any]) -> pa.Array:
    """Convert Python values to a column. Values without a common Arrow type become text."""
    if not any(isinstance(value, dict | list) for value in values):
        try:
            return pa.array(values)
        except pa.ArrowException:
            pass
    return pa.array([as_text(value) for value in values], pa.string())


def as_text(value: Any) -> str | None:
    """Write a value as JSON if it is nested, and as it prints otherwise."""
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=str)
    return None if value is None else str(value)


def unify(schemas: list[pa.Schema], names: list[str]) -> pa.Schema:
    """Find a type for each column that fits all batches, or else text."""
    fields = []
    for name in names:
        kinds = [pa.schema([schema.field(name)]) for schema in schemas]
        try:
            kind = pa.unify_schemas(kinds, promote_options="permissive").field(0).type
        except (pa.ArrowException, ValueError):
            kind = pa.string()
        fields.append(pa.field(name, pa.string() if pa.types.is_null(kind) else kind))
    return pa.schema(fields)


def cast(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Cast a batch to the common types."""
    columns = []
    for field in schema:
        column = table[field.name]
        try:
            columns.append(column.cast(field.type))
        except pa.ArrowException:
            columns.append(pa.array([as_text(value) for value in column.to_pylist()], field.type))
    return pa.table(columns, schema=schema)
