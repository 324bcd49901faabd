"""What is written in any dialect is read back the same, and found out without being told."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coldstart.config._sections import Dialect
from coldstart.data.reading import _transcoding as transcoding
from coldstart.data.reading._raw import RawTable
from coldstart.data.reading._read import scan

QUICK = settings(deadline=None, max_examples=40)
LETTERS = st.characters(exclude_categories=["C", "Z"])
WESTERN = "aeiourstn äöüßéèñøÅ,;|'\"\n"
CELL = st.text(st.one_of(st.sampled_from(",;|\t\"'\n #^~"), LETTERS), max_size=8).map(str.strip)
Cells = list[list[str]]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(cells: Cells, delimiter: str = ",", quote: str = '"', **options: object) -> str:
    """Write cells as the standard library does."""
    text = io.StringIO(newline="")
    options = {"lineterminator": "\n"} | options
    csv.writer(text, delimiter=delimiter, quotechar=quote, **options).writerows(cells)  # type: ignore[arg-type]
    return text.getvalue()


def read(content: bytes | str, name: str = "table.csv", **dialect: object) -> RawTable:
    """Read what stands in a new file of this name."""
    folder = Path(tempfile.mkdtemp(dir="."))
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return scan(folder / name, Dialect.model_validate(dialect))


def cells_of(table: RawTable) -> Cells:
    """Rows with empty texts for nulls."""
    return [[cell or "" for cell in row] for row in table.frame.collect().iter_rows()]


@st.composite
def tables(draw: st.DrawFn, letters: st.SearchStrategy[str] = LETTERS) -> Cells:
    """Draw a table as people have them: numbers, labels and notes in which anything stands."""
    note = st.text(letters, max_size=12).map(str.strip)
    label = st.sampled_from(["red", "light green", "", "blue"])
    row = st.tuples(
        st.integers(0, 9999).map(str),
        st.decimals(-99, 99, places=2).map(str),
        label,
        note,
        st.integers(1, 5).map(str),
    )
    return [list(row) for row in draw(st.lists(row, min_size=6, max_size=30))]


NAMES = ["id", "weight", "colour", "a note", "grade"]


@QUICK
@given(
    cells=tables(st.sampled_from(WESTERN)),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252", "latin-1"]),
    delimiter=st.sampled_from([",", ";", "\t", "|", "^", "~"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    newline=st.sampled_from(["\n", "\r\n"]),
    decimal=st.sampled_from([".", ","]),
    named=st.booleans(),
    title=st.sampled_from(["", "Report of 2024\n\n", "# made by hand, on Monday\n# twice\n"]),
    notes=st.sampled_from(["", "\nSource: our own scales\n", "\n\n"]),
)
def test_any_dialect_is_detected(
    cells: Cells,
    encoding: str,
    delimiter: str,
    quoting: int,
    newline: str,
    decimal: str,
    named: bool,
    title: str,
    notes: str,
) -> None:
    for row in cells:
        row[1] = row[1].replace(".", decimal)
    text = write([NAMES] * named + cells, delimiter, quoting=quoting, lineterminator=newline)
    text = title.replace("\n", newline) + text + notes.replace("\n", newline)
    # Letters at random are of no language, by which these two would be told from others.
    given = {"encoding": encoding} if encoding in ("cp1252", "latin-1") else {}
    found = read(text.encode(encoding), **given)
    names = NAMES if named else [f"column {number}" for number in range(1, 6)]
    assert found.frame.collect_schema().names() == names
    assert cells_of(found) == cells
    assert not found.quarantined


@QUICK
@given(
    cells=st.integers(1, 4).flatmap(
        lambda width: st.lists(
            st.lists(CELL, min_size=width, max_size=width), min_size=1, max_size=30
        )
    ),
    delimiter=st.sampled_from([",", ";", "\t", "|", "^", ":", "¦", "\x01"]),
    quote=st.sampled_from("\"'"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32", "gb18030"]),
    newline=st.sampled_from(["\n", "\r\n"]),
    block=st.sampled_from([200, 333, 2**22]),
)
def test_any_cells_come_back_when_the_dialect_is_given(
    cells: Cells,
    delimiter: str,
    quote: str,
    quoting: int,
    encoding: str,
    newline: str,
    block: int,
) -> None:
    names = [f"name {number}" for number in range(len(cells[0]))]
    text = "title\n" + write(
        [names, *cells], delimiter, quote, quoting=quoting, lineterminator=newline
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transcoding, "BLOCK", block)
        found = read(
            (text + "below\n").encode(encoding),
            encoding=encoding,
            delimiter=delimiter,
            quote=quote,
            header=True,
            skip=1,
            footer=1,
        )
    assert found.frame.collect_schema().names() == names
    assert cells_of(found) == cells


@QUICK
@given(
    cells=tables(st.one_of(LETTERS, st.sampled_from('\n",'))),
    ragged=st.lists(
        st.tuples(st.integers(0, 29), st.sampled_from(["1,2", "1,2,3,4,5,6", '"x,4'])), max_size=3
    ),
    block=st.sampled_from([150, 2**22]),
)
def test_ragged_lines_are_named_and_every_row_knows_its_line(
    cells: Cells, ragged: list[tuple[int, str]], block: int
) -> None:
    lines, expected, broken, line = [write([NAMES])], [], [], 2
    for number, row in enumerate(cells * 3):
        for _ in [place for place, _ in ragged if place == number]:
            lines.append(dict(ragged)[number] + "\n")
            broken.append(line)
            line += 1
        lines.append(write([row], quoting=csv.QUOTE_MINIMAL))
        expected.append(line)
        line += lines[-1].count("\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transcoding, "BLOCK", block)
        found = read("".join(lines))
    assert found.quarantined.get(found.parts[0].name, []) == broken
    assert cells_of(found) == cells * 3
    places = [found.locate(row) for row in range(found.rows)]
    assert places == [f"{found.parts[0].name}, line {line}" for line in expected]
