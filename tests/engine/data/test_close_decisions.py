"""Values that can be read in two ways: which way is told, and settled at a terminal."""

from __future__ import annotations

import os
import pty
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from coldstart.contract import Contract
from coldstart.data.profiling._draft import parse_entries
from engine.support import PACKAGE, main

COMMAND = ["data", "--source", "table.csv", "--target", "price", "--no-share"]
RENT = ("rent", "'1.233' is read as 1233, since other columns have decimal commas", 1233, 1.233)
BUILT = (
    "built",
    "'04/03/2019' is read as 4 March 2019, which is a guess",
    "2019-03-04",
    "2019-04-03",
)
CASES = pytest.mark.parametrize(("column", "told", "first", "second"), [RENT, BUILT])


@pytest.fixture(autouse=True)
def _table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project, and a table with decimal commas, dots between digits, and days up to 12."""
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text("data: {table: old.csv}\n")
    Path("schema.yaml").write_text("columns: {old: {type: number, role: target}}\n")
    draw = random.Random(0)
    lines = ["area;rent;built;price", "50,5;1.233;04/03/2019;120,5"]
    for _ in range(200):
        rent, day, month = draw.randint(1001, 9999), draw.randint(1, 12), draw.randint(1, 4)
        built = f"{day:02}/{month:02}/{draw.randint(1990, 2020)}"
        price = rent // 10 + draw.randint(0, 99)
        lines.append(f"{draw.randint(20, 99)},5;{rent / 1000:.3f};{built};{price},5")
    Path("table.csv").write_text("\n".join(lines) + "\n")


def first_value(column: str) -> Any:
    """Read the first value of a column of the table, as the schema says."""
    raw = pl.scan_csv("table.csv", separator=";", infer_schema=False)
    one = Contract.load(Path("schema.yaml")).columns[column]
    value = raw.select(one.typed(pl.col(column), pl.String())).collect()[column][0]
    return value if isinstance(value, float) else f"{value:%Y-%m-%d}"


def entry(column: str) -> str:
    """The text of a column in schema.yaml, on one line and without comment signs."""
    text = parse_entries(Path("schema.yaml").read_text())[column]
    return " ".join(text.replace("#", " ").split())


@CASES
def test_without_a_terminal_a_line_says_which_setting_to_change(
    column: str, told: str, first: Any, second: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(COMMAND) == 0
    shown = capsys.readouterr().out
    assert f"{column}: {told}" in shown
    assert f"CHECK: {told}" in entry(column)
    assert first_value(column) == first

    line = next(line for line in shown.splitlines() if f"{column}: {told}" in line)
    schema = yaml.safe_load(Path("schema.yaml").read_text())
    settings = line.rpartition(", set ")[2]
    schema["columns"][column] |= yaml.safe_load("{" + settings + "}")
    Path("schema.yaml").write_text(yaml.safe_dump(schema, sort_keys=False))
    assert first_value(column) == second
    capsys.readouterr()
    assert main(["data"]) == 0  # what the schema says stays, and is no longer doubted
    assert first_value(column) == second
    assert f"{column}: {told}" not in capsys.readouterr().out


def run_at_terminal(answers: dict[str, str]) -> str:
    """Run the command at a terminal, and answer each question about the column that it names."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", PACKAGE, *COMMAND], stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        shown, waiting = b"", dict(answers)
        while True:
            try:
                piece = os.read(ours, 1000)
            except OSError:  # the other side is closed
                break
            shown += piece
            if shown.endswith(b"decide later "):
                about = shown.rpartition(b"\n")[0].rpartition(b"\n")[2].partition(b":")[0].decode()
                os.write(ours, f"{waiting.pop(about.strip(), '')}\n".encode())
    os.close(ours)
    assert process.returncode == 0, shown
    assert not waiting, shown
    return shown.decode()


@pytest.mark.parametrize(("rent", "built"), [("y", "n"), ("n", "y"), ("", "")])
def test_at_a_terminal_the_answer_decides_how_values_are_read(rent: str, built: str) -> None:
    shown = run_at_terminal({"rent": rent, "built": built})
    for answer, (column, told, first, second) in zip((rent, built), (RENT, BUILT), strict=True):
        assert f"{column}: {told}" in shown
        assert first_value(column) == (second if answer == "n" else first)
        assert ("CHECK: " + told in entry(column)) == (not answer)
    if not rent:
        assert "[n]o: it is" not in run_at_terminal({})  # it was asked once


def test_a_table_that_decides_asks_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Path("table.csv").open("a") as file:
        file.write("50,5;1.233,5;24/03/2019;120,5\n")
    assert main(COMMAND) == 0
    assert ", set " not in capsys.readouterr().out
    assert "CHECK" not in entry("rent") + entry("built")
    assert (first_value("rent"), first_value("built")) == (1233, "2019-03-04")
