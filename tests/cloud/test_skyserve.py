"""infra/deploy/sky.yaml, which users start by hand, is a file that SkyPilot accepts."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from conftest import GeneratedProject, clean_environment

from .skypilot import install

pytestmark = pytest.mark.slow


def test_skypilot_accepts_the_file_for_skyserve(
    installed: GeneratedProject, tmp_path: Path
) -> None:
    script = (
        "import sky; task = sky.Task.from_yaml('infra/deploy/sky.yaml');"
        "print(task.service.readiness_path, task.service.max_replicas)"
    )
    done = subprocess.run(
        [install() / "bin/python", "-c", script],
        cwd=installed.path,
        env=clean_environment() | {"HOME": str(tmp_path), "SKYPILOT_DISABLE_USAGE_COLLECTION": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "/health/ready 4"
