"""Reading changes nothing and guesses nothing, and says what is wrong with a file."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import polars as pl
import pytest

from {{cookiecutter.__package}}.errors import UserError
from {{cookiecutter.__package}}.reading import collect, read, scan
from {{cookiecutter.__package}}.settings import Data, Join

TABLE = "id,effect,code\n1,None,007\n2,NA,1e3\n3,,nan\n"


def table_of(folder: Path, content: str, name: str = "table.csv") -> pl.DataFrame:
    path = folder / name
    path.write_text(content)
    return read(Data(table=path))


def test_the_word_none_is_a_value_and_only_an_empty_field_is_missing(tmp_path: Path) -> None:
    assert table_of(tmp_path, TABLE)["effect"].to_list() == ["None", "NA", None]


def test_leading_zeros_and_odd_numbers_stay_as_they_are_written(tmp_path: Path) -> None:
    assert table_of(tmp_path, TABLE)["code"].to_list() == ["007", "1e3", "nan"]


def test_gzip_tabs_and_parquet_read_as_the_plain_table_does(tmp_path: Path) -> None:
    plain = table_of(tmp_path, TABLE)
    (tmp_path / "table.csv.gz").write_bytes(gzip.compress(TABLE.encode()))
    plain.write_parquet(tmp_path / "table.parquet")
    assert read(Data(table=tmp_path / "table.csv.gz")).equals(plain)
    assert read(Data(table=tmp_path / "table.parquet")).equals(plain)
    assert table_of(tmp_path, TABLE.replace(",", "\t"), "table.tsv").equals(plain)


def test_typed_columns_of_parquet_become_text(tmp_path: Path) -> None:
    path = tmp_path / "typed.parquet"
    typed = pl.DataFrame({"n": [1, None], "x": [0.5, 2.0], "yes": [True, False]})
    typed.write_parquet(path)
    assert collect(scan(path), path).rows() == [("1", "0.5", "true"), (None, "2.0", "false")]


def test_a_join_keeps_every_row_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "shops.csv").write_text("shop,town\nb,Bonn\na,Aachen\nz,Zella\n")
    (tmp_path / "table.csv").write_text("n,shop\n3,b\n1,a\n2,?\n1,\n5,b\n")
    join = Join(file=tmp_path / "shops.csv", key="shop")
    joined = read(Data(table=tmp_path / "table.csv", joins=[join]))
    assert joined["n"].to_list() == ["3", "1", "2", "1", "5"]
    assert joined["town"].to_list() == ["Bonn", "Aachen", None, None, "Bonn"]


UNREADABLE = {
    "absent.csv": (None, "there is no such file"),
    "empty.csv": (b"", "empty"),
    "header.csv": (b"a,b\n", "no rows"),
    "cut.csv.gz": (gzip.compress(TABLE.encode() * 1000)[:60], "cannot be read"),
    "false.csv.gz": (b"\x1f\x8bnot gzip at all", "cannot be read"),
    "false.parquet": (b"PAR1 not parquet at all PAR1", "cannot be read"),
    "latin.csv": ("a,b\n1,Zürich\n".encode("latin-1"), "cannot be read"),
    "ragged.csv": (b"a,b\n1,2\n1,2,3\n", "cannot be read"),
    "table.xlsx": (b"?", "expected a .csv"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_file_that_cannot_be_read_is_told_in_a_line(tmp_path: Path, name: str) -> None:
    content, complaint = UNREADABLE[name]
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=complaint) as caught:
        read(Data(table=path))
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 2


@pytest.mark.parametrize(
    ("second", "key", "complaint"),
    [
        (None, "id", "other.csv: there is no such file"),
        ("town,shop\n1,2\n", "id", r"other.csv has no column 'id' to join on"),
        ("other_key\n1\n", "other_key", r"table.csv has no column 'other_key' to join on"),
        ("id,town\n1,a\n2,b\n1,c\n", "id", "id must be unique, but '1' is not"),
        ("id,code\n1,a\n", "id", "both have a column 'code'"),
    ],
)
def test_a_join_that_cannot_be_made_names_file_and_column(
    tmp_path: Path, second: str | None, key: str, complaint: str
) -> None:
    (tmp_path / "table.csv").write_text(TABLE)
    if second is not None:
        (tmp_path / "other.csv").write_text(second)
    join = Join(file=tmp_path / "other.csv", key=key)
    with pytest.raises(UserError) as caught:
        read(Data(table=tmp_path / "table.csv", joins=[join]))
    assert re.search(complaint, str(caught.value))
    assert len(str(caught.value).splitlines()) <= 2
