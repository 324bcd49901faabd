"""The files in which a graph keeps its weights beside model.onnx: above 2 GB it has to.

ONNX calls them external data. `onnxruntime` opens no file outside of the bundle's folder. Here the
graph's own list of them is read, so that one whose checksum is not in the manifest is refused.

References
----------
https://github.com/onnx/onnx/blob/main/docs/ExternalData.md, and onnx.proto3 for the numbers below
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

KEY = b"location"
MESSAGES = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
    "entry": {1: "key", 2: "value"},
}
"""Of each kind of message that can hold external data, its fields that can, by number."""


def external_files(path: Path) -> set[str]:
    """Return the locations of a graph's external data, as the graph has them.

    Parameters
    ----------
    path : Path
        The graph.

    Returns
    -------
    set of str
        Empty for a graph that is one file.

    Raises
    ------
    ValueError
        If the file is not a graph.
    """
    with path.open("rb") as file:
        if not path.stat().st_size:
            return set()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if content.find(KEY) < 0:  # the usual case, for which nothing needs to be parsed
                return set()
            try:
                return set(locations(content, 0, len(content), "model"))
            except RecursionError:
                raise ValueError("messages are nested too deeply") from None


def locations(content: mmap.mmap, start: int, end: int, kind: str) -> Iterator[str]:
    """Yield the locations in a message."""
    key = value = b""
    for number, first, last in fields(content, start, end):
        inner = MESSAGES[kind].get(number)
        if inner == "key":
            key = content[first:last]
        elif inner == "value":
            value = content[first:last]
        elif inner:
            yield from locations(content, first, last, inner)
    if key == KEY:
        yield value.decode(errors="replace")


def fields(content: mmap.mmap, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield number, start and end of the fields of a message that have a length.

    Raises
    ------
    ValueError
        If a field is longer than the message.
    """
    while at < end:
        tag, at = varint(content, at, end)
        number, wire = tag >> 3, tag & 7
        if wire == 2:
            size, at = varint(content, at, end)
        elif wire == 0:
            size = varint(content, at, end)[1] - at
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"a field of type {wire}")
        if at + size > end:
            raise ValueError("a field is longer than its message")
        if wire == 2:
            yield number, at, at + size
        at += size


def varint(content: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    """Return a number of variable length, and where it ends."""
    number = 0
    for shift in range(0, 70, 7):
        if at >= end:
            break
        byte = content[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
    raise ValueError("a number without an end")
