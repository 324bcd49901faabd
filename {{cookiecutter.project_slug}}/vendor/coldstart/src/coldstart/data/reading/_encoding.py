"""Encodings: UTF-8 and UTF-16 are proved by their bytes, all others are guessed."""

from __future__ import annotations

import codecs
import re
from itertools import islice
from pathlib import Path

from coldstart.errors import UserError

UNDEFINED = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")  # in Windows-1252
CONTROL = re.compile(rb"[\x00\x02-\x08\x0b\x0e-\x1a]")
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# What programs write tables in. Of rare encodings some table would look like one by chance.
LEGACY = {
    **{f"cp125{number}": f"Windows-125{number}" for number in range(9)},
    **{f"iso8859-{number}": f"ISO 8859-{number}" for number in (2, 5, 7, 13)},
    **{"koi8-r": "KOI8-R", "koi8-u": "KOI8-U", "mac-roman": "Mac Roman"},
    **{name: f"code page {name[2:]}" for name in ("cp437", "cp850", "cp852", "cp866")},
    **{"cp874": "Windows-874 (Thai)", "cp932": "Shift JIS", "euc_jis_2004": "EUC-JP"},
    **{"gb18030": "GB 18030", "big5hkscs": "Big5", "cp949": "Windows-949 (Korean)"},
}
# No field ends or begins within these, and in no encoding above are they a part of a letter.
FIELD_ENDS = re.compile(rb'[,;\t\r\n"]')
FIELDS = 3000  # with other letters that are looked at
LOWEST = 0.025  # confidence of chardet in short texts, where 0.1 is much
AT_ODDS = 1.5  # times the confidence of Windows-1252, which is the most frequent of them


def detect_encoding(head: bytes, tail: bytes, notes: list[str]) -> tuple[str, bool]:
    """Return the encoding, and whether some bytes are invalid in it."""
    for mark, name in MARKS.items():
        if head.startswith(mark):
            if name != "utf-8-sig":
                notes.append(f"the encoding is {name.upper()}")
            return name, False
    if b"\0" in head:
        evens, odds, half = head[0::2].count(0), head[1::2].count(0), len(head) / 2
        if max(evens, odds) > 0.3 * half and min(evens, odds) < 0.05 * half:
            name = "utf-16-be" if evens > odds else "utf-16-le"
            notes.append(f"the encoding is {name.upper()}")
            return name, False
    if b"\0" in head or len(CONTROL.findall(head)) > 0.04 * len(head):
        raise UserError("this is neither text nor another kind of table that can be read")
    if tail:  # the head ends somewhere in a line, maybe in a letter
        head = head[: head.rfind(b"\n") + 1] or head
    sample = head + tail[tail.find(b"\n") + 1 :]
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(sample)  # the end may be cut
    wrong = text.count("\ufffd") - sample.count("\ufffd".encode())
    if wrong <= 0:
        return "utf-8", False
    return guess_legacy_encoding(sample, notes)


def guess_legacy_encoding(sample: bytes, notes: list[str]) -> tuple[str, bool]:
    """Return the encoding of text that is not UTF-8, and whether some bytes are invalid in it."""
    text = sample.decode(errors="replace")
    if sum(character > "\x7f" for character in text) > 4 * text.count("\ufffd"):
        notes.append("the encoding is UTF-8, but some letters are not and are read as Windows-1252")
        return "utf-8", True
    name = detect_legacy_encoding(sample)
    called = LEGACY[name]
    if name == "cp1252" and UNDEFINED.search(sample):
        name, called = "latin-1", "Latin-1"
    notes.append(
        f"the encoding is not UTF-8 and is taken for {called}; "
        "if letters look wrong, set data.dialect.encoding"
    )
    return name, False


def detect_legacy_encoding(sample: bytes) -> str:
    """Return the encoding of some lines that are not UTF-8: Windows-1252 if little tells.

    Only distinct fields with letters outside ASCII are looked at: among numbers and plain words a
    few names would not weigh.
    """
    import chardet  # most tables are UTF-8

    fields = (field for field in FIELD_ENDS.split(sample) if not field.isascii())
    text = b"\n".join(islice(dict.fromkeys(fields), FIELDS))
    found = {"cp1252": 0.0}
    for one in chardet.detect_all(
        text,
        ignore_threshold=True,
        compat_names=False,
        include_encodings=LEGACY,
        no_match_encoding="cp1252",
    ):
        if one["encoding"]:
            found[one["encoding"]] = one["confidence"]
    best = max(found, key=lambda name: found[name])
    return best if found[best] >= max(LOWEST, AT_ODDS * found["cp1252"]) else "cp1252"


def lines_beyond_ascii(path: Path) -> bytes:
    """Return the first lines of a file that have letters outside ASCII."""
    with path.open("rb") as file:
        lines = iter(lambda: file.readline(2**16), b"")
        return b"".join(islice((line for line in lines if not line.isascii()), FIELDS))


def decode(sample: bytes, encoding: str) -> str:
    """Decode the beginning or the end of a file, where a character may be cut."""
    if encoding == "utf-16" and sample[:2] not in MARKS:  # the end has no mark
        encoding = "utf-16-le" if sample[1::2].count(0) > sample[0::2].count(0) else "utf-16-be"
    return codecs.getincrementaldecoder(encoding)("replace").decode(sample).removeprefix("\ufeff")
