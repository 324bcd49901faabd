"""Files that are replaced as a whole, or not at all."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, content: str | bytes) -> None:
    """Replace a file by new content; if that fails, the file stays as it was.

    Parameters
    ----------
    path : Path
        The file, which need not exist.
    content : str or bytes
        Its new content; text is written as UTF-8, with the ends of lines that it has.

    Raises
    ------
    OSError
        If it cannot be written. No part of it is left.
    """
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        unfinished.write_bytes(content.encode() if isinstance(content, str) else content)
        unfinished.replace(path)
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
