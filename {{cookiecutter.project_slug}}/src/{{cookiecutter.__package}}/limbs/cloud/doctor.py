"""The preflight: what this machine needs, then what the place needs where a job would run."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from ...errors import UserError
from .commands import Doctor
from .findings import Finding, examine, note, ok, wrong

ROOM = 10  # GB: the training image takes half of it on the CPU


def doctor(asked: Doctor) -> int:
    """Print a line for each finding, and return 1 if something would stop a job.

    A place is a package of this folder with `checks.py`, whose function `checks` lists them.

    Raises
    ------
    UserError
        If there is no such place.
    """
    checks: list[Callable[[], Finding]] = [python, room, engine]
    if asked.on:
        places = sorted(path.parent.name for path in Path(__file__).parent.glob("*/checks.py"))
        if asked.on not in places:
            raise UserError(f"there are no checks for ON={asked.on}; choose {', '.join(places)}")
        module = importlib.import_module(f".{asked.on}.checks", __package__)
        checks += module.checks(asked)
    return examine(checks)


def python() -> Finding:
    """Whether this environment is whole: what is imported late would fail late."""
    version = ".".join(map(str, sys.version_info[:3]))
    missing = [name for name in ("boto3", "mlflow", "yaml") if not importlib.util.find_spec(name)]
    if missing:
        return wrong("python", f"{', '.join(missing)} cannot be imported", "make setup")
    return ok("python", version)


def room() -> Finding:
    """Whether there is room for the training image, and for what comes home."""
    free = shutil.disk_usage(".").free / 1e9
    if free < ROOM:
        return note("disk", f"{free:.1f} GB are free; an image takes several", "docker image prune")
    return ok("disk", f"{free:.0f} GB are free")


def engine() -> Finding:
    """Whether docker can build the training image."""
    about = "docker"
    if not shutil.which("docker"):
        return wrong(about, "it is not installed", "https://docs.docker.com/get-docker")
    command = ["docker", "version"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except subprocess.TimeoutExpired:
        return wrong(about, "its engine does not answer for 30 s", "start it anew")
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        return wrong(about, f"its engine does not answer ({reason})", "start it, and try again")
    return ok(about, "its engine answers")
