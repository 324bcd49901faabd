"""A generated project passes its own lint, whatever its name."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from conftest import COMBINATIONS, GeneratedProject
from overlay import make_environment

pytestmark = pytest.mark.slow


def test_a_project_passes_its_own_lint(generate: Callable[..., GeneratedProject]) -> None:
    project = generate()
    make_environment(project.path)
    printed = project.make("lint").stdout
    assert "Success: no issues found" in printed
    assert "vendor" not in printed


def test_names_of_any_length_keep_the_style(generate: Callable[..., GeneratedProject]) -> None:
    # Names change the length of lines; the other combinations differ in texts.
    project = generate(**COMBINATIONS["longest name"])
    make_environment(project.path)
    for command in (["check"], ["format", "--check"]):
        done = project.run(project.path / ".venv/bin/ruff", *command)
        assert done.returncode == 0, done.stdout
