"""Collecting again: each recorded source once more, and config.yaml points at what came."""

from __future__ import annotations

import io
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.util import load_yaml_guess_indent

from ...errors import UserError
from ...settings import CONFIG
from .arrivals import bring
from .record import RAW, load, replace
from .sources import without_secrets


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
    config, indent, offset = load_yaml_guess_indent(text)
    data = config["data"]
    for part, name in [(data, "table"), *((join, "file") for join in data.get("joins") or [])]:
        old = Path(str(part.get(name)))
        if old.is_relative_to(collection):
            part[name] = table.as_posix()
            yaml, written = YAML(), io.StringIO()
            yaml.preserve_quotes, yaml.width = True, 4096
            yaml.indent(mapping=2, sequence=indent, offset=offset)
            yaml.dump(config, written)
            if old != table:
                replace(CONFIG, written.getvalue())
            return old
    return None
