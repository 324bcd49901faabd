"""Collecting: import each source again, and point config.yaml at the newest data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml

from coldstart._writing import write_whole
from coldstart.config._settings import CONFIG
from coldstart.data.sources._addresses import public_address
from coldstart.data.sources._import_log import (
    RAW,
    ImportRecord,
    load_entries,
    local_sources,
)
from coldstart.data.sources._importing import import_source
from coldstart.errors import UserError


def collect(
    source: str | None, query: str | None, license: str | None, append: bool | None
) -> None:
    """Import one source again or all of them. A new source is imported for the first time.

    Parameters
    ----------
    source : str, optional
        The source. By default all of the import log.
    query : str, optional
        SQL, for a database.
    license : str, optional
        License of the data.
    append : bool, optional
        Overrides whether new data is added.

    Raises
    ------
    UserError
        If there is nothing to import, or a source fails. The other sources are imported.
    """
    newest = {entry.collection: entry for entry in load_entries()}.values()
    address = public_address(source) if source else None
    known = [
        entry
        for entry in newest
        if address in (None, entry.source) and query in (None, entry.query)
    ]
    wanted: list[tuple[str | ImportRecord, str | None]]
    if source:
        queries = list(dict.fromkeys(entry.query for entry in known)) or [query]
        wanted = [(source, sql) for sql in queries]
    else:
        wanted = [(entry, entry.query) for entry in known]
    if not wanted:
        raise UserError("nothing was imported yet; run: make data SOURCE=... TARGET=...")
    failed = []
    for what, sql in wanted:
        try:
            text = what if isinstance(what, str) else location_of(what)
            table = import_source(text, license, sql, append)
        except UserError as error:
            failed.append(str(error))
            continue
        if old := update_config(table):
            print(f"{CONFIG}: {table} instead of {old}" if old != table else f"{CONFIG}: unchanged")
        else:
            print(f"{CONFIG} does not name {table} yet: add it as data.table, or as a join")
    if failed:
        raise UserError("\n".join(failed))


def location_of(entry: ImportRecord) -> str:
    """Return where an imported source is.

    Raises
    ------
    UserError
        If it is a file that was imported on another computer.
    """
    if not entry.local:
        return entry.source
    if location := local_sources().get(entry.collection):
        return location
    raise UserError(
        f"{entry.source} was imported on another computer; run: make collect "
        f"SOURCE=FOLDER/{entry.source}, where FOLDER is its folder here"
    )


def update_config(table: Path) -> Path | None:
    """Replace an older import of the same collection in config.yaml.

    Returns
    -------
    Path or None
        The older import. None if config.yaml names none.
    """
    collection = RAW / table.relative_to(RAW).parts[0]
    text = CONFIG.read_text(encoding="utf-8")
    # Replaced within the text: loading and dumping the file would reformat it.
    new = yaml.safe_dump([table.as_posix()], default_flow_style=True, width=9999).strip()[1:-1]
    for value in paths_in(yaml.compose(text)):
        old = Path(value.value)
        if old.is_relative_to(collection):
            start, end = value.start_mark.index, value.end_mark.index
            if old != table:
                write_whole(CONFIG, text[:start] + new + text[end:])
            return old
    return None


def paths_in(config: yaml.Node | None) -> Iterator[yaml.ScalarNode]:
    """Yield what config.yaml names as `data.table` and as the file of each join."""
    data = value_of(config, "data")
    joins = value_of(data, "joins")
    entries = joins.value if isinstance(joins, yaml.SequenceNode) else []
    for found in (value_of(data, "table"), *(value_of(entry, "file") for entry in entries)):
        if isinstance(found, yaml.ScalarNode):
            yield found


def value_of(node: yaml.Node | None, name: str) -> yaml.Node | None:
    """Return the value of a key, or None."""
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((value for key, value in pairs if key.value == name), None)
