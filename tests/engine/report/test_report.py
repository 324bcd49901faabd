"""The report, of a project of its own: what it writes, and what it leaves alone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from engine.support import PACKAGE, main

COLUMNS = {
    "size": {"type": "number"},
    "price": {"type": "number", "role": "target", "nullable": False},
}
MINE = "# Mine\n\nBefore.\n\n{}\n\nAfter, and nothing at the end"
MARKS = "<!-- report: {} -->\n{}<!-- end report -->"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a champion."""
    folder = tmp_path_factory.mktemp("houses")
    rows = "\n".join(f"{i % 37},{2 * (i % 37) + i % 5}" for i in range(300))
    (folder / "houses.csv").write_text("size,price\n" + rows)
    (folder / "schema.yaml").write_text(yaml.safe_dump({"columns": COLUMNS}, sort_keys=False))
    config = {"data": {"table": "houses.csv"}, "models": ["tree", "linear"]}
    config["split"] = {"cross_validate_below": 0}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    subprocess.run([sys.executable, "-m", PACKAGE, "train"], cwd=folder, check=True)
    return folder


@pytest.fixture
def project(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, in which to be."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return tmp_path


def refusal(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that the report says, having failed."""
    capsys.readouterr()
    assert main(["report"]) == 2
    told = capsys.readouterr().err
    assert len(told.splitlines()) == 1
    return told


def test_the_results_are_the_bundles_and_what_is_mine_stays(project: Path) -> None:
    blocks = "\n\nBetween.\n\n".join(MARKS.format(n, "old\n") for n in ("results", "picture"))
    Path("README.md").write_text(MINE.format(blocks))
    assert main(["report"]) == 0
    text = Path("README.md").read_text()
    parts = re.split(r"<!-- report: \w+ -->\n.*?<!-- end report -->", text, flags=re.DOTALL)
    assert parts == ["# Mine\n\nBefore.\n\n", "\n\nBetween.\n\n", parts[2]]
    assert parts[2] == "\n\nAfter, and nothing at the end"

    bundle = json.loads((project / "bundles/champion/bundle.json").read_text())
    (row,) = [line for line in text.splitlines() if ", the champion |" in line]
    assert row.startswith(f"| {bundle['family']}, version ")
    low, high = bundle["metrics"]["interval"]
    score = bundle["metrics"]["test"]["r2"]
    assert f"| {score:.3f} | {low:.3f} to {high:.3f} |" in row
    other = {"linear": "tree", "tree": "linear"}[bundle["family"]]
    assert f"| {other}, version " in text
    assert "price" in text
    assert "300 rows" in text

    # A second time there is nothing to change.
    assert main(["report"]) == 0
    assert Path("README.md").read_text() == text


def test_lines_end_as_they_did(project: Path) -> None:
    unix = MINE.format(MARKS.format("results", "")).encode()
    found = []
    for text in (unix, unix.replace(b"\n", b"\r\n")):
        Path("README.md").write_bytes(text)
        assert main(["report"]) == 0
        found.append(Path("README.md").read_bytes())
    assert found[1] == found[0].replace(b"\n", b"\r\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# Mine\n", "has no marks: paste"),
        (MARKS.format("results", "") + "\n<!-- report: picture -->\n", "line 3:"),
        ("<!-- report: picture -->\n" + MARKS.format("results", ""), "line 1:"),
        (MARKS.format("resluts", ""), "no 'resluts'; choose among results"),
    ],
)
def test_a_readme_that_cannot_be_filled_is_told_of_and_stays(
    text: str, said: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("README.md").write_text(text)
    assert said in refusal(capsys)
    assert Path("README.md").read_text() == text


def test_it_claims_nothing_that_the_last_run_did_not_show(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("README.md").write_text(MARKS.format("results", "old\n"))
    with Path("houses.csv").open("a") as file:
        file.write("\n5,10")
    assert main(["prepare"]) == 0
    assert "other data" in refusal(capsys)
    shutil.rmtree("bundles")
    assert "run: make pull" in refusal(capsys)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project}/empty.db")
    assert "run: make train" in refusal(capsys)
    assert Path("README.md").read_text() == MARKS.format("results", "old\n")


def test_a_screenshot_is_shown_where_there_is_one(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("README.md").write_text(MARKS.format("screenshot", ""))
    assert main(["report"]) == 0
    assert "make report SHOT=1" in capsys.readouterr().out
    assert Path("README.md").read_text() == MARKS.format("screenshot", "")
    Path("docs").mkdir()
    Path("docs/demo.png").write_bytes(b"a picture")
    assert main(["report"]) == 0
    assert "![The demo page](docs/demo.png)\n" in Path("README.md").read_text()
