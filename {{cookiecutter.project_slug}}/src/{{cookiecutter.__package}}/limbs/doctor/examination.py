"""What is looked at, in order: this machine, then the place where a job would run."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ...commands import Ui
from ...errors import UserError
from ...findings import Finding, examine
from . import credentials, machine, software
from .commands import Doctor


def doctor(asked: Doctor) -> int:
    """Print what each check finds, and return 1 if something must be mended.

    A place is a package within a limb with `checks.py`, such as `cloud/aws/checks.py`; its
    function `checks` takes what was asked and lists what is to be looked at.

    Raises
    ------
    UserError
        If there is no such place.
    """
    places = {path.parent.name: path for path in Path(__file__).parents[1].glob("*/*/checks.py")}
    if asked.on and asked.on not in places:
        known = f"choose {', '.join(sorted(places))}" if places else "this project has none"
        raise UserError(f"there are no checks for ON={asked.on}; {known}")
    checks = here(asked)
    if asked.on:
        limb = places[asked.on].parent.parent.name
        module = importlib.import_module(f"...{limb}.{asked.on}.checks", __name__)
        checks += module.checks(asked)
    return examine(checks)


def here(asked: Doctor) -> list[Callable[[], Finding]]:
    """What is looked at on this machine."""
    checks: list[Callable[[], Finding]] = [
        software.python,
        software.environment,
        software.git,
        partial(software.docker, needed=bool(asked.on)),
        software.gpu,
        machine.disk,
        partial(machine.port, asked.serving.host, asked.serving.port, "make serve"),
        credentials.env_file,
        credentials.config_file,
        credentials.key_files,
    ]
    if asked.tracking_uri.startswith("http"):
        return [*checks, partial(machine.tracking, asked.tracking_uri)]
    ui = Ui.model_fields["port"].default
    return [*checks, partial(machine.port, "127.0.0.1", ui, "make ui")]
