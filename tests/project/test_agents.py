"""AGENTS.md of a generated project: its commands run, and what it names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import TEMPLATE, GeneratedProject

pytestmark = pytest.mark.slow

PAGE = (TEMPLATE / "AGENTS.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^(make .*?)\s+#", PAGE, re.MULTILINE)
ELSEWHERE = {
    "make lint": "test_lint.py::test_a_project_passes_its_own_lint",
    "make test": "test_own_tests.py::test_a_project_passes_its_own_tests",
}
"""Commands that another test runs in a generated project."""

NOT_THERE = (".env", "keys.txt", "checkpoints/")
"""Files that a project has only if somebody makes them, or for as long as it trains."""


def test_each_command_runs(trained: GeneratedProject, tmp_path: Path) -> None:
    project = trained.copy(tmp_path / trained.path.name)
    assert {"make prepare", "make train MODEL=linear", *ELSEWHERE} <= set(COMMANDS)
    for command in COMMANDS:
        if command in ELSEWHERE:
            file, _, name = ELSEWHERE[command].partition("::")
            text = Path(__file__).with_name(file).read_text(encoding="utf-8")
            assert re.search(rf"^def {name}\b", text, re.MULTILINE), command
        else:
            project.make(*command.split()[1:])


def test_each_file_that_it_names_is_there(trained: GeneratedProject) -> None:
    text = re.sub(r"^```.*?^```$", "", PAGE, flags=re.MULTILINE | re.DOTALL)
    folders = (trained.path, trained.path / "src" / trained.package)
    for name in re.findall(r"`([\w/.-]+(?:\.\w+|/))`", text):
        if name not in NOT_THERE:
            assert any((folder / name).exists() for folder in folders), name
