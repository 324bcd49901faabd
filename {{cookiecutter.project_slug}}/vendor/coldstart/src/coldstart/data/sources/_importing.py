"""Arrivals: each is kept as it came, once, and read-only."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import shutil
from pathlib import Path

from coldstart.data.sources._data_card import write_card
from coldstart.data.sources._imports import ARRIVING, RAW, Arrival, keep, load, save
from coldstart.data.sources._sources import Source, fetch, parse
from coldstart.errors import UserError


def bring(
    source: str, licence: str | None = None, query: str | None = None, append: bool | None = None
) -> Path:
    """Bring in what a source has, and say what arrived.

    Nothing is stored that is here already. Files, addresses, objects and queries are
    snapshots: the newest is the table. To a folder, a pattern and an API only what is
    new is added: their newest arrival holds the files of those before it, too.

    Parameters
    ----------
    append
        Overrules which of the two it is.

    Returns
    -------
    pathlib.Path
        The table, for config.yaml: a file or a folder.

    Raises
    ------
    UserError
        If the source is missing, refuses, or has nothing.
    """
    origin = parse(source, query)
    arrivals = load()
    past = [a for a in arrivals if (a.source, a.query) == (origin.address, origin.query)]
    if append is None:
        append = past[-1].append if past else origin.appends
    previous = next((a for a in reversed(past) if append and a.path.is_dir()), None)
    folder = ARRIVING / origin.key
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was broken off
    folder.mkdir(parents=True)
    try:
        state = fetch(origin, folder, previous)
    except OSError as error:
        raise UserError(f"{origin.address} cannot be brought in: {error}") from None
    if previous and previous.state.get("digest") != state.get("digest"):
        previous = None  # other records than before, and no more of the same
    content = hashes(folder)
    new = add_before(folder, content, previous, origin.appends) if previous else len(content)
    if not content:
        raise UserError(f"{origin.address} has no records")

    digest = digest_of(content)
    known = next((a for a in reversed(arrivals) if a.sha256 == digest), None)
    if known and known.path.is_dir():
        shutil.rmtree(folder)
        if licence and licence != known.licence:
            known.licence = licence
            save(arrivals)
            write_card(arrivals)
        came = "" if known in past else f", which came from {known.source}"
        print(f"{origin.address}: nothing new, all is in {known.folder}{came}")
        return known.table
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    arrival = known or Arrival(
        time=now,
        collection=(name := past[-1].collection if past else free_name(origin, arrivals)),
        folder=(RAW / name / f"{now:%Y%m%dT%H%M%SZ}-{digest[:8]}").as_posix(),
        source=origin.address,
        query=origin.query,
        licence=licence or (past[-1].licence if past else None),
        append=append,
        size=sum((folder / file).stat().st_size for file in content),
        sha256=digest,
        new=new,
        content=content,
        state=state,
    )
    keep(folder, arrival)
    write_card(load())
    files = "1 file" if len(content) == 1 else f"{len(content)} files"
    more = f" ({new} new)" if previous else ""
    print(f"{arrival.table}: {files}{more}, {arrival.size:,} bytes, from {origin.address}")
    return arrival.table


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of each file in a folder, by its name there."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            found[path.relative_to(folder).as_posix()] = digest
    return found


def digest_of(content: dict[str, str]) -> str:
    """SHA-256 of an arrival: the file's own, or of the list that `sha256sum` would print."""
    if len(content) == 1:
        return next(iter(content.values()))
    listed = "".join(f"{content[name]}  {name}\n" for name in sorted(content))
    return hashlib.sha256(listed.encode()).hexdigest()


def add_before(folder: Path, content: dict[str, str], previous: Arrival, newer_counts: bool) -> int:
    """Add the files of the arrival before, and return how many of the others are new.

    They are linked, which takes no space. Of two files of one name the newer counts,
    or else both do.
    """
    for name, digest in list(content.items()):
        if digest in previous.content.values():
            (folder / name).unlink()
            del content[name]
        elif name in previous.content and not newer_counts:
            path, number = Path(name), 2
            while (other := f"{path.stem}-{number}{path.suffix}") in previous.content:
                number += 1
            (folder / name).rename(folder / other)
            content[other] = content.pop(name)
    new = len(content)
    for name, digest in previous.content.items():
        if name not in content:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(previous.path / name, folder / name)
            except OSError:  # a file system without links
                shutil.copyfile(previous.path / name, folder / name)
            content[name] = digest
    return new


def free_name(origin: Source, arrivals: list[Arrival]) -> str:
    """Name for a new collection."""
    taken = {arrival.collection for arrival in arrivals}
    name, number = origin.name, 2
    while name in taken or (RAW / name).exists():
        name, number = f"{origin.name}-{number}", number + 1
    return name
