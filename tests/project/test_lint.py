"""A generated project passes its own lint, whatever its name."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from conftest import COMBINATIONS, GeneratedProject
from overlay import make_environment

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["default", "longest name"])
def test_a_project_passes_its_own_lint(
    name: str, generate: Callable[..., GeneratedProject]
) -> None:
    # Names change line lengths, and nothing else; the other combinations differ in texts.
    project = generate(**COMBINATIONS[name])
    make_environment(project.path)
    printed = project.make("lint").stdout
    assert "Success: no issues found" in printed
    assert "vendor" not in printed
