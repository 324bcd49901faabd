"""The marked lines of a file, and the text between them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from coldstart._writing import write_whole
from coldstart.errors import UserError

BEGIN, END = "<!-- report: {} -->", "<!-- end report -->"
MARK = re.compile(r"^<!-- (?:report: (\w+)|end report) -->[ \t]*\r?\n?", re.MULTILINE)


def fill(path: Path, blocks: Mapping[str, str]) -> list[str]:
    """Write each block between its marks, and leave the rest of the file as it is.

    Parameters
    ----------
    path : Path
        The file.
    blocks : mapping
        Text by the name in its mark.

    Returns
    -------
    list of str
        Names of the blocks that were written.

    Raises
    ------
    UserError
        If there are no marks, or they do not make pairs; the file is then as it was.
    """
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    marks = list(MARK.finditer(text))
    if not marks:
        paste = "; ".join(f"{BEGIN.format(name)} and {END}" for name in blocks)
        raise UserError(
            f"{path} has no marks: paste, each on its own line, where it belongs: {paste}"
        )
    parts, place, names = [], 0, []
    for begin, end in zip(marks[::2], [*marks[1::2], None], strict=False):
        name = begin[1]
        line = text.count("\n", 0, begin.start()) + 1
        if name is None or end is None or end[1] is not None:
            raise UserError(f"{path}, line {line}: {begin[0].strip()} needs a partner; see {END}")
        if name not in blocks:
            raise UserError(f"{path}, line {line}: no {name!r}; choose among {', '.join(blocks)}")
        block = f"\n{blocks[name]}\n\n" if blocks[name] else ""
        parts += [text[place : begin.end()], block.replace("\n", newline(text))]
        place = end.start()
        names.append(name)
    write_whole(path, "".join([*parts, text[place:]]))
    return names


def newline(text: str) -> str:
    """Return how lines end in a text."""
    return "\r\n" if "\r\n" in text else "\n"
