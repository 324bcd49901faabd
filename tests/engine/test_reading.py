"""Reading changes nothing, says what it finds out, and what is wrong with a file."""

from __future__ import annotations

import datetime as dt
import decimal
import gzip
import io
import json
import lzma
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fastexcel
import openpyxl
import polars as pl
import pytest

from coldstart.config._sections import DataSettings, Dialect, Join
from coldstart.data.reading import _unpacking
from coldstart.data.reading._raw import RawTable
from coldstart.data.reading._read import read, scan
from coldstart.errors import UserError

TABLE = "id,effect,code\n1,None,007\n2,NA,1e3\n3,,nan\n"
ROWS = [("1", "None", "007"), ("2", "NA", "1e3"), ("3", None, "nan")]
MANY = "".join(f"{number},x{number}\n" for number in range(100))


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def table_of(content: str | bytes, name: str = "table.csv", **dialect: Any) -> RawTable:
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    return read(DataSettings(table=Path(name), dialect=Dialect(**dialect)))


def rows_of(content: str | bytes, name: str = "table.csv", **dialect: Any) -> list[Any]:
    return table_of(content, name, **dialect).frame.collect().rows()


def zipped(files: Mapping[str, str | bytes]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        for name, content in files.items():
            opened.writestr(name, content)
    return archive.getvalue()


def workbook(*sheets: list[list[Any]]) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book["Sheet"])
    for number, rows in enumerate(sheets, 1):
        sheet = book.create_sheet(f"sheet {number}")
        for row in rows:
            sheet.append(row)
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def test_only_an_empty_field_is_missing_and_every_other_value_stays_as_it_is_written() -> None:
    assert rows_of(TABLE) == ROWS


def test_a_regular_file_is_read_where_it_is() -> None:
    table_of(TABLE.replace("\n", "\r\n"))
    assert [path.name for path in Path().iterdir()] == ["table.csv"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("table.csv.gz", gzip.compress(TABLE.encode(), mtime=0)),
        ("table", gzip.compress(TABLE.encode(), mtime=0)),
        ("table.tsv", TABLE.replace(",", "\t")),
        (
            "table.zip",
            zipped({"in/table.csv": TABLE, "README.txt": "?", "__MACOSX/in/._table.csv": "?"}),
        ),
        ("table.txt", TABLE.replace(",", ";").encode("utf-16")),
    ],
)
def test_archives_and_other_dialects_read_as_the_plain_table_does(
    name: str, content: str | bytes
) -> None:
    assert rows_of(content, name) == ROWS
    assert rows_of(content, name) == ROWS  # from the cache


def test_a_copy_is_made_anew_when_the_file_has_changed() -> None:
    assert rows_of("a;b\n1;é\n".encode("cp1252")) == [("1", "é")]
    assert rows_of("a;b\n1;ü\n2;ü\n".encode("cp1252")) == [("1", "ü"), ("2", "ü")]
    assert len(list(Path("data/prepared/.cache").iterdir())) == 2  # the copy and its lines


DETECTED = {
    "decimal comma": ("a;b\n1,5;2,5\n", ["a", "b"], [("1,5", "2,5")], "semicolon"),
    "one column": ("x\n1,5\n2,5\n", ["x"], [("1,5",), ("2,5",)], ""),
    "words": ("name\nAda Lovelace\n", ["name"], [("Ada Lovelace",)], ""),
    "texts": ("said\nyes, no\nno\nno, or, so\n", ["said"], [("yes, no",), ("no",)], ""),
    "lists in cells": ("n,kinds\n1,A|B\n2,B|C\n", ["n", "kinds"], [("1", "A|B")], ""),
    "blanks": ("id   x\n1    2.5\n10   3.5\n", ["id", "x"], [("1", "2.5")], "blanks"),
    "blanks, tab": (
        '18.0  8  "a b"\t1\n7.0   4  "c"\t2\n',
        None,
        [("18.0", "8", "a b", "1")],
        "there is no header",
    ),
    "blanks before quotes": ('a, b\n1, "x, y"\n2, "z"\n', ["a", "b"], [("1", "x, y")], ""),
    "labels": (
        "".join(f"{'ham' if n % 3 else 'spam'}\tText {n}, and so on\n" for n in range(1, 20)),
        None,
        [("ham", "Text 1, and so on")],
        "there is no header",
    ),
    "notes": ("a,b,c\n1,2,3\n4,5,6\n* one, two\n", ["a", "b", "c"], [("1", "2", "3")], "* one"),
    "times": ("when\n2024-01-05 03:04\n2024-01-06 03:05\n", ["when"], [("2024-01-05 03:04",)], ""),
    "unknown": ("?,2.5,x\n2,3.5,y\n4,?,y\n", None, [("?", "2.5", "x")], "there is no header"),
    "colons": ("a::b\n1::2\n2::3\n", ["a", "b"], [("1", "2")], "'::'"),
    "told by Excel": ("sep=;\na;b\n1;2\n", ["a", "b"], [("1", "2")], "sep=;"),
    "no names": ("1,2.5,x\n2,3.5,y\n", None, [("1", "2.5", "x")], "there is no header"),
    "letters": ("p,e\ne,p\n" * 9, None, [("p", "e")], "there is no header"),
    "years": ("land,2019,2020,2021\nA,1,2,3\n", ["land", "2019", "2020", "2021"], [], ""),
    "index": (",a\n0,5\n1,6\n", ["column 1", "a"], [("0", "5")], "without a name"),
    "R": ('"a","b"\n"1",5,6\n"2",7,8\n', ["column 1", "a", "b"], [("1", "5", "6")], "first column"),
    "title": ("Fruit, 2024\n\na,b,c,d\n1,2,3,4\n", ["a", "b", "c", "d"], [], "'Fruit, 2024'"),
    "padded title": ("Fruit,,\na,b,c\n1,2,3\n", ["a", "b", "c"], [("1", "2", "3")], "Fruit"),
    "comments": ("# one, two\n# three\na,b\n1,2\n", ["a", "b"], [("1", "2")], "2 lines"),
    "commented names": ("#a\tb\n1\t2\n3\t4\n", ["a", "b"], [("1", "2")], "tab"),
    "total": ("a,b\nx,1\ny,2\nTotal,3\n", ["a", "b"], [("x", "1"), ("y", "2")], "'Total,3'"),
    "no total": ("a,b\nx,1\nTotal War,3\n", ["a", "b"], [("x", "1"), ("Total War", "3")], ""),
    "note": ("a,b\nx,1\ny,2\n\nSource: us\n", ["a", "b"], [("x", "1"), ("y", "2")], "Source"),
    "old Mac": ("a,b\r1,x\r2,y\r", ["a", "b"], [("1", "x")], "carriage return"),
    "names over lines": ('"a\nb",c\n1,2\n', ["a b", "c"], [("1", "2")], "'a b'"),
    "same names": ("a, a,,a (2)\n1,2,3,4\n", ["a", "a (3)", "column 3", "a (2)"], [], "'a (3)'"),
    "odd names": ("class,größe,🍎,SELECT\n1,2,3,4\n", ["class", "größe", "🍎", "SELECT"], [], ""),
    "single quotes": ("a,b\n'x, y','1'\n'z','2'\n'w','3'\n", ["a", "b"], [("x, y", "1")], "quoted"),
    "inches": ('a,b\n5" pipe,1\n6" pipe,2\n', ["a", "b"], [('5" pipe', "1")], ""),
    "lost quote": (f'a,b\n"5 pipe,1\n{MANY}', ["a", "b"], [('"5 pipe', "1"), ("0", "x0")], ""),
    "empty quotes": ('a,b\n"",x\n1,""\n', ["a", "b"], [(None, "x"), ("1", None)], ""),
    "trailing empties": ("a,b\n1,2,,\n3,4\n", ["a", "b"], [("1", "2"), ("3", "4")], ""),
    "empty lines": ("a,b\n\n1,2\n\n3,4\n\n", ["a", "b"], [("1", "2"), ("3", "4")], ""),
    "joined files": ("a,b\n1,2\na,b\n3,4\n", ["a", "b"], [("1", "2"), ("3", "4")], "line 3"),
}


@pytest.mark.parametrize("case", DETECTED)
def test_how_a_file_is_written_is_detected_and_printed(case: str) -> None:
    content, names, rows, said = DETECTED[case]
    found = table_of(content)
    frame = found.frame.collect()
    assert frame.columns == (names or [f"column {n}" for n in range(1, frame.width + 1)])
    assert frame.rows()[: len(rows)] == rows
    assert said in "\n".join(found.findings)
    assert bool(found.findings) == bool(said)
    assert not found.quarantined


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "cp1252", "latin-1"])
def test_encodings_are_detected(encoding: str) -> None:
    content = "name,town\nJosé,Zürich\nAda,Århus\n".encode(encoding)
    assert rows_of(content) == [("José", "Zürich"), ("Ada", "Århus")]


def test_a_letter_far_down_may_show_that_the_encoding_is_another() -> None:
    found = table_of(("a,b\n" + "1,x\n" * 100_000 + "2,é\n" + "1,x\n" * 100_000).encode("cp1252"))
    assert found.frame.collect()["b"][100_000] == "é"
    assert "Windows-1252" in found.findings[0]


def test_utf8_with_a_few_other_letters_stays_utf8() -> None:
    found = table_of(("a,b\n" + "1,ü\n" * 20).encode() + b"2,\xe9\n")
    assert found.frame.collect()["b"].to_list() == ["ü"] * 20 + ["é"]


def test_ragged_lines_are_quarantined_named_and_kept() -> None:
    found = table_of(f"a,b\n{MANY}5\n{MANY}1,2,3\n")
    assert found.rows == 200
    assert found.quarantined == {"table.csv": [102, 203]}
    assert "2 of 202 rows" in found.findings[0]
    assert "lines 102, 203 (data/quarantine/table.csv.txt)" in found.findings[0]
    assert Path("data/quarantine/table.csv.txt").read_text() == "102: 5\n203: 1,2,3\n"
    assert [found.locate(row) for row in (99, 100)] == [
        "table.csv, line 101",
        "table.csv, line 103",
    ]


@pytest.mark.parametrize(
    ("content", "dialect", "complaint"),
    [
        (f"a,b\n{MANY}5\n", {"ragged": "refuse"}, "1 of 101 rows .* line 102\nline 102 is '5'"),
        ("a,b\n1\n2\n3\n4\n5,6\n7,8\n9,1\n", {}, "4 of 7 rows .* lines 2, 3, 4, 5\n"),
    ],
)
def test_too_many_ragged_lines_or_any_that_must_not_be_are_refused(
    content: str, dialect: dict[str, str], complaint: str
) -> None:
    with pytest.raises(UserError, match=complaint):
        table_of(content, **dialect)


def test_a_row_knows_its_line_below_titles_quoted_line_breaks_and_in_a_second_file() -> None:
    Path("raw").mkdir()
    Path("raw/a.csv").write_text('Fruit\n\na,b,c\n1,2,"x\ny"\n3,4,z\n')
    Path("raw/b.csv").write_text("a,b,c\n5,6,7\n")
    table = read(DataSettings(table=Path("raw")))
    assert [table.locate(row) for row in range(3)] == [
        "raw/a.csv, line 4",
        "raw/a.csv, line 6",
        "raw/b.csv, line 2",
    ]


@pytest.mark.parametrize("table", ["raw", "raw/*.csv"])
def test_files_with_the_same_columns_in_any_order_are_appended(table: str) -> None:
    Path("raw").mkdir()
    Path("raw/README.md").write_text("# Fruit")
    Path("raw/2.csv").write_text("b;a\n3;4\n")
    Path("raw/1.csv").write_text("a,b\n1,2\n")
    assert read(DataSettings(table=Path(table))).frame.collect().rows() == [("1", "2"), ("4", "3")]


def test_a_file_with_other_columns_is_named_with_them() -> None:
    Path("raw").mkdir()
    Path("raw/1.csv").write_text("a,b\n1,2\n")
    Path("raw/2.csv").write_text("a,c\n3,4\n")
    with pytest.raises(UserError, match=r"raw/2.csv lacks the column 'b', unlike raw/1.csv"):
        read(DataSettings(table=Path("raw")))


def test_parquet_keeps_its_types_and_is_flattened() -> None:
    typed = {
        "n": [1, None],
        "yes": [True, False],
        "day": [dt.date(2024, 6, 30), None],
        "price": [decimal.Decimal("1.50"), None],
        "clock": [dt.time(3, 4), None],
        "took": [dt.timedelta(minutes=1), None],
        "at": [{"town": "Bonn", "geo": {"x": 1.5}}, None],
        "tags": [["a", "b"], None],
    }
    pl.DataFrame(typed).write_parquet("table.parquet")
    found = read(DataSettings(table=Path("table.parquet"))).frame.collect()
    assert found.row(0, named=True) == {
        "n": 1,
        "yes": True,
        "day": dt.date(2024, 6, 30),
        "price": 1.5,
        "clock": "03:04:00",
        "took": 60.0,
        "at.town": "Bonn",
        "at.geo.x": 1.5,
        "tags": '["a","b"]',
    }
    assert found.row(1) == (None, False, *[None] * 7)


def test_a_broken_line_of_json_is_quarantined_and_later_rows_keep_their_place() -> None:
    lines = ['{"a": 1}', "", '{"a": 2}', '{"a": ', '{"a": 4}']
    raw = table_of("\n".join(lines), "table.jsonl")
    assert raw.frame.collect()["a"].to_list() == [1, 2, 4]
    assert "quarantined: line 4 (" in raw.findings[0]
    assert Path("data/quarantine/table.jsonl.txt").read_text() == '4: {"a":\n'
    assert [raw.locate(row) for row in range(3)] == [
        f"table.jsonl, line {line}" for line in (1, 3, 5)
    ]


RECORDS = [{"a": 1, "b": {"c": "x", "d": [1, 2]}}, {"a": 2.5, "e": True}, {"a": None, "b": None}]


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(RECORDS),
        "\n".join(map(json.dumps, RECORDS)),
        json.dumps({"count": 3, "results": RECORDS}),
        json.dumps({"count": 3, "results": RECORDS}, indent=2),
    ],
    ids=["array", "lines", "within an object", "indented"],
)
def test_json_is_flattened_and_what_a_record_lacks_is_null(content: str) -> None:
    found = table_of(content, "table.json").frame.drop("b", strict=False).collect()
    assert found.to_dict(as_series=False) == {
        "a": [1.0, 2.5, None],
        "b.c": ["x", None, None],
        "b.d": ["[1, 2]", None, None],
        "e": [None, True, None],
    }


def test_a_sheet_of_excel_is_read_without_its_title_and_total() -> None:
    day = dt.date(2024, 6, 30)
    content = workbook(
        [["See the next sheet"]],
        [
            [None, "Fruit"],
            [],
            [None, "id", "day", "weight", "mixed"],
            [None, 1, day, 1.5, "a"],
            [],
            [None, 2, None, 2, 7],
            [None, "Total", None, 3.5, None],
        ],
    )
    found = table_of(content, "table.xlsx")
    frame = found.frame.collect()
    assert frame.columns == ["id", "day", "weight", "mixed"]
    assert frame.rows() == [(1, day, 1.5, "a"), (2, None, 2.0, "7")]
    assert "sheet 'sheet 2' is read" in found.findings[0]
    assert [found.locate(row) for row in (0, 1)] == ["table.xlsx, row 4", "table.xlsx, row 6"]


def test_another_sheet_can_be_named() -> None:
    content = workbook([["a"], ["x"]], [["a"], ["y"]])
    assert rows_of(content, "table.xlsx", sheet="sheet 2") == [("y",)]
    with pytest.raises(UserError, match="no sheet 'three', only sheet 1, sheet 2"):
        table_of(content, "table.xlsx", sheet="three")


def test_a_join_keeps_every_row_in_its_place() -> None:
    Path("shops.csv").write_text("shop,town\nb,Bonn\na,Aachen\nz,Zella\n")
    Path("table.csv").write_text("n,shop\n3,b\n1,a\n2,?\n1,\n5,b\n")
    join = Join(file=Path("shops.csv"), key="shop")
    joined = read(DataSettings(table=Path("table.csv"), joins=[join])).frame.collect()
    assert joined["n"].to_list() == ["3", "1", "2", "1", "5"]
    assert joined["town"].to_list() == ["Bonn", "Aachen", None, None, "Bonn"]


def sheet_xml(*cells: str) -> bytes:
    """Make a workbook whose sheet's XML holds these cells, whatever they are."""
    with zipfile.ZipFile(io.BytesIO(workbook([["a", "b"], [1, "x"]]))) as made:
        parts = {name: made.read(name) for name in made.namelist()}
    name = "xl/worksheets/sheet1.xml"
    rows = f"<row>{''.join(cells)}</row></sheetData>"
    parts[name] = parts[name].replace(b"</sheetData>", rows.encode())
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        for part, content in parts.items():
            opened.writestr(part, content)
    return archive.getvalue()


def open_document(*rows: str) -> bytes:
    """Make a sheet of OpenDocument from the XML of its rows."""
    space = "urn:oasis:names:tc:opendocument:xmlns"
    head = " ".join(f'xmlns:{one}="{space}:{one}:1.0"' for one in ("office", "table", "text"))
    inner = f'<table:table table:name="S">{"".join(rows)}</table:table>'
    for outer in ("office:spreadsheet", "office:body"):
        inner = f"<{outer}>{inner}</{outer}>"
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    content = f"<office:document-content {head}>{inner}</office:document-content>"
    listed = "urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"
    manifest = f'<m:manifest xmlns:m="{listed}"/>'
    return zipped({"mimetype": kind, "META-INF/manifest.xml": manifest, "content.xml": content})


def parquet_of(columns: int) -> bytes:
    target = io.BytesIO()
    pl.DataFrame({f"c{number}": [1] for number in range(columns)}).write_parquet(target)
    return target.getvalue()


DEEP = 100_000
CELLS = '<table:table-cell table:number-columns-repeated="16000"><text:p>x</text:p>'
FAR: dict[str, tuple[bytes, str]] = {
    "far.xlsx": (sheet_xml('<c r="XFD1048576"><v>1</v></c>'), "reaches to row 1,048,576 and"),
    "farther.xlsx": (sheet_xml('<c r="ZZZZZZZ4294967290"><v>1</v></c>'), "too many cells"),
    "entity.xlsx": (sheet_xml('<c r="A3" t="str"><v>&lol;</v></c>'), "cannot be read"),
    "far.ods": (
        open_document(
            f'<table:table-row table:number-rows-repeated="1000000">{CELLS}</table:table-cell>'
            "</table:table-row>"
        ),
        "reaches to row 1,000,000 and column 16,000",
    ),
    "line.csv": (b"a,b\n1,2\n" + b"3" * 34_000_000, "line 3 is longer than 32 MB"),
    "lists.json": (b"[" * DEEP + b"]" * DEEP, "nested too deeply"),
    "objects.json": (b'[{"a":' * DEEP + b"1" + b"}]" * DEEP, "nested too deeply"),
    "lines.jsonl": (b'{"a":' * DEEP + b"1" + b"}" * DEEP + b'\n{"a":1}\n', "nested too deeply"),
    "number.json": (b'[{"a":%s}]' % (b"9" * 5000), "digits"),
    "wide.csv": (b",".join([b"1"] * 10_001) + b"\n", "10,001 columns are too many, at most 10,000"),
    "wide.parquet": (parquet_of(10_001), "10,001 columns are too many"),
    "wide.json": (json.dumps([dict.fromkeys(map(str, range(10_001)))]).encode(), "too many"),
    "many.zip": (zipped({f"{i}.csv": "a\n1\n" for i in range(2001)}), "2,001 tables are in this"),
    "half.jsonl": (b'{"a":"\\ud800"}\n{"a":"x"}\n', "half of a character"),
}


@pytest.mark.parametrize("name", FAR)
def test_a_file_that_would_fill_memory_or_disk_is_refused_in_a_line(name: str) -> None:
    content, complaint = FAR[name]
    with pytest.raises(UserError, match=complaint) as caught:
        table_of(content, name)
    assert len(str(caught.value).splitlines()) == 1
    assert not [path for path in Path("data").rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", ["pack.csv.gz", "pack.csv.xz", "pack.zip"])
def test_what_unpacks_to_far_more_than_its_size_is_refused_and_its_rest_removed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_unpacking, "UNPACKED", 2**20)
    content = "a,b\n" + "1,2\n" * 2**20
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("table.csv", content)
    packers = {".gz": gzip.compress, ".xz": lzma.compress, ".zip": lambda _: packed.getvalue()}
    with pytest.raises(UserError, match="it is more than 200 times as large") as caught:
        table_of(packers[Path(name).suffix](content.encode()), name)
    assert name in str(caught.value)
    assert not [path for path in Path("data").rglob("*") if path.is_file()]


def test_one_cell_far_to_the_right_costs_no_time_for_the_columns_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loads: list[Any] = []
    load = fastexcel.ExcelReader.load_sheet
    monkeypatch.setattr(
        fastexcel.ExcelReader, "load_sheet", lambda *a, **o: loads.append(o) or load(*a, **o)
    )
    content = sheet_xml('<c r="XFD3" t="str"><v>z</v></c>')
    assert table_of(content, "far.xlsx").frame.collect().width == 3
    assert len(loads) <= 4  # the sheet, and each column that holds something


def test_an_open_document_whose_empty_rest_is_declared_is_read() -> None:
    def row(*cells: str, rest: str = "") -> str:
        texts = "".join(
            f'<table:table-cell office:value-type="string"><text:p>{one}</text:p>'
            "</table:table-cell>"
            for one in cells
        )
        return f"<table:table-row {rest}>{texts}</table:table-row>"

    empty = (
        '<table:table-row table:number-rows-repeated="1048000">'
        '<table:table-cell table:number-columns-repeated="16384"/></table:table-row>'
    )
    content = open_document(row("a", "b"), row("x", "y"), row("z", "w"), empty)
    assert rows_of(content, "table.ods") == [("x", "y"), ("z", "w")]


def test_names_lose_what_a_terminal_would_obey_and_are_not_endless() -> None:
    long = "n" * 5000
    table = table_of(f"a\x1b[31m,\u202eb,{long}\n1,2,3\n4,5,6\n")
    assert table.frame.collect_schema().names() == ["a[31m", "b", "n" * 200]
    assert len(table.findings) == 3
    assert all(line.isprintable() and len(line) < 500 for line in table.findings)


HOPELESS: dict[str, tuple[bytes | None, str]] = {
    "absent.csv": (None, "there is no such file"),
    "empty.csv": (b"", "empty"),
    "blank.csv": (b" \n\n", "empty"),
    "header.csv": (b"a,b\n", "no rows"),
    "names.csv": (b"a,b,c\n1,2\n3,4\n5,6\n", "there are 3 names, but most rows have 2 fields"),
    "cut.csv.gz": (gzip.compress(TABLE.encode() * 1000)[:60], "cannot be read"),
    "false.csv.gz": (b"\x1f\x8bnot gzip at all", "cannot be read"),
    "false.parquet": (b"PAR1 not parquet at all PAR1", "cannot be read"),
    "page.csv": (b"\n<!DOCTYPE html><html><body>Log in</body></html>", "web page"),
    "paper.csv": (b"%PDF-1.7\n", "PDF"),
    "image.csv": (b"\x89PNG\r\n\x1a\n\0\0\0", "image"),
    "noise.csv": (bytes(range(256)) * 20, "neither text"),
    "broken.xlsx": (b"PK\x03\x04?", "cannot be read"),
    "broken.xls": (b"\xd0\xcf\x11\xe0?", "cannot be read"),
    "locked.xlsx": (
        b"\xd0\xcf\x11\xe0" + "EncryptedPackage".encode("utf-16-le"),
        "protected by a password",
    ),
    "nothing.zip": (zipped({"notes.md": "?"}), "no table in this archive"),
    "nested.zip": (
        zipped({"in.zip": zipped({"a.csv": "a\n1\n"})}),
        "nested.zip: this is an archive within an archive: unpack the outer one",
    ),
    "broken.jsonl": (b'{"a": 1}\n{"a":\n', "1 of 2 rows are not valid JSON: line 2"),
    "cut off.json": (b'[{"a": 1},\n{"a":', "line 2 is not valid JSON"),
    "numbers.json": (b"[1, 2]", "expected records"),
    "lists.json": (b'{"a": [{"x": 1}], "b": [{"x": 2}]}', "the lists a, b"),
    "none.json": (b"[]", "no records"),
    "nothing*.csv": (None, "no file has such a name"),
}


@pytest.mark.parametrize("name", HOPELESS)
def test_a_file_that_cannot_be_read_is_reported_in_a_line(name: str) -> None:
    content, complaint = HOPELESS[name]
    path = Path(name)
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=complaint) as caught:
        read(DataSettings(table=path))
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 2


def test_a_folder_without_tables_is_refused() -> None:
    Path("raw").mkdir()
    Path("raw/README.md").write_text("# Fruit")
    with pytest.raises(UserError, match="raw: there is no table in this folder"):
        read(DataSettings(table=Path("raw")))


@pytest.mark.parametrize(
    ("second", "key", "complaint"),
    [
        (None, "id", "other.csv: there is no such file"),
        ("town,shop\n1,2\n", "id", r"other.csv has no column 'id' to join on"),
        ("other_key\n1\n", "other_key", r"table.csv has no column 'other_key' to join on"),
        ("id,town\n1,a\n2,b\n1,c\n", "id", "must be unique, but '1' is not; remove"),
        ("id,code\n1,a\n", "id", "both have a column 'code'; rename"),
    ],
)
def test_a_join_that_cannot_be_made_names_file_and_column(
    second: str | None, key: str, complaint: str
) -> None:
    Path("table.csv").write_text(TABLE)
    if second is not None:
        Path("other.csv").write_text(second)
    join = Join(file=Path("other.csv"), key=key)
    with pytest.raises(UserError) as caught:
        read(DataSettings(table=Path("table.csv"), joins=[join]))
    assert re.search(complaint, str(caught.value))
    assert len(str(caught.value).splitlines()) <= 2


def test_settings_of_the_dialect_are_not_questioned() -> None:
    content = "not this\n1,5;x\n2,5;y\nnor that\n"
    told = {"delimiter": ";", "header": False, "skip": 1, "footer": 1, "encoding": "ascii"}
    assert rows_of(content, **told) == [("1,5", "x"), ("2,5", "y")]


def test_an_encoding_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no encoding 'utf-9'"):
        Dialect(encoding="utf-9")


def test_scanning_one_file_is_lazy() -> None:
    Path("table.csv").write_text(TABLE)
    assert isinstance(scan(Path("table.csv")).frame, pl.LazyFrame)
