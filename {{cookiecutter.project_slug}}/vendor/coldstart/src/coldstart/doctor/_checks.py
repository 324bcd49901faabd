"""What is looked at, in order: this machine, then the place where a job would run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module

from coldstart._diagnostics import Finding, examine
from coldstart.config._settings import UI_PORT
from coldstart.doctor import _credentials as credentials
from coldstart.doctor import _machine as machine
from coldstart.doctor import _software as software
from coldstart.doctor._request import DoctorRequest
from coldstart.errors import UserError

PLACES = {"aws": "coldstart.cloud.aws._checks"}


def doctor(asked: DoctorRequest) -> int:
    """Print what each check finds, and return 1 if something must be mended.

    Raises
    ------
    UserError
        If there is no such place.
    """
    if asked.on and asked.on not in PLACES:
        known = f"choose {', '.join(sorted(PLACES))}"
        raise UserError(f"there are no checks for ON={asked.on}; {known}")
    checks = here(asked)
    if asked.on:
        checks += import_module(PLACES[asked.on]).checks(asked)
    return examine(checks)


def here(asked: DoctorRequest) -> list[Callable[[], Finding]]:
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
    return [*checks, partial(machine.port, "127.0.0.1", UI_PORT, "make ui")]
