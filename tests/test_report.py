"""The README and the model card of a generated project state what its training showed."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from conftest import GeneratedProject

pytestmark = pytest.mark.slow


def test_the_report_fills_the_readme_in_with_the_champions_numbers(
    trained: GeneratedProject, tmp_path: Path
) -> None:
    project = trained.copy(tmp_path / trained.path.name)
    page = project.path / "README.md"
    shipped = page.read_text()
    done = project.command("report", PYTHONPATH="src")
    assert done.returncode == 0, done.stderr
    written = page.read_text()
    blocks = dict(re.findall(r"<!-- report: (\w+) -->\n(.*?)<!-- end", written, re.DOTALL))
    assert all(blocks[name].strip() for name in blocks if name != "screenshot")

    manifest = json.loads((project.path / "bundles/champion/bundle.json").read_text())
    version = json.loads((project.path / "bundles/champion/version.json").read_text())["version"]
    metrics = manifest["metrics"]
    score, (low, high) = metrics["test"][metrics["primary"]], metrics["interval"]
    champion = f"{manifest['family']}, version {version}, the champion"
    (row,) = (line for line in blocks["results"].splitlines() if champion in line)
    for number in (metrics["validation"], score, low, high):
        assert f"{number:.3f}" in row
    assert f"the champion, {manifest['family']}, has" in blocks["results"]
    # Outside of the marks nothing has changed, and a second time nothing has.
    emptied = re.compile(r"(<!-- report: \w+ -->\n).*?(?=<!-- end)", re.DOTALL)
    assert emptied.sub(r"\1", written) == emptied.sub(r"\1", shipped)
    assert project.command("report", PYTHONPATH="src").returncode == 0
    assert page.read_text() == written


def test_the_cards_command_gives_the_same_metrics_in_a_fresh_clone(
    trained: GeneratedProject, tmp_path: Path
) -> None:
    card = (trained.path / "bundles/champion/MODEL_CARD.md").read_text()
    (command,) = re.findall(r"^```\n(.*make train MODEL=.*)\n```$", card, re.MULTILINE)
    clone = GeneratedProject(tmp_path / trained.path.name)
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
