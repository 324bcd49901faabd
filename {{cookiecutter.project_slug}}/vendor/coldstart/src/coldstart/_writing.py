"""Files that are replaced as a whole, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Yield where to write a file, which takes its place at the end; after an error it is deleted.

    Parameters
    ----------
    path : Path
        Place of the file. An older one stays until the new one is whole.

    Yields
    ------
    Path
        A hidden file beside it.
    """
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Replace a file by a text as a whole, or not at all."""
    with new_file(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
