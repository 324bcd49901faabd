"""Provenance: what one would need to make the same model again."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import platform
import subprocess
import tomllib
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from coldstart._project import Project

# What a training depends on; a changed README does not make it another one.
SOURCES = ("src", "vendor", "config.yaml", "schema.yaml", "pyproject.toml", "constraints.txt")
ENGINE = "coldstart-ml"
JOB = os.environ.get("TRAINING_JOB", "")  # a rented machine trains for this run
LIBRARIES = ("numpy", "onnx", "onnxruntime", "polars", "scikit-learn", "skl2onnx", "torch")


def project_name() -> str:
    """Return the name of the project in this folder, from pyproject.toml."""
    content = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    return str(content["project"]["name"])


def collect(project: Project) -> dict[str, Any]:
    """Return the commit, the time, and the versions of Python, engine and libraries."""
    return {
        "package": project.package,
        **revision(),
        "trained_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "engine": version(ENGINE),
        "libraries": {name: version(name) for name in LIBRARIES},
    }


def source_identity(project: Project) -> list[str]:
    """Return what tells one state of the code from another: the project's source, the engine.

    Uncommitted edits count as well. The source is what is imported, so that a machine whose working
    folder holds none resumes the same training.
    """
    digest = hashlib.sha256()
    found = find_spec(project.package)
    folder = Path(found.origin).parent if found and found.origin else Path("src")
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return [digest.hexdigest(), version(ENGINE)]


def revision() -> dict[str, Any]:
    """Return the commit, and whether what a training depends on has changed since.

    It is "none" without a repository or before its first commit. A rented machine has no
    repository: GIT_COMMIT holds the commit, with a + where there were changes.
    """
    if told := os.environ.get("GIT_COMMIT"):
        return {"git_commit": told.rstrip("+"), "git_dirty": told.endswith("+")}
    commit = git("rev-parse", "HEAD")
    return {
        "git_commit": commit or "none",
        "git_dirty": bool(commit) and git("status", "--porcelain", "--", *SOURCES) != "",
    }


def git(*arguments: str) -> str | None:
    """Output of a git command, or None if it failed or git is missing."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
