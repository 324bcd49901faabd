"""Sources: where data is imported from, and how each kind of source is read."""

from __future__ import annotations

import glob
import hashlib
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import unquote, urlsplit

from coldstart.contract._pictures import SUFFIXES
from coldstart.data.sources._addresses import SQLITE, expand_variables, public_address
from coldstart.data.sources._api_description import load_description
from coldstart.data.sources._picture_folders import copy_pictures, find_pictures
from coldstart.data.sources._shared_links import find_file
from coldstart.errors import UserError

Kind = Literal["file", "files", "url", "bucket", "database", "api"]

STORES = ("s3", "gs", "az", "abfs", "hf")
PACKED = (".gz", ".zip")
TABLES = (
    *(".csv", ".tsv", ".tab", ".psv", ".txt", ".dat"),
    *(".json", ".jsonl", ".ndjson", ".parquet", ".xlsx", ".xls"),
)


@dataclass(frozen=True)
class Source:
    """A source of data.

    Attributes
    ----------
    kind : str
        How it is read.
    address : str
        What is logged and printed: without passwords, and without folders outside this project.
    location : str
        The same with everything that is needed to read it. Not logged or printed.
    query : str or None
        SQL, for a database.
    name : str
        Name of its collection, unless another one has that name.
    appends : bool
        Whether later imports add to earlier ones, or replace them.
    page : str
        What `address` is, if it is a service's page and `location` the file behind it.
    """

    kind: Kind
    address: str
    location: str
    query: str | None
    name: str
    appends: bool
    page: str = ""

    @property
    def local(self) -> bool:
        """Whether it is on this computer, in a folder that `address` does not name."""
        on_disk = self.kind in ("file", "files", "api") or bool(SQLITE.match(self.location))
        return on_disk and self.address != self.location

    @property
    def key(self) -> str:
        """Hash of what distinguishes this source from all others."""
        what = self.location if self.local else self.address
        return hashlib.sha256(f"{what}\n{self.query or ''}".encode()).hexdigest()[:12]


def parse(text: str, query: str | None = None) -> Source:
    """Detect the kind of a source.

    Parameters
    ----------
    text : str
        The source, as written on the command line.
    query : str, optional
        SQL, for a database.

    Returns
    -------
    Source
        The source.

    Raises
    ------
    UserError
        If the file does not exist, a variable such as `${NAME}` is not set, or a query is missing
        or has no database.
    """
    if "***" in text:
        raise UserError(
            f"{text}: secrets are not logged; repeat the address with its secret, or name an "
            "environment variable in it as ${NAME}"
        )
    scheme = text.split("://")[0].lower() if "://" in text else ""
    kind: Kind
    appends, page, file = False, "", text
    if scheme in ("http", "https"):
        page, file = find_file(text)
        kind, name = "url", stem(unquote(urlsplit(text).path)) or urlsplit(text).hostname
        if "Google" in page:  # where the path has a key and a verb
            name = "google-sheet" if "sheet" in page else "google-drive"
    elif scheme in STORES:
        kind, name = "bucket", stem(text)
    elif scheme:
        kind, name = "database", table_of(query) or stem(text.split("?")[0])
        if not query:
            raise UserError(
                f"{public_address(text)} is a database: add what to read, as in\n"
                "QUERY='select * from orders' (--query on the command line)"
            )
    elif Path(text).is_dir():
        # Of pictures there are those that the folder has now.
        kind, name, appends = "files", Path(text).resolve().name, has_tables(Path(text))
    elif glob.has_magic(text) and not Path(text).exists():
        kind, name, appends = "files", Path(text).parent.name or stem(text), True
    elif not Path(text).is_file():
        if Path(text).exists():
            raise UserError(f"{text} is a pipe or a device: write what it sends to a file first")
        raise UserError(f"{text}: there is no such file, folder, or address")
    elif Path(text).suffix in (".yaml", ".yml"):
        kind, name, appends = "api", stem(text), load_description(Path(text)).cursor is not None
    else:
        kind, name = "file", stem(text)
    if query and kind != "database":
        raise UserError(f"a query needs a database address (postgresql://...), not {text}")
    name = re.sub(r"[^\w.-]+", "-", name or "")[:60].strip("-.") or "table"
    address = public_address(text)
    location = expand_variables(file) if scheme else text
    if not scheme and address != text:
        absolute = Path(os.path.normpath(Path(text).absolute()))
        location = address if Path(address).absolute() == absolute else str(absolute)
    return Source(kind, address, location, query, name, appends, page)


def copy_files(source: Source, into: Path) -> None:
    """Copy a file, the tables in a folder, or those that match a pattern."""
    place = Path(source.location)
    if place.is_file():
        shutil.copyfile(place, into / place.name)
        return
    if place.is_dir():
        root = place
        found = [path for path in place.rglob("*") if is_table(path.relative_to(place))]
        if pictures := find_pictures(place):
            if not found:
                copy_pictures(place, pictures, into)
                return
            found += pictures  # whose paths are in the table
    else:
        matches = glob.glob(source.location, recursive=True)  # noqa: PTH207 (it may be absolute)
        found = [Path(path) for path in matches]
        root = Path(os.path.commonpath([path.parent for path in found])) if found else place
    found = [path for path in found if path.is_file()]
    if not found:
        raise UserError(
            f"{source.address}: no tables there ({', '.join(TABLES)}, plain, .gz or .zip), "
            f"and no pictures ({', '.join(SUFFIXES)})"
        )
    for path in found:
        copied = into / path.relative_to(root)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copied)


def has_tables(folder: Path) -> bool:
    """Return whether there is a table below a folder, or no picture either."""
    tables = (path for path in folder.rglob("*") if is_table(path.relative_to(folder)))
    return any(tables) or not find_pictures(folder)


def is_table(path: PurePosixPath | Path) -> bool:
    """Return whether a file can be read, by its name. Hidden files are not tables."""
    suffix = Path(path.stem).suffix if path.suffix.lower() == ".gz" else path.suffix
    hidden = any(part.startswith((".", "_")) for part in path.parts)
    return not hidden and suffix.lower() in (*TABLES, ".zip")


def stem(text: str) -> str:
    """Return the last part of a path or an address, without its suffixes."""
    name = text.rstrip("/").rsplit("/")[-1]
    while Path(name).suffix.lower() in (*PACKED, *TABLES, ".yaml", ".yml", ".db", ".sqlite"):
        name = Path(name).stem
    return name


def table_of(query: str | None) -> str | None:
    """Return the name of the first table in a query."""
    found = re.search(r"\bfrom\s+[\"`]?([\w.]+)", query or "", re.IGNORECASE)
    return found.group(1) if found else None
