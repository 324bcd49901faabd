"""What marks all that a job makes at a provider."""

from __future__ import annotations

import tomllib
from pathlib import Path

PROJECT = "train-project"
JOB = "train-job"
DEADLINE = "train-deadline"  # epoch seconds: digits are all that every provider takes


def project() -> str:
    """Return this project's name."""
    about = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    return str(about["project"]["name"])
