"""Provenance: what one would need to make the same model again."""

from __future__ import annotations

import datetime as dt
import platform
import subprocess
from importlib.metadata import version
from typing import Any

# What a training depends on; a changed README does not make it another one.
SOURCES = ("src", "config.yaml", "schema.yaml", "pyproject.toml", "constraints.txt")
LIBRARIES = ("numpy", "onnx", "onnxruntime", "polars", "scikit-learn", "skl2onnx", "torch")


def collect() -> dict[str, Any]:
    """Commit, time, Python and library versions.

    `git_commit` is "none" without a repository or before its first commit.
    """
    commit = git("rev-parse", "HEAD")
    return {
        "git_commit": commit or "none",
        "git_dirty": bool(commit) and git("status", "--porcelain", "--", *SOURCES) != "",
        "trained_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
    }


def git(*arguments: str) -> str | None:
    """Output of a git command, or None if it failed or git is missing."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
