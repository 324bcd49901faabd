"""Collecting again: each recorded source once more, and config.yaml points at what came."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml

from coldstart.config._settings import CONFIG
from coldstart.data.sources._importing import bring
from coldstart.data.sources._imports import RAW, load, replace
from coldstart.data.sources._sources import without_secrets
from coldstart.errors import UserError


def collect(
    source: str | None, query: str | None, licence: str | None, append: bool | None
) -> None:
    """Repeat the collection of one source or of all; one that is new is brought in.

    Raises
    ------
    UserError
        If there is nothing to repeat, or a source fails; the others are brought in.
    """
    newest = {arrival.collection: arrival for arrival in load()}.values()
    address = without_secrets(source) if source else None
    wanted = [
        (source if source else arrival.source, arrival.query)
        for arrival in newest
        if address in (None, arrival.source) and query in (None, arrival.query)
    ]
    if source and not wanted:
        wanted = [(source, query)]
    if not wanted:
        raise UserError("nothing was collected yet; run: make data SOURCE=... TARGET=...")
    failed = []
    for place, asked in wanted:
        try:
            table = bring(place, licence, asked, append)
        except UserError as error:
            failed.append(str(error))
            continue
        if old := point_at(table):
            print(f"{CONFIG}: {table} instead of {old}" if old != table else f"{CONFIG}: as it was")
        else:
            print(f"{CONFIG} does not name it yet: as data.table, or as a join")
    if failed:
        raise UserError("\n".join(failed))


def point_at(table: Path) -> Path | None:
    """Put an arrival where config.yaml names an older one of its collection.

    Returns
    -------
    pathlib.Path or None
        What stood there; nothing if none did.
    """
    collection = RAW / table.relative_to(RAW).parts[0]
    text = CONFIG.read_text(encoding="utf-8")
    # In its place in the text: to load and dump the file would set it anew.
    new = yaml.safe_dump([table.as_posix()], default_flow_style=True, width=9999).strip()[1:-1]
    for value in paths_in(yaml.compose(text)):
        old = Path(value.value)
        if old.is_relative_to(collection):
            start, end = value.start_mark.index, value.end_mark.index
            if old != table:
                replace(CONFIG, text[:start] + new + text[end:])
            return old
    return None


def paths_in(config: yaml.Node | None) -> Iterator[yaml.ScalarNode]:
    """Find what config.yaml names as `data.table` and as the file of each join."""
    data = value_of(config, "data")
    joins = value_of(data, "joins")
    entries = joins.value if isinstance(joins, yaml.SequenceNode) else []
    for found in (value_of(data, "table"), *(value_of(entry, "file") for entry in entries)):
        if isinstance(found, yaml.ScalarNode):
            yield found


def value_of(node: yaml.Node | None, name: str) -> yaml.Node | None:
    """Value of a key, if it is there."""
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((value for key, value in pairs if key.value == name), None)
