"""Predictions that the API kept on the host: `make monitor` reads them here."""

from __future__ import annotations

import tarfile
import tempfile
from pathlib import Path
from typing import Any

from docker.errors import NotFound

from coldstart.images._hosts import told

THERE = "/app/state/served"


def bring(container: Any, folder: Path) -> int:
    """Bring the files of predictions that are not here yet.

    Parameters
    ----------
    container
        Any of the host's; it may have stopped.

    Returns
    -------
    int
        How many files came.
    """
    with tempfile.TemporaryFile() as packed:
        with told(f"{container.name} does not give its predictions"):
            try:
                pieces, _ = container.get_archive(THERE)
            except NotFound:
                return 0
            for piece in pieces:
                packed.write(piece)
        packed.seek(0)
        with tarfile.open(fileobj=packed) as files:
            return sum(unpack(files, member, folder) for member in files)


def unpack(files: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> bool:
    """Write one file, whole or not at all; tell whether it was new."""
    name = Path(member.name).name
    content = files.extractfile(member) if name.endswith(".parquet") else None
    if content is None or name.startswith(".") or (folder / name).exists():
        return False
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f".{name}"
    unfinished.write_bytes(content.read())
    unfinished.replace(folder / name)
    return True
