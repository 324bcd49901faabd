"""Importing: the files of each import are kept as they came, once, and read-only."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

from coldstart.data.sources._data_card import write_data_card
from coldstart.data.sources._import_log import (
    INCOMING,
    RAW,
    ImportRecord,
    load_entries,
    local_sources,
    remember_local,
    save_entries,
    store_files,
)
from coldstart.data.sources._sources import Source, copy_files, parse
from coldstart.errors import UserError


def import_source(
    text: str, license: str | None = None, query: str | None = None, append: bool | None = None
) -> Path:
    """Import a source's data into `data/raw`, unless it is there already.

    A file, an address, objects and a query are snapshots: the newest import is the table. To the
    imports of a folder, a pattern and an API only what is new is added: the newest holds the
    files of those before it, too.

    Parameters
    ----------
    text : str
        File, folder, pattern, address, bucket, database, or YAML file that describes an API.
    license : str, optional
        License of the data.
    query : str, optional
        SQL, for a database.
    append : bool, optional
        Overrides whether new data is added.

    Returns
    -------
    Path
        The table, for config.yaml: a file or a folder.

    Raises
    ------
    UserError
        If the source is missing, refuses access, or is empty.
    """
    source = parse(text, query)
    entries = load_entries()
    past = earlier_imports(source, entries)
    if append is None:
        append = past[-1].append if past else source.appends
    previous = next((a for a in reversed(past) if append and a.path.is_dir()), None)
    folder = INCOMING / source.key
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was interrupted
    folder.mkdir(parents=True)
    try:
        state = fetch(source, folder, previous)
    except OSError as error:
        raise UserError(f"{source.address} cannot be imported: {error}") from None
    if previous and previous.state.get("digest") != state.get("digest"):
        previous = None  # other records than before, so that they do not add up
    content = hashes(folder)
    new = add_before(folder, content, previous, source.appends) if previous else len(content)
    if not content:
        raise UserError(f"{source.address} has no records")

    digest = digest_of(content)
    known = next((a for a in reversed(entries) if a.sha256 == digest), None)
    if known and known in past and source.local:
        remember_local(known.collection, source.location)
    if known and known.path.is_dir():
        shutil.rmtree(folder)
        if license and license != known.license:
            known.license = license
            save_entries(entries)
            write_data_card(entries)
        first = "" if known in past else f", imported from {known.source}"
        print(f"{source.address}: nothing new, all is in {known.folder}{first}")
        return known.table
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    entry = known or ImportRecord(
        time=now,
        collection=(name := past[-1].collection if past else free_name(source, entries)),
        folder=(RAW / name / f"{now:%Y%m%dT%H%M%SZ}-{digest[:8]}").as_posix(),
        source=source.address,
        query=source.query,
        license=license or (past[-1].license if past else None),
        append=append,
        local=source.local,
        size=sum((folder / file).stat().st_size for file in content),
        sha256=digest,
        new=new,
        content=content,
        state=state,
    )
    if source.local:
        remember_local(entry.collection, source.location)
    store_files(folder, entry)
    write_data_card(load_entries())
    files = "1 file" if len(content) == 1 else f"{len(content)} files"
    more = f" ({new} new)" if previous else ""
    print(f"{entry.table}: {files}{more}, {entry.size:,} bytes, from {source.address}")
    return entry.table


def remove_imports(since: list[ImportRecord]) -> None:
    """Remove the imports that an earlier state of the log lacks, with their files."""
    before = {entry.folder for entry in since}
    kept = []
    for entry in load_entries():
        if entry.folder in before:
            kept.append(entry)
            continue
        shutil.rmtree(entry.path, ignore_errors=True)
        if not any(entry.path.parent.iterdir()):
            entry.path.parent.rmdir()
    save_entries(kept)
    write_data_card(kept)


def fetch(source: Source, into: Path, previous: ImportRecord | None) -> dict[str, Any]:
    """Copy the data of a source into an empty folder.

    Parameters
    ----------
    source : Source
        The source.
    into : Path
        The folder.
    previous : ImportRecord or None
        The import before, for a source that can send only what is new.

    Returns
    -------
    dict
        What the next import needs to resume from here. Empty for most sources.

    Raises
    ------
    UserError
        If the source is missing, refuses access, or is empty.
    """
    match source.kind:
        case "file" | "files":
            copy_files(source, into)
        case "url":
            from coldstart.data.sources._download import download

            download(source, into)
        case "bucket":
            from coldstart.data.sources._bucket import download_objects

            download_objects(source, into)
        case "database":
            from coldstart.data.sources._database import run_query

            run_query(source, into)
        case "api":
            from coldstart.data.sources._rest import read_api

            return read_api(source, into, previous)
    return {}


def earlier_imports(source: Source, entries: list[ImportRecord]) -> list[ImportRecord]:
    """Return the earlier imports of a source, oldest first.

    Two files outside this project may have one name. Where they are is known on this computer
    alone, so in a clone such a file counts as the one that was imported.
    """
    past = [a for a in entries if (a.source, a.query) == (source.address, source.query)]
    if source.local:
        known = local_sources()
        past = [a for a in past if known.get(a.collection, source.location) == source.location]
    return past


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file in a folder, by its name there."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            found[path.relative_to(folder).as_posix()] = digest
    return found


def digest_of(content: dict[str, str]) -> str:
    """Return the SHA-256 of a file or, of several, of the list that `sha256sum` prints."""
    if len(content) == 1:
        return next(iter(content.values()))
    listed = "".join(f"{content[name]}  {name}\n" for name in sorted(content))
    return hashlib.sha256(listed.encode()).hexdigest()


def add_before(
    folder: Path, content: dict[str, str], previous: ImportRecord, newer_replaces: bool
) -> int:
    """Add the files of the import before as links, and count how many of the others are new.

    Of two files with one name the newer replaces the other, or else both are kept.
    """
    for name, digest in list(content.items()):
        if digest in previous.content.values():
            (folder / name).unlink()
            del content[name]
        elif name in previous.content and not newer_replaces:
            path, number = Path(name), 2
            while (other := f"{path.stem}-{number}{path.suffix}") in previous.content:
                number += 1
            (folder / name).rename(folder / other)
            content[other] = content.pop(name)
    new = len(content)
    for name, digest in previous.content.items():
        if name not in content and (previous.path / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(previous.path / name, folder / name)
            except OSError:  # a file system without links
                shutil.copyfile(previous.path / name, folder / name)
            content[name] = digest
    return new


def free_name(source: Source, entries: list[ImportRecord]) -> str:
    """Return a name for a new collection."""
    taken = {entry.collection for entry in entries}
    name, number = source.name, 2
    while name in taken or (RAW / name).exists():
        name, number = f"{source.name}-{number}", number + 1
    return name
