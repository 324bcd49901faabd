"""The project's notebook runs on a trained project, as a program and in marimo."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import lack

from engine.support import PACKAGE, TEMPLATE

SOURCE = TEMPLATE / "notebooks" / "explore.py"
CHECK = """
import json
import explore
_, names = explore.app.run()
contributions = names["contributions"]
assert contributions["contribution"].abs().is_sorted(descending=True)
print(json.dumps([names["answer"], names["row"], contributions.to_dicts()], default=str))
"""


@pytest.fixture(scope="module")
def notebook(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The notebook in a folder beside links to all that the trained project holds."""
    if importlib.util.find_spec("marimo") is None:
        lack("marimo is not installed: run make setup")
    project = tmp_path_factory.mktemp("explored")
    for path in trained.iterdir():
        (project / path.name).symlink_to(path)
    (project / "notebooks").mkdir()
    file = project / "notebooks" / SOURCE.name
    file.write_text(SOURCE.read_text().replace("{{" + "cookiecutter.__package" + "}}", PACKAGE))
    return file


def run(notebook: Path, *command: str) -> str:
    """Run Python in the notebook's folder, and return what it prints."""
    done = subprocess.run(
        [sys.executable, *command], cwd=notebook.parent, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_notebook_asks_the_champion_and_explains_its_answer(notebook: Path) -> None:
    import json

    answer, row, contributions = json.loads(run(notebook, "-c", CHECK))
    assert 0 <= answer["probability"] <= 1
    assert {one["feature"] for one in contributions} == set(row)
    assert any(abs(one["contribution"]) > 0.001 for one in contributions)


def test_marimo_shows_the_notebook(notebook: Path, tmp_path: Path) -> None:
    """Each cell runs, and none is written as marimo would not."""
    page = tmp_path / "explore.html"
    run(notebook, "-m", "marimo", "-q", "check", "--strict", str(notebook))
    run(notebook, "-m", "marimo", "-q", "export", "html", str(notebook), "-o", str(page))
    assert "What contributes to it" in page.read_text()


def test_git_ignores_what_marimo_keeps_beside_the_notebook(notebook: Path) -> None:
    kept = notebook.parent / "__marimo__"
    if not kept.exists():  # another test has shown the notebook
        run(notebook, "-m", "marimo", "-q", "export", "html", str(notebook), "-o", os.devnull)
    assert kept.is_dir()
    shutil.copy(TEMPLATE / ".gitignore", notebook.parents[1])
    subprocess.run(["git", "init", "--quiet"], cwd=notebook.parents[1], check=True)
    status = ["git", "status", "--porcelain", "--untracked-files=all", "."]
    done = subprocess.run(status, cwd=notebook.parent, capture_output=True, text=True, check=True)
    assert done.stdout == "?? notebooks/explore.py\n"
