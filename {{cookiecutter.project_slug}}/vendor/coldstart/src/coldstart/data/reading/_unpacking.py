"""Unpacking: the kind of a file by its first bytes, and the tables in an archive."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import IO, Any, Literal

from coldstart.errors import UserError

CACHE = Path("data/prepared/.cache")
BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError)
TABLES = re.compile(
    r"\.(csv|tsv|tab|psv|txt|dat|data|jsonl?|ndjson|parquet|pq|xlsx?|xlsm|xlsb|ods)(\.(gz|bz2|xz))?$"
    r"|\.zip$",
    re.IGNORECASE,
)
NOT_DATA = re.compile(r"^(\.|_|readme|licen[sc]e|__macosx)", re.IGNORECASE)
PACKED: dict[bytes, Callable[[Any], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
UNSUPPORTED = {
    b"%PDF": "a PDF document: save its table as CSV",
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
    b"GIF8": "an image",
    b"version https://git-lfs": "a pointer of Git LFS and not the file: run git lfs pull",
    b"SQLite format 3": "an SQLite database: name it as a source, sqlite:///FILE, with a query",
    b"\x80\x04\x95": "a Python pickle: save the table as Parquet or CSV",
    b"\x89HDF": "an HDF5 file: save the table as Parquet or CSV",
    b"7z\xbc\xaf": "a 7z archive: unpack it",
    b"Rar!": "a RAR archive: unpack it",
}
MAX_TABLES = 2_000  # in an archive; each is a file in the cache
UNPACKED, RATIO = 2**30, 200  # bytes; a larger file that packs better than this is refused
Kind = Literal["text", "json", "parquet", "excel"]


def detect_kind(file: Path) -> Kind:
    """Return what kind of table a file holds, by its first bytes.

    Raises
    ------
    UserError
        If it holds none.
    """
    with file.open("rb") as opened:
        head = opened.read(4096)
    if not head.strip():
        raise UserError("the file is empty")
    for start, what in UNSUPPORTED.items():
        if head.startswith(start):
            raise UserError(f"this is {what}")
    if head[257:262] == b"ustar":
        raise UserError("this is a tar archive: unpack it")
    if head.startswith(b"PAR1"):
        return "parquet"
    if file.suffix.lower() in (".parquet", ".pq"):
        raise UserError("it cannot be read: this is not a Parquet file")
    if head.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        if is_other_archive(file):  # a workbook is one, too
            raise UserError("this is an archive within an archive: unpack the outer one")
        return "excel"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if re.match(rb"<(!doctype|html|head|body|\?xml|table)", text, re.IGNORECASE):
        raise UserError("this is a web page or XML, not a table: was a login needed?")
    if re.match(rb'\{\s*("|\})|\[\s*([{\]"\[]|-?\d)', text):
        return "json"
    return "text"


def is_workbook(names: Iterable[str]) -> bool:
    """Return whether a zip archive of these files is a workbook."""
    return not {"xl/workbook.xml", "xl/workbook.bin", "content.xml"}.isdisjoint(names)


def is_other_archive(file: Path) -> bool:
    """Return whether a file is a zip archive, but not a workbook."""
    try:
        with zipfile.ZipFile(file) as archive:
            return not is_workbook(archive.namelist())
    except BROKEN:
        return False  # an old workbook, or a broken one


def unpack(file: Path) -> list[tuple[str, Path]]:
    """Return the name and path of each table in an archive, or of a file that is not an archive.

    Raises
    ------
    UserError
        If the archive is broken, protected or holds no table.
    """
    try:
        with file.open("rb") as opened:
            head = opened.read(6)
        opener = next((PACKED[start] for start in PACKED if head.startswith(start)), None)
        if opener:
            unpacked = cached(file, "unpacked", partial(extract, opener, file))
            return [(str(file), unpacked)]
        if head.startswith(b"PK\x03\x04") or head.startswith(b"PK\x05\x06"):
            return zip_members(file)
    except BROKEN as error:
        raise UserError(f"{file} cannot be read: {error}") from None
    return [(str(file), file)]


def zip_members(file: Path) -> list[tuple[str, Path]]:
    """Return the name and path of each table in a zip archive, or of a workbook itself."""
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        if is_workbook(names):
            return [(str(file), file)]
        if "word/document.xml" in names:
            raise UserError(f"{file}: this is a Word document: save its table as CSV")
        tables = [
            info
            for info in archive.infolist()
            if not info.is_dir()
            and TABLES.search(info.filename)
            and not any(NOT_DATA.match(part) for part in Path(info.filename).parts)
        ]
        if not tables:
            raise UserError(f"{file}: there is no table in this archive")
        if len(tables) > MAX_TABLES:
            raise UserError(
                f"{file}: {len(tables):,} tables are in this archive, at most {MAX_TABLES:,} can "
                "be read: unpack it, and name the folder"
            )
        if any(info.flag_bits & 1 for info in tables):
            raise UserError(f"{file}: the archive is protected by a password: unpack it")
        found = []
        for info in tables:
            name = str(file) if len(tables) == 1 else f"{file}/{info.filename}"
            write = partial(extract, archive.open, info)
            found.append((name, cached(file, info.filename, write)))
    return found


def extract(open_packed: Callable[[Any], IO[bytes]], packed: Any, target: Path) -> None:
    """Unpack one file, a piece at a time."""
    size = packed.compress_size if isinstance(packed, zipfile.ZipInfo) else packed.stat().st_size
    with open_packed(packed) as source, target.open("wb") as sink:
        while piece := source.read(2**20):
            sink.write(piece)
            if sink.tell() > max(UNPACKED, RATIO * size):
                raise OSError(
                    f"unpacked, it is more than {RATIO} times as large, and would fill the disk; "
                    "if it should be so large, unpack it and name the unpacked file"
                )


def cached(source: Path, what: str, write: Callable[[Path], None]) -> Path:
    """Return what was derived from a file before, or derive it now.

    The cache key is the file's path, time and size. What was derived from an earlier state of the
    file is removed.

    Parameters
    ----------
    source : Path
        The file.
    what : str
        What is derived from it.
    write : callable
        Writes the derived file to a path.

    Returns
    -------
    Path
        The derived file.
    """
    status = source.stat()
    place = hashlib.sha256(str(source.resolve()).encode()).hexdigest()[:12]
    state = f"{place}-{status.st_mtime_ns}-{status.st_size}"
    target = CACHE / f"{state}-{hashlib.sha256(what.encode()).hexdigest()[:12]}"
    if not target.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        for old in CACHE.glob(f"{place}-*"):
            if not old.name.startswith(state):
                old.unlink(missing_ok=True)
        unfinished = target.with_name(f"{target.name}.{os.getpid()}")
        try:
            write(unfinished)
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)
    return target
