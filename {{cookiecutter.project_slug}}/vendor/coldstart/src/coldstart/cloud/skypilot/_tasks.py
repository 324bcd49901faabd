"""Files for SkyPilot that a person has written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from coldstart.errors import UserError

ADDRESS = r"[a-z0-9.-]+(:\d+)?(/[a-z0-9._-]+)+"
"""Of an image, without a version."""


def load(file: Path, what: str) -> dict[str, Any]:
    """Read a file.

    Parameters
    ----------
    what
        It should hold, to tell who has written something else.

    Raises
    ------
    UserError
        If it is not there, or not YAML, or holds something else.
    """
    try:
        task = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{file} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(task, dict):
        raise UserError(f"{file} should hold {what}")
    return task


def fill(task: dict[str, Any], file: Path) -> None:
    """Take what is null in `envs` and `secrets` from the environment.

    Raises
    ------
    UserError
        If it is not there.
    """
    for section in ("envs", "secrets"):
        for key, value in (task.get(section) or {}).items():
            if value is None and key not in os.environ:
                raise UserError(f"{file}: {section}.{key} is null, and not in the environment")
            task[section][key] = os.environ[key] if value is None else str(value)
