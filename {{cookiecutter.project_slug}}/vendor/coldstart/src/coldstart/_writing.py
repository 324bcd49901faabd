"""Files that are replaced as a whole, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
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

    Raises
    ------
    OSError
        If it cannot be written; it names the file, not the hidden one.
    """
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        yield unfinished
        unfinished.replace(path)
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes) -> None:
    """Replace a file by new content; if that fails, it stays as it was.

    Parameters
    ----------
    path : Path
        The file, which need not exist.
    content : str or bytes
        Its new content. Text is written as UTF-8, with the ends of lines that it has.
    """
    with new_file(path) as unfinished:
        unfinished.write_bytes(content.encode() if isinstance(content, str) else content)
