"""What a baked project says of itself, in its README and its card, is so."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from conftest import BakedProject

pytestmark = pytest.mark.slow

DECIMAL = r"(?<![\d.])\d+\.\d{2,}(?![\d.])"
APART = 0.005  # of a metric, between two kinds of processor: the network's moved by 0.002


def numbers(text: str) -> list[float]:
    """Its decimal numbers."""
    return [float(found) for found in re.findall(DECIMAL, text)]


def test_the_readme_as_shipped_is_what_the_report_writes(
    trained: BakedProject, tmp_path: Path
) -> None:
    project = trained.copy(tmp_path / trained.path.name)
    page = project.path / "README.md"
    shipped = page.read_text()
    emptied = re.sub(r"(<!-- report: \w+ -->\n).*?(?=<!-- end)", r"\1", shipped, flags=re.DOTALL)
    assert emptied != shipped
    page.write_text(emptied)
    done = project.command("report", PYTHONPATH="src")
    assert done.returncode == 0, done.stderr
    written = page.read_text()
    assert re.sub(DECIMAL, "#", written) == re.sub(DECIMAL, "#", shipped)
    assert numbers(written) == pytest.approx(numbers(shipped), abs=APART)


def test_the_cards_command_gives_the_same_metrics_in_a_fresh_clone(
    trained: BakedProject, tmp_path: Path
) -> None:
    card = (trained.path / "bundles/champion/MODEL_CARD.md").read_text()
    (command,) = re.findall(r"^## The same again\n\n```\n(.*)\n```$", card, re.MULTILINE)
    clone = BakedProject(tmp_path / trained.path.name)
    cloned = trained.run("git", "clone", "--quiet", trained.path, clone.path)
    assert cloned.returncode == 0, cloned.stderr
    # The environment is the one that is there: to make it anew, files would have to be younger.
    (clone.path / ".venv").symlink_to(trained.path / ".venv")
    for path in clone.path.rglob("*"):
        if ".venv" not in path.parts:
            os.utime(path, (0, 0))

    done = clone.run("sh", "-c", command, PYTHONPATH="src")

    assert done.returncode == 0, done.stdout + done.stderr
    first, second = (
        json.loads((project.path / "bundles/champion/bundle.json").read_text())
        for project in (trained, clone)
    )
    for name in ("test", "interval", "baseline", "column", "validation"):
        assert second["metrics"][name] == first["metrics"][name], name
    assert second["provenance"]["data"] == first["provenance"]["data"]
    assert second["provenance"]["git_commit"] == first["provenance"]["git_commit"]
    assert not second["provenance"]["git_dirty"]
