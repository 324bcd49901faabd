"""The tests that a baked project brings along."""

from __future__ import annotations

import pytest
from conftest import BakedProject

pytestmark = pytest.mark.slow


def test_the_baked_project_passes_its_own_tests(copied: BakedProject) -> None:
    done = copied.run(copied.python, "-m", "pytest", "-q", "--durations=15", PYTHONPATH="src")
    print(done.stdout[-4000:])
    assert done.returncode == 0, done.stdout[-6000:]
    assert "skipped" not in done.stdout.splitlines()[-1]
