"""The tests that a baked project brings along."""

from __future__ import annotations

import pytest
from conftest import BakedProject

pytestmark = pytest.mark.slow


def test_the_baked_project_passes_its_own_tests(copied: BakedProject) -> None:
    short = ("-q", "--tb=short", "--disable-warnings", "--durations=15")
    done = copied.run(copied.python, "-m", "pytest", *short, PYTHONPATH="src")
    assert done.returncode == 0, done.stdout[-20_000:]
    print(done.stdout[-2000:])
    assert "skipped" not in done.stdout.splitlines()[-1]
