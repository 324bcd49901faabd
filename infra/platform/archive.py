"""The file of a backup: a tar archive, whose last member lists the others with their hashes.

So a file that is truncated, changed or not a backup is refused before any of it is used.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

DATABASE, CONTENTS = "database.dump", "contents.json"  # its first and its last member
FORMAT = "coldstart tracking platform, 1"
FOREIGN = "is not a backup of a platform"


class BadBackupError(Exception):
    """A file is not a complete backup, and why."""


class Hashed:
    """A file that is hashed while it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.hash = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        content = self.file.read(size)
        self.hash.update(content)
        return content


class Writer:
    """Adds files to a backup."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self.archive = archive
        self.hashes = dict[str, str]()

    def add(self, member: tarfile.TarInfo, content: IO[bytes]) -> None:
        """Add a file. The member holds its name and size."""
        read = Hashed(content)
        self.archive.addfile(member, read)
        self.hashes[member.name] = read.hash.hexdigest()

    def finish(self, **more: Any) -> None:
        """Add the list of contents, without which the archive is not valid."""
        text = json.dumps({"format": FORMAT, **more, "files": self.hashes}).encode()
        member = tarfile.TarInfo(CONTENTS)
        member.size = len(text)
        self.archive.addfile(member, io.BytesIO(text))


@contextmanager
def write(path: Path) -> Iterator[Writer]:
    """Write a backup. The file gets its name when it is complete and on the disk."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    try:
        # It holds hashes of passwords and models, so only its owner may read it.
        with os.fdopen(
            os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb"
        ) as file:
            with tarfile.open(fileobj=file, mode="w") as archive:
                yield Writer(archive)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
    finally:
        unfinished.unlink(missing_ok=True)


def verify(path: Path) -> dict[str, Any]:
    """Read a whole backup, and return its list of contents.

    Raises
    ------
    BadBackupError
        If it is not a backup, or not complete.
    """
    names, hashes = list[str](), dict[str, str]()
    contents = b""
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                names.append(member.name)
                file = archive.extractfile(member)
                if names[0] != DATABASE or contents or file is None:
                    raise BadBackupError(FOREIGN)
                if member.name == CONTENTS:
                    contents = file.read()
                    continue
                read = Hashed(file)
                while read.read(2**20):
                    pass
                hashes[member.name] = read.hash.hexdigest()
    except tarfile.ReadError:
        raise BadBackupError("is truncated" if names[:1] == [DATABASE] else FOREIGN) from None
    if not contents:
        raise BadBackupError("is truncated" if names else FOREIGN)
    listed: dict[str, Any] = json.loads(contents)
    if listed["format"] != FORMAT:
        raise BadBackupError(f"has another format than this platform's: {listed['format']}")
    if listed["files"] != hashes:
        raise BadBackupError("is damaged: its files have other checksums than its list")
    return listed
