"""The leaderboard, of a project of its own with two runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from {{cookiecutter.__package}}.settings import PACKAGE

COLUMNS = {
    "size": {"type": "number"},
    "price": {"type": "number", "role": "target", "nullable": False},
}


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the folder."""
    command = [sys.executable, "-m", PACKAGE, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project."""
    rows = "\n".join(f"{i % 37},{2 * (i % 37) + i % 5}" for i in range(300))
    (tmp_path / "houses.csv").write_text("size,price\n" + rows)
    (tmp_path / "schema.yaml").write_text(yaml.safe_dump({"columns": COLUMNS}, sort_keys=False))
    config = {"data": {"table": "houses.csv"}, "models": ["tree", "linear"]}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    return tmp_path


def test_without_runs_it_says_what_to_do(project: Path) -> None:
    done = run(project, "leaderboard")
    assert done.returncode == 2
    assert "run: make train" in done.stderr


def test_runs_stand_side_by_side_with_the_best_first(project: Path) -> None:
    trained = run(project, "train")
    assert trained.returncode == 0, trained.stderr
    shown = run(project, "leaderboard").stdout.splitlines()
    linear, tree = (
        next(i for i, line in enumerate(shown) if line.strip().startswith(name))
        for name in ("linear", "tree")
    )
    assert linear < tree
    assert "champion" in "".join(shown[linear : linear + 2])
    assert any("r2" in line and "rmse" in line for line in shown)
