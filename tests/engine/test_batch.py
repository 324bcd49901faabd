"""Batch prediction: a file in, the same rows with the API's answers out, or nothing at all.

The tests that use `trained` read the demo's own table.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from coldstart import batch
from coldstart.batch import predict_file
from coldstart.bundle._predictor import BundlePredictor
from coldstart.contract import register_derived
from coldstart.errors import UserError
from engine.support import PROJECT

TABLE = """fruit,weight,colour,shop,grade,bruised,picked
0001,200,red,North,A,yes,2024-06-30
0002,,green,UNKNOWN,B,no,
0003,90,violet,"A, ""new"" one",A,no,2024-01-01
"""


def read(path: Path) -> pl.DataFrame:
    """Read what was written, every column as text."""
    if path.suffix == ".parquet":
        return pl.read_parquet(path).cast(pl.String)
    separator = "\t" if path.suffix == ".tsv" else ","
    return pl.read_csv(path, infer_schema=False, separator=separator)


def predict(bundle: Path, folder: Path, table: str = TABLE, out: str = "out.csv") -> pl.DataFrame:
    """Score a CSV table."""
    (folder / "in.csv").write_text(table)
    predict_file(bundle, folder / "in.csv", folder / out)
    return read(folder / out)


def assert_as_the_api(found: pl.DataFrame, answers: list[dict[str, Any]]) -> None:
    """Each row's label and probabilities are those that the API's scorer answers."""
    assert found["label"].to_list() == [answer["label"] for answer in answers]
    for name in answers[0]["probabilities"]:
        expected = [answer["probabilities"][name] for answer in answers]
        shares = found[f"probability {name}"].cast(pl.Float32).to_numpy()
        np.testing.assert_array_equal(shares, np.array(expected, dtype=np.float32))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_demo_test_rows_get_exactly_the_answers_of_the_api(
    trained: Path, tmp_path: Path, kind: str
) -> None:
    register_derived(PROJECT.load("derived"))
    bundle = trained / "bundles" / "champion"
    predictor = BundlePredictor(bundle)
    dataset = pl.read_parquet(trained / "data" / "prepared" / "examples.parquet")
    rows = dataset.filter(pl.col("__part_0__") == 2).select(list(predictor.contract.features))
    source, out = tmp_path / f"in.{kind}", tmp_path / f"out.{kind}"
    rows.write_csv(source) if kind == "csv" else rows.write_parquet(source)
    assert predict_file(bundle, source, out) == len(rows) > 0
    found = read(out)
    assert found.columns[: len(rows.columns)] == rows.columns
    assert_as_the_api(found, predictor.score(rows.to_dicts()))


def test_the_rows_come_back_as_they_were_with_the_answers_beside_them(
    small_bundle: Path, tmp_path: Path
) -> None:
    found = predict(small_bundle, tmp_path)
    assert found.select(TABLE.split("\n")[0].split(",")).equals(read(tmp_path / "in.csv"))
    assert found.columns[-3:] == ["label", "probability false", "probability true"]
    shares = found.select(pl.col("^probability .*$").cast(pl.Float64))
    assert shares.sum_horizontal().to_list() == pytest.approx([1, 1, 1], abs=1e-6)


@pytest.mark.parametrize("out", ["out.tsv", "out.parquet"])
def test_every_kind_of_file_says_the_same(small_bundle: Path, tmp_path: Path, out: str) -> None:
    expected = predict(small_bundle, tmp_path)
    assert predict(small_bundle, tmp_path, out=out).equals(expected)


def test_slices_give_what_one_piece_gives(
    small_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head, *rows = TABLE.splitlines()
    table = "\n".join([head, *rows * 40]) + "\n"
    whole = predict(small_bundle, tmp_path, table)
    for out in ("out.csv", "out.parquet"):
        monkeypatch.setattr(batch, "ROWS", 7)
        sliced = predict(small_bundle, tmp_path, table, out)
        assert sliced.drop("^probability.*$").equals(whole.drop("^probability.*$"))
        for name in ("probability false", "probability true"):
            difference = sliced[name].cast(float) - whole[name].cast(float)
            assert difference.abs().max() < 1e-6


def test_a_column_that_may_be_null_may_be_absent(small_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("grade,bruised,note\nA,yes,hello\n")
    predict_file(small_bundle, tmp_path / "in.csv", tmp_path / "out.csv")
    found = read(tmp_path / "out.csv")
    assert found["note"].to_list() == ["hello"]
    assert "weight" not in found.columns
    assert_as_the_api(found, BundlePredictor(small_bundle).score([{"grade": "A", "bruised": True}]))


def test_typed_parquet_columns_are_read_as_their_text(small_bundle: Path, tmp_path: Path) -> None:
    rows = [{"grade": "A", "bruised": True, "weight": 200.0, "colour": "red"}]
    pl.DataFrame(rows).write_parquet(tmp_path / "in.parquet")
    predict_file(small_bundle, tmp_path / "in.parquet", tmp_path / "out.parquet")
    assert_as_the_api(read(tmp_path / "out.parquet"), BundlePredictor(small_bundle).score(rows))


def test_predictions_stand_beside_columns_of_the_same_name(
    small_bundle: Path, tmp_path: Path
) -> None:
    expected = predict(small_bundle, tmp_path)
    table = TABLE.replace("fruit", "label").replace("shop", "probability true")
    found = predict(small_bundle, tmp_path, table)
    assert found["label"].equals(expected["fruit"])
    assert found["predicted label"].to_list() == expected["label"].to_list()
    assert "predicted probability true" in found.columns


def test_a_file_in_another_dialect_says_the_same(
    small_bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)  # where a regular copy of the file is kept
    table = TABLE.replace("North", "Москва").replace('"A, ""new"" one"', "Казань")
    expected = predict(small_bundle, tmp_path, table)
    (tmp_path / "in.csv").write_bytes(table.replace(",", ";").encode("cp1251"))
    capsys.readouterr()
    predict_file(small_bundle, tmp_path / "in.csv", tmp_path / "out.csv")
    assert read(tmp_path / "out.csv").equals(expected)
    told = capsys.readouterr().err
    assert "in.csv: the encoding is not UTF-8 and is taken for Windows-1251" in told
    assert "in.csv: fields are separated by semicolon" in told


def test_numbers_in_another_style_are_refused_as_other_than_the_model_knows(
    small_bundle: Path, tmp_path: Path
) -> None:
    table = TABLE.replace(",", ";").replace("200;", "200,5;").replace('"A; ""new"" one"', "x")
    with pytest.raises(UserError) as caught:
        predict(small_bundle, tmp_path, table)
    head, line = str(caught.value).splitlines()
    assert head == f"{tmp_path}/in.csv does not match the data that the model was trained on:"
    assert "weight: 1 value(s) not a number, the first is '200,5' (" in line
    assert line.endswith("in.csv, line 2); write it in the file as there")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (
            "90,violet",
            "heavy,violet",
            "weight: 1 value(s) not a number, the first is 'heavy'",
        ),
        (
            "200,red",
            "1001,red",
            "weight: 1 value(s) above the maximum 1000, the first is '1001'",
        ),
        (
            "UNKNOWN,B",
            "UNKNOWN,C",
            "grade: 1 value(s) not one of the categories, the first is 'C'",
        ),
        ("A,yes", ",yes", "grade: 1 value(s) missing, the first is None"),
        (
            "A,no,2024-01-01",
            "A,no,2024-13-01",
            "picked: 1 value(s) not a date, the first is '2024-13-01'",
        ),
    ],
)
def test_a_bad_value_is_named_by_line_and_nothing_is_left_behind(
    small_bundle: Path, tmp_path: Path, old: str, new: str, complaint: str
) -> None:
    assert old in TABLE
    with pytest.raises(UserError) as caught:
        predict(small_bundle, tmp_path, TABLE.replace(old, new))
    assert complaint in str(caught.value)
    assert re.search(r"in\.csv, line [234]\)", str(caught.value))
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


@pytest.mark.parametrize("out", ["out.csv", "out.parquet"])
def test_a_bad_value_far_down_keeps_its_line_and_the_file_that_was_there(
    small_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    monkeypatch.setattr(batch, "ROWS", 5)
    (tmp_path / out).write_text("from before")
    head, *rows = TABLE.splitlines()
    table = "\n".join([head, *rows * 10, "x,high,red,North,A,yes,"])
    with pytest.raises(UserError, match=r"the first is 'high' \(.*, line 32\)"):
        predict(small_bundle, tmp_path, table, out)
    assert (tmp_path / out).read_text() == "from before"
    assert {path.name for path in tmp_path.iterdir()} == {"in.csv", out}


UNUSABLE = {
    "absent": ("absent.csv", None, "out.csv", "no such file"),
    "unknown kind": ("in.csv", TABLE, "out.xlsx", "expected a name that ends in .csv"),
    "no folder": ("in.csv", TABLE, "absent/out.csv", "there is no such folder; make it"),
    "no columns": ("in.csv", "weight\n1\n", "out.csv", "no column grade, bruised, which the"),
    "no rows": ("in.csv", TABLE.splitlines()[0] + "\n", "out.csv", "no rows"),
    "empty": ("in.csv", "", "out.csv", "empty"),
    "false gzip": ("in.csv.gz", "not gzip", "out.csv", "cannot be read"),
    "false parquet": ("in.parquet", "not parquet", "out.csv", "cannot be read"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_files_that_cannot_be_used_are_reported_in_a_line(
    small_bundle: Path, tmp_path: Path, case: str
) -> None:
    source, content, out, complaint = UNUSABLE[case]
    if content is not None:
        magic = b"\x1f\x8b" if source.endswith(".gz") else b""
        (tmp_path / source).write_bytes(magic + content.encode())
    with pytest.raises(UserError, match=complaint) as caught:
        predict_file(small_bundle, tmp_path / source, tmp_path / out)
    assert len(str(caught.value).splitlines()) <= 2
    assert not list(tmp_path.glob("*out*"))
    assert not list(tmp_path.glob(".*"))


def test_the_command_scores_a_file_in_its_own_process(
    small_bundle: Path, tmp_path: Path, run_command: Callable[..., Any]
) -> None:
    (tmp_path / "in.csv").write_text(TABLE)
    files = ["--file", str(tmp_path / "in.csv"), "--out", str(tmp_path / "out.csv")]
    done = run_command(small_bundle.parents[1], "predict", *files)
    assert done.returncode == 0, done.stderr
    assert "3 rows" in done.stdout
    assert read(tmp_path / "out.csv")["label"].to_list()[0] == "true"


@pytest.mark.parametrize("name", ["in.csv", "out.csv", "bundle.json"])
@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_a_pipe_or_a_folder_in_place_of_a_file_is_refused_and_not_waited_for(
    champion: Path, tmp_path: Path, name: str, kind: str
) -> None:
    (tmp_path / "in.csv").write_text(TABLE)
    path = (champion if name == "bundle.json" else tmp_path) / name
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(UserError, match=r"not a file|is a pipe|no such file|is not a bundle"):
        predict_file(champion, tmp_path / "in.csv", tmp_path / "out.csv")
    assert path.is_fifo() if kind == "pipe" else path.is_dir()
    assert not list(tmp_path.glob(".*unfinished"))
