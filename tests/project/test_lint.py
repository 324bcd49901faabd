"""A generated project passes its own lint, whatever its name."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from conftest import COMBINATIONS, BakedProject
from overlay import make_environment

pytestmark = pytest.mark.slow

AT_MOST = 60
"""Seconds that the first run may take, with nothing in a cache, while other tests run."""


@pytest.mark.parametrize("name", ["default", "longest name"])
def test_a_project_passes_its_own_lint_in_seconds(
    name: str, bake: Callable[..., BakedProject]
) -> None:
    # Names change line lengths, and nothing else; the other combinations differ in texts.
    project = bake(**COMBINATIONS[name])
    make_environment(project.path)
    start = time.monotonic()
    printed = project.make("lint").stdout
    assert time.monotonic() - start < AT_MOST
    assert "Success: no issues found" in printed
    assert "vendor" not in printed
