"""The size of a workbook, before it is loaded: its cells are held in memory as one rectangle."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from coldstart.data.reading._unpacking import BROKEN
from coldstart.errors import UserError

CELLS = 50_000_000  # of a sheet, from its first to its last row and column
UNPACKED = 2_000_000_000  # bytes, of all parts of the workbook
CELL = re.compile(rb'<(?:\w+:)?c\b[^>]*?\sr="([A-Za-z]+)(\d+)"')
ADVICE = "delete what lies beside the table, or save the table as CSV"


def check_unpacked(file: Path) -> None:
    """Check that a workbook does not unpack to more than memory holds.

    Raises
    ------
    UserError
        If it does.
    """
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            size = sum(info.file_size for info in archive.infolist())
        if size > UNPACKED:
            raise UserError(f"the workbook unpacks to {size / 1e9:.1f} GB: {ADVICE}")


def check_cells(file: Path, sheet: str) -> None:
    """Check that the rectangle of a sheet's cells is not too large. One cell may be far away.

    Raises
    ------
    UserError
        If it is too large, or the workbook is broken.
    """
    if not zipfile.is_zipfile(file):
        return  # .xls
    try:
        with zipfile.ZipFile(file) as archive:
            if "content.xml" in archive.namelist():
                rows, columns = measure_ods(archive, sheet)
            elif name := find_part(archive, sheet):
                rows, columns = measure_xlsx(archive, name)
            else:
                return  # .xlsb
    except (ElementTree.ParseError, *BROKEN) as error:
        raise UserError(f"the workbook cannot be read: it is broken ({error})") from None
    if rows * columns > CELLS:
        raise UserError(
            f"sheet {sheet!r} reaches to row {rows:,} and column {columns:,}, "
            f"which are too many cells: {ADVICE}"
        )


def find_part(archive: zipfile.ZipFile, sheet: str) -> str | None:
    """Return the name of the part that holds a sheet's cells as XML."""
    names = archive.namelist()
    relations = "xl/_rels/workbook.xml.rels"
    if "xl/workbook.xml" not in names or relations not in names:
        return None
    targets = {
        one.get("Id"): one.get("Target", "")
        for one in ElementTree.fromstring(archive.read(relations))
    }
    for one in ElementTree.fromstring(archive.read("xl/workbook.xml")).iter():
        if one.tag.endswith("}sheet") and one.get("name") == sheet:
            keys = [one.attrib[name] for name in one.attrib if name.endswith("}id")]
            target = targets.get(keys[0], "") if keys else ""
            part = target.lstrip("/") if target.startswith("/") else f"xl/{target}"
            return part if part in names else None
    return None


def measure_xlsx(archive: zipfile.ZipFile, part: str) -> tuple[int, int]:
    """Return the last row and column that hold a cell."""
    rows = columns = 0
    for text in blocks(archive, part):
        found = CELL.findall(text)
        rows = max(rows, max((int(row[:20]) for _, row in found), default=0))
        for letters in {letters for letters, _ in found}:
            number = 0
            for letter in letters.upper():
                number = 26 * number + letter - 64
            columns = max(columns, number)
    return rows, columns


def blocks(archive: zipfile.ZipFile, part: str) -> Iterator[bytes]:
    """Yield a part of the workbook in blocks that end between two tags."""
    rest = b""
    with archive.open(part) as opened:
        while block := opened.read(2**20):
            text = rest + block
            end = text.rfind(b"<")
            if end > 0:
                yield text[:end]
                rest = text[end:]
            else:
                rest = text
    yield rest


def measure_ods(archive: zipfile.ZipFile, sheet: str) -> tuple[int, int]:
    """Return the last row and column that hold a cell, where one may stand for many."""
    rows = columns = height = width = 0
    here = False
    with archive.open("content.xml") as opened:
        for event, one in ElementTree.iterparse(opened, ("start", "end")):
            name = one.tag.rpartition("}")[2]
            if name == "table" and event == "start":
                here = attribute(one, "name") == sheet
                height = 0
            elif name == "table-row" and event == "start":
                width = last = 0
            elif name == "table-cell" and event == "end":
                width += int(attribute(one, "number-columns-repeated") or 1)
                last = width if len(one) else last
                one.clear()
            elif name == "table-row" and event == "end":
                height += int(attribute(one, "number-rows-repeated") or 1)
                if here and last:
                    rows, columns = height, max(columns, last)
                one.clear()
    return rows, columns


def attribute(one: ElementTree.Element, name: str) -> str | None:
    """Return an attribute by its name without the namespace."""
    return next((one.attrib[key] for key in one.attrib if key.endswith("}" + name)), None)
