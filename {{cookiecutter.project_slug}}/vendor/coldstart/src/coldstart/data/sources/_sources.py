"""Sources: what a person names as the place of their data, and the way to each kind."""

from __future__ import annotations

import glob
import hashlib
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from coldstart.errors import UserError

Kind = Literal["file", "files", "url", "bucket", "database", "api"]

PACKED = (".gz", ".zip")
TABLES = (
    *(".csv", ".tsv", ".tab", ".psv", ".txt", ".dat"),
    *(".json", ".jsonl", ".ndjson", ".parquet", ".xlsx", ".xls"),
)
TOKENS = re.compile(
    r"(?i)([?&][^=&]*(?:token|key|secret|signature|sig|password|passwd|auth|credential)[^=&]*=)"
    r"(?!\$\{)[^&#]*"
)


@dataclass(frozen=True)
class Source:
    """A place that data comes from.

    Attributes
    ----------
    address
        As written, except for secrets; this is what is recorded and printed.
    secret
        The same with everything that is needed to get in; never recorded.
    query
        What is asked of a database.
    name
        What its collection is called, unless another one has that name.
    appends
        Whether what comes later is added to what came before, or takes its place.
    """

    kind: Kind
    address: str
    secret: str
    query: str | None
    name: str
    appends: bool

    @property
    def key(self) -> str:
        """What tells this source from all others."""
        return hashlib.sha256(f"{self.address}\n{self.query or ''}".encode()).hexdigest()[:12]


def parse(text: str, query: str | None = None) -> Source:
    """Find out what kind of source a text names.

    Raises
    ------
    UserError
        If there is no such file, a secret named as `${NAME}` is not set, or a query
        is missing or has no database.
    """
    if "***" in text:
        raise UserError(
            f"{text}: what was secret in it was not kept; give it again, "
            "or as ${NAME} for an environment variable NAME, which is kept"
        )
    scheme = text.split("://")[0].lower() if "://" in text else ""
    kind: Kind
    appends = False
    if scheme in ("http", "https"):
        kind, name = "url", stem(unquote(urlsplit(text).path)) or urlsplit(text).hostname
    elif scheme == "s3":
        kind, name = "bucket", stem(text)
    elif scheme:
        kind, name = "database", table_of(query) or stem(text.split("?")[0])
        if not query:
            raise UserError(
                f"{without_secrets(text)} is a database: say what to read, as in\n"
                "QUERY='select * from orders' (--query on the command line)"
            )
    elif Path(text).is_dir():
        kind, name, appends = "files", Path(text).resolve().name, True
    elif glob.has_magic(text) and not Path(text).exists():
        kind, name, appends = "files", Path(text).parent.name or stem(text), True
    elif not Path(text).is_file():
        raise UserError(f"{text}: there is no such file, folder, or address")
    elif Path(text).suffix in (".yaml", ".yml"):
        from coldstart.data.sources._rest import load

        kind, name, appends = "api", stem(text), load(Path(text)).cursor is not None
    else:
        kind, name = "file", stem(text)
    if query and kind != "database":
        raise UserError(f"a query needs a database address (postgresql://...), not {text}")
    name = re.sub(r"[^\w.-]+", "-", name or "").strip("-.") or "table"
    return Source(kind, without_secrets(text), fill(text) if scheme else text, query, name, appends)


def fetch(source: Source, into: Path, previous: Any) -> dict[str, Any]:
    """Copy what there is into an empty folder.

    Parameters
    ----------
    previous
        The arrival before this one, for a source that can send just what is new.

    Returns
    -------
    dict
        What the next time must know to go on from here; empty for most.

    Raises
    ------
    UserError
        If the source is missing, refuses, or has nothing.
    """
    match source.kind:
        case "file" | "files":
            copy(source.address, into)
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


def copy(address: str, into: Path) -> None:
    """Copy a file, the tables in a folder, or those that a pattern matches."""
    place = Path(address)
    if place.is_file():
        shutil.copyfile(place, into / place.name)
        return
    if place.is_dir():
        root = place
        found = [path for path in place.rglob("*") if is_table(path.relative_to(place))]
    else:
        matches = glob.glob(address, recursive=True)  # noqa: PTH207 (it may be absolute)
        found = [Path(path) for path in matches]
        root = Path(os.path.commonpath([path.parent for path in found])) if found else place
    found = [path for path in found if path.is_file()]
    if not found:
        raise UserError(f"{address}: no tables there ({', '.join(TABLES)}, plain, .gz or .zip)")
    for path in found:
        copied = into / path.relative_to(root)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copied)


def is_table(path: PurePosixPath | Path) -> bool:
    """Whether a file is of a kind that can be read, by its name; hidden files are not."""
    suffix = Path(path.stem).suffix if path.suffix.lower() == ".gz" else path.suffix
    hidden = any(part.startswith((".", "_")) for part in path.parts)
    return not hidden and suffix.lower() in (*TABLES, ".zip")


def stem(text: str) -> str:
    """Last part of a path or an address, without its endings."""
    name = text.rstrip("/").rsplit("/")[-1]
    while Path(name).suffix.lower() in (*PACKED, *TABLES, ".yaml", ".yml", ".db", ".sqlite"):
        name = Path(name).stem
    return name


def table_of(query: str | None) -> str | None:
    """Name of the first table in a query."""
    found = re.search(r"\bfrom\s+[\"`]?([\w.]+)", query or "", re.IGNORECASE)
    return found.group(1) if found else None


def fill(text: str) -> str:
    """Put environment variables in for `${NAME}`.

    Raises
    ------
    UserError
        If one is not set.
    """

    def value(name: re.Match[str]) -> str:
        if name[1] not in os.environ:
            raise UserError(f"{name[0]} is asked for, but {name[1]} is not set in the environment")
        return os.environ[name[1]]

    return re.sub(r"\$\{(\w+)\}", value, text)


def without_secrets(address: str) -> str:
    """Take passwords and tokens out of an address; `${NAME}` is none, and stays."""
    # A database's password may hold anything; a path on the web may hold an @.
    word = "[^/]*" if address.lower().startswith("http") else ".*"
    address = re.sub(r"(://[^/:@]*):(?!\$\{\w+\}@)" + word + "@", r"\1@", address)
    return TOKENS.sub(r"\1***", address) if "://" in address else address
