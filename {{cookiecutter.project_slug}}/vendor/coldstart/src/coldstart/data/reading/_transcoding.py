"""Transcoding: one pass over a text table that proves it regular, or writes a regular copy.

The table is checked in blocks of whole records. In a regular block only delimiters, line feeds
and quotes are looked at, which is several times faster than parsing it.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

import numpy as np

from coldstart.data.reading._dialect import DetectedDialect
from coldstart.data.reading._records import SEPARATOR, parse
from coldstart.errors import UserError

BLOCK = 2**20  # bytes: what fits into a processor's cache
LONGEST = 32_000_000  # bytes of a record
FEED, RETURN = 10, 13  # "\n", "\r"


def decode_bytes(error: UnicodeError) -> tuple[str, int]:
    """Decode bytes that are invalid in the encoding as Windows-1252, or else as Latin-1."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    wrong = error.object[error.start : error.end]
    letters = (bytes([byte]).decode("cp1252", "ignore") or chr(byte) for byte in wrong)
    return "".join(letters), error.end


codecs.register_error("coldstart.bytes", decode_bytes)


@dataclass
class LineIndex:
    """An index of the lines of a text table.

    Attributes
    ----------
    rows : int
        Number of rows.
    shifts : list of ndarray
        For each line that begins no row, the number of the row after it, in order.
    ragged : list of (int, str)
        Line and text of each record with another number of fields.
    repeated : list of int
        Lines that repeat the header.
    has_empty_text : bool
        Whether a quoted field may be empty.
    blank_end : bool
        Whether empty lines follow the last row.
    """

    rows: int = 0
    shifts: list[np.ndarray] = field(default_factory=list)
    ragged: list[tuple[int, str]] = field(default_factory=list)
    repeated: list[int] = field(default_factory=list)
    has_empty_text: bool = False
    blank_end: bool = False


def is_plain(found: DetectedDialect) -> bool:
    """Return whether polars can read the file as it is, provided that it is regular."""
    utf8 = found.encoding in ("utf-8", "utf-8-sig") and not found.lenient
    marked = found.encoding == "utf-8-sig" and found.skip == 0
    return (
        utf8
        and not (marked or found.cr or found.footer)
        and output_delimiter(found) == found.delimiter
    )


def output_delimiter(found: DetectedDialect) -> str:
    """Return the delimiter of the regular copy."""
    simple = len(found.delimiter) == 1 and found.delimiter.isascii() and found.delimiter != " "
    return found.delimiter if simple else SEPARATOR


def transcode(file: IO[bytes], found: DetectedDialect, out: IO[bytes] | None) -> LineIndex | None:
    """Index a table's lines, and write its rows as UTF-8 with equal numbers of fields.

    Parameters
    ----------
    file : file
        The table, opened in binary mode.
    found : DetectedDialect
        How it is written.
    out : file or None
        Where to write. None only checks whether the table is regular as it is.

    Returns
    -------
    LineIndex or None
        None if the table is not regular and `out` is None.

    Raises
    ------
    UnicodeDecodeError
        If the file is not in the detected encoding.
    UserError
        If a line is too long.
    """
    lines, line, rest, names = LineIndex(), found.skip + 1, b"", b""
    for number, (block, final) in enumerate(read_blocks(file, found)):
        data = rest + block
        if number == 0:
            start = line_start(data, found.skip)
            if found.names and found.width > 1:
                names = data[data.rfind(b"\n", 0, start - 1) + 1 : start]
            data = data[start:]
        if final:
            data = data[: footer_start(data, found.footer)]
            kept = data.rstrip(b"\r\n")
            lines.blank_end = data.count(b"\n", len(kept)) > 1
            data = kept + b"\n" if kept else b""
        end, rows, shifts = check_regular(data, found) or (-1, 0, None)
        if shifts is None or (final and end < len(data)) or repeats_header(data, names):
            if out is None:
                return None
            end = write_valid_rows(data, found, final, line, lines, out)
            line += data.count(b"\n", 0, end)
        else:
            text = data[:end]
            text.decode()  # to see that it can be
            if out:
                out.write(text)
            lines.shifts.append(shifts + lines.rows)
            lines.has_empty_text |= found.quote.encode() * 2 in text
            lines.rows += rows
            line += rows + len(shifts)
        rest = data[end:]
        if len(rest) > LONGEST:  # each block would be searched again with all before it
            raise UserError(
                f"line {line} is longer than {LONGEST / 1e6:.0f} MB: is this a table, with a row "
                "in each line?"
            )
        if len(lines.ragged) > max(10_000, lines.rows):
            break  # this will be refused
    return lines


def read_blocks(file: IO[bytes], found: DetectedDialect) -> Iterator[tuple[bytes, bool]]:
    """Yield a file as UTF-8 with line feeds, and whether the block is the last one.

    The last block is not short unless it is the only one, so that it holds all of the footer.
    """
    plain = found.encoding in ("utf-8", "utf-8-sig") and not found.lenient
    errors = "strict" if found.encoding == "utf-8" and not found.lenient else "coldstart.bytes"
    decoder = codecs.getincrementaldecoder(found.encoding)(errors)

    def convert(block: bytes, final: bool) -> bytes:
        block = block if plain else decoder.decode(block, final).encode()
        return block.replace(b"\r", b"\n") if found.cr else block

    block = file.read(BLOCK)
    if plain:
        block = block.removeprefix(codecs.BOM_UTF8)
    while len(following := file.read(BLOCK)) == BLOCK:
        yield convert(block, False), False
        block = following
    yield convert(block + following, True), True


def line_start(data: bytes, count: int) -> int:
    """Return the position of a line by its number from 0."""
    place = 0
    for _ in range(count):
        place = data.find(b"\n", place) + 1 or len(data)
    return place


def footer_start(data: bytes, count: int) -> int:
    """Return the position of the first of the last `count` lines."""
    place = len(data)
    for _ in range(count):
        place = data.rfind(b"\n", 0, max(place - 1, 0)) + 1
    return place


def repeats_header(data: bytes, names: bytes) -> bool:
    """Return whether the header is repeated among the rows, as in concatenated files."""
    return bool(names) and (data.startswith(names) or b"\n" + names in data)


def check_regular(data: bytes, found: DetectedDialect) -> tuple[int, int, np.ndarray] | None:
    """Check that all rows have the same number of fields, and quotes are where they belong.

    Parameters
    ----------
    data : bytes
        Begins with a record, and may end within one.
    found : DetectedDialect
        How the table is written.

    Returns
    -------
    tuple of (int, int, ndarray) or None
        Where the last whole record ends, the number of records, and `LineIndex.shifts`. None if
        the block is not regular.
    """
    if (
        output_delimiter(found) != found.delimiter
        or not found.quote.isascii()
        or len(data) > 4 * BLOCK
    ):
        return None
    mark, quote = ord(found.delimiter), ord(found.quote)
    if quote not in data:
        end = data.rfind(b"\n") + 1
        skeleton = data[:end].translate(None, bytes({*range(256)} - {mark, FEED}))
        shifts = np.empty(0, np.int64)
    else:
        buffer = np.frombuffer(b"\n%b\n" % data, np.uint8)  # so that all have neighbours
        quotes = np.flatnonzero(buffer == quote)
        opening, closing = quotes[0::2], quotes[1::2]
        limits = np.zeros(256, bool)
        limits[[mark, FEED, quote]] = True
        if not limits[buffer[opening - 1]].all():
            return None
        limits[RETURN] = True
        if not limits[buffer[closing + 1]].all():
            return None
        skeleton = data.translate(None, bytes({*range(256)} - {mark, FEED, quote}))
        kinds = np.frombuffer(skeleton, np.uint8)
        is_quote, is_feed = kinds == quote, kinds == FEED
        inside = (np.cumsum(is_quote, dtype=np.uint8) & 1).astype(bool)
        ends = np.flatnonzero(is_feed & ~inside)
        whole = slice(0, ends[-1] + 1 if len(ends) else 0)
        skeleton = kinds[whole][~(inside | is_quote)[whole]].tobytes()
        end = data.rfind(b"\n") + 1
        if len(quotes) % 2 or end <= quotes[-1]:  # this line feed may be quoted
            feeds = np.flatnonzero(buffer[1:-1] == FEED)[~inside[is_feed]]
            end = int(feeds[-1]) + 1 if len(feeds) else 0
        shifts = np.searchsorted(ends, np.flatnonzero((is_feed & inside)[whole])) + 1
    row = found.delimiter.encode() * (found.width - 1) + b"\n"
    if skeleton != row * (len(skeleton) // len(row)):
        return None
    return end, len(skeleton) // len(row), shifts


def write_valid_rows(
    data: bytes, found: DetectedDialect, final: bool, line: int, lines: LineIndex, out: IO[bytes]
) -> int:
    """Write the valid rows of an irregular block, and index the others.

    Parameters
    ----------
    data : bytes
        The block.
    found : DetectedDialect
        How the table is written.
    final : bool
        Whether the table ends with this block.
    line : int
        Number of the block's first line in the file.
    lines : LineIndex
        Index that is extended.
    out : file
        Where to write.

    Returns
    -------
    int
        Where the last whole record ends.
    """
    texts = data.decode().split("\n")
    last = texts.pop()  # what follows the last line feed
    buffer = io.StringIO(newline="")
    writer = csv.writer(
        buffer, delimiter=output_delimiter(found), quotechar=found.quote, lineterminator="\n"
    )
    shifts, stop = [], 0
    final = final or len(data) > 4 * BLOCK
    for start, stop, fields in parse(texts, found.delimiter, found.quote, found.width, final):
        blank = len(fields) == 0 or (len(fields) == 1 < found.width and not fields[0].strip())
        row = [] if blank else fields
        if len(row) > found.width and not any(cell.strip() for cell in row[found.width :]):
            row = row[: found.width]
        if found.width > 1 and row == found.names:
            lines.repeated.append(line + start)
        elif len(row) == found.width or (found.width == 1 and not row):
            writer.writerow(row or [""])
            shifts += [lines.rows + 1] * (stop - start - 1)
            lines.rows += 1
            continue
        elif row:
            lines.ragged.append((line + start, "\n".join(texts[start:stop])))
        shifts += [lines.rows] * (stop - start)
    lines.shifts.append(np.array(shifts, dtype=np.int64))
    lines.has_empty_text = True
    out.write(buffer.getvalue().encode())
    return len(data) - len("\n".join([*texts[stop:], last]).encode())
