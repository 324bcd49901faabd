"""The report, of a project of its own: what it writes, and what it leaves alone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from coldstart._markdown import plain
from coldstart.bundle import Manifest
from coldstart.report._results import EvaluatedVersion, conclusion
from coldstart.train._evaluation import HeldOutPredictions
from coldstart.train._intervals import interval
from engine.held_out import held_out_once
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
    """Return the one line that the report prints when it fails."""
    capsys.readouterr()
    assert main(["report"]) == 2
    printed = capsys.readouterr().err
    assert len(printed.splitlines()) == 1
    return printed


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
    assert f"| {score:.3f} | {low:.3f}–{high:.3f} |" in row
    other = {"linear": "tree", "tree": "linear"}[bundle["family"]]
    assert f"| {other}, version " in text
    assert "price" in text
    assert "300 rows" in text
    assert re.search(rf"(better than|worse than|difference from) {other} \(95% CI", text)
    assert "paired jackknife" in text

    # A second time there is nothing to change.
    assert main(["report"]) == 0
    assert Path("README.md").read_text() == text


def test_models_are_compared_by_their_difference_on_the_same_rows() -> None:
    """Intervals of two scores overlap where that of their difference excludes 0."""
    random = np.random.default_rng(0)
    logit = random.normal(-2, 1.5, 3000)
    true = (random.random(3000) < 1 / (1 + np.exp(-logit))).astype(np.int64)

    def held_out(noise: float) -> HeldOutPredictions:
        share = 1 / (1 + np.exp(-(logit + random.normal(0, 1, 3000) * noise)))
        rows = np.arange(3000)
        return held_out_once(rows, true, np.column_stack([1 - share, share]), threshold=0.5)

    def version(family: str, held: HeldOutPredictions) -> EvaluatedVersion:
        metrics = {
            "primary": "average_precision",
            "test": {"average_precision": held.score()},
            "interval": interval(held),
            "baseline": {"average_precision": 0.1},
            "column": {"name": "height", "average_precision": 0.9},
        }
        return EvaluatedVersion(Manifest(family=family, target="x", metrics=metrics), held)

    best, noisy = held_out(0.0), held_out(0.6)
    versions = {
        "1": version("svm", best),
        "2": version("neural", noisy),
        "3": version("copy", held_out(0.02)),
    }
    low, high = interval(best)
    assert interval(noisy)[1] > low  # which was taken for no difference
    text = conclusion(versions, "1", 3000)
    assert text.startswith(
        f"On 3,000 test rows the champion, svm, has AP {best.score():.3f} "
        f"(95% CI {low:.3f}–{high:.3f}). It is significantly better than neural (95% CI 0.0"
    )
    assert "Its difference from copy (95% CI -0.00" in text
    assert "is not statistically significant" in text
    assert "Its interval reaches the score of the single-feature baseline (`height`)." in text
    other = conclusion(versions, "2", 3000)
    assert "It is significantly worse than svm (95% CI -0.0" in other
    assert "and copy (95% CI -0.0" in other
    tuned = versions["1"].manifest
    tuned.threshold = 0.25
    tuned.metrics["test"] |= {"precision": 0.4, "recall": 0.6, "accuracy": 0.8}
    tuned.metrics["baseline"]["accuracy"] = 0.9
    text = conclusion(versions, "1", 3000)
    assert "At its threshold, 0.250, which maximizes F1 on the validation rows," in text
    assert text.endswith("always predicting the frequent class has 0.900.")
    tuned.metrics["units"] = "47 groups of `patient`"
    assert conclusion(versions, "1", 3000).startswith(
        "On 3,000 test rows (47 groups of `patient`) the champion"
    )
    alone = conclusion({"1": versions["1"]}, "1", 3000)
    assert "significant" not in alone


def test_lines_end_as_they_did(project: Path) -> None:
    unix = MINE.format(MARKS.format("results", "")).encode()
    found = []
    for text in (unix, unix.replace(b"\n", b"\r\n")):
        Path("README.md").write_bytes(text)
        assert main(["report"]) == 0
        found.append(Path("README.md").read_bytes())
    assert found[1] == found[0].replace(b"\n", b"\r\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# Mine\n", "has no marks: paste"),
        (MARKS.format("results", "") + "\n<!-- report: picture -->\n", "line 3:"),
        ("<!-- report: picture -->\n" + MARKS.format("results", ""), "line 1:"),
        (MARKS.format("resluts", ""), "no 'resluts'; choose among results"),
    ],
)
def test_a_readme_that_cannot_be_filled_is_reported_and_stays(
    text: str, message: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("README.md").write_text(text)
    assert message in refusal(capsys)
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


def test_a_name_in_the_results_is_no_tag_no_link_and_no_end_of_a_cell() -> None:
    assert plain("<b>a|b</b> [x](y) phase_of_flt") == r"\<b>a\|b\</b> \[x\](y) phase_of_flt"
