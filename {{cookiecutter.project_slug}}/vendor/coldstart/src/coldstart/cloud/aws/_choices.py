"""What infra/train.sky.yaml says of the place: the store, and the image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from coldstart.errors import UserError

FILE = Path("infra/train.sky.yaml")


@dataclass(frozen=True)
class Choices:
    """What is filled in there; empty where it is not."""

    store: str = ""
    image: str = ""


def read() -> Choices:
    """Read the file, if it is there.

    Raises
    ------
    UserError
        If it is no task of SkyPilot's.
    """
    if not FILE.is_file():
        return Choices()
    try:
        # A task may be several documents: a pipeline; the first tells.
        task = next(iter(yaml.safe_load_all(FILE.read_text(encoding="utf-8"))), None) or {}
        envs = task.get("envs") or {}
        return Choices(str(envs.get("STORE") or ""), str(envs.get("IMAGE") or ""))
    except (yaml.YAMLError, AttributeError) as error:
        said = " ".join(str(error).split())
        raise UserError(f"{FILE} is not a task of SkyPilot's: {said}") from None
