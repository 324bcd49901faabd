"""The project whose parts the engine's tests use: the template's own source.

Its bodies are plain Python with relative imports, so it can be imported under any name. The
processes that tests start find it, too.
"""

from __future__ import annotations

import atexit
import importlib
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from coldstart import Project, Settings
from coldstart.cli import main as run
from coldstart.contract import register_derived

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "{{cookiecutter.project_slug}}"
ENGINE = TEMPLATE / "vendor" / "coldstart"
PACKAGE = "bird_strikes"
PREFIX = f"{PACKAGE.upper()}_"

EACH = pytest.mark.parametrize("every", [10, pytest.param(1, marks=pytest.mark.weekly)])
"""Of many faults, a test tries one in ten; the weekly run tries all."""

_folder = Path(tempfile.mkdtemp(prefix="engine-tests-"))
atexit.register(shutil.rmtree, _folder, ignore_errors=True)
(_folder / PACKAGE).symlink_to(TEMPLATE / "src" / "{{cookiecutter.__package}}")
sys.path.insert(0, str(_folder))
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(_folder), *filter(None, [os.environ.get("PYTHONPATH")])]
)

PROJECT: Project = importlib.import_module(f"{PACKAGE}.__main__").PROJECT
register_derived(PROJECT.load("derived"))


def main(arguments: list[str]) -> int:
    """Run a command of the project here, and return its exit code."""
    return run(PROJECT, arguments)


def load_settings(**values: Any) -> Settings:
    """Read the settings of the project in this folder; the given ones win."""
    return Settings(_env_prefix=PREFIX, **values).for_project(PROJECT)  # type: ignore[call-arg]


def resident(pid: int) -> int:
    """Return the megabytes of memory that a process holds."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("VmRSS")]
    return int(line.split()[1]) // 1024
