"""What is checked, in order: this computer, then the provider."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from coldstart._diagnostics import Finding, run_checks
from coldstart.cloud._gpu import gpu
from coldstart.config._settings import UI_PORT, Settings
from coldstart.doctor import _credentials as credentials
from coldstart.doctor import _machine as machine
from coldstart.doctor import _security as security
from coldstart.doctor import _software as software
from coldstart.errors import UserError

PROVIDERS = ("aws",)


def run_doctor(
    settings: Settings,
    on: str | None = None,
    gpu: str | None = None,
    spot: bool = False,
    nodes: int = 1,
) -> int:
    """Run all checks and print their findings.

    Parameters
    ----------
    settings : Settings
        Settings of the project.
    on : str, optional
        Provider to check as well: ``aws``.
    gpu : str, optional
        GPUs of one machine there, such as ``L4:1``.
    spot : bool, default=False
        Whether spot machines are wanted there.
    nodes : int, default=1
        Number of machines there.

    Returns
    -------
    int
        Exit code: 1 if something must be fixed, else 0.

    Raises
    ------
    UserError
        If there are no checks for the provider.
    """
    if on and on not in PROVIDERS:
        known = ", ".join(PROVIDERS)
        raise UserError(f"there are no checks for ON={on}; choose ON= among {known}")
    checks = find_checks(settings)
    if on:
        from coldstart.cloud.aws._checks import aws_checks  # boto3 takes a second to import

        checks += aws_checks(gpu, spot, nodes)
    return run_checks(checks)


def find_checks(settings: Settings) -> list[Callable[[], Finding]]:
    """Return the checks of this computer.

    Parameters
    ----------
    settings : Settings
        Settings of the project.

    Returns
    -------
    list of callable
        Functions that return a `Finding`.
    """
    checks: list[Callable[[], Finding]] = [
        software.python,
        software.environment,
        software.git,
        software.docker,
        gpu,
        machine.disk,
        partial(machine.port, settings.serving.host, settings.serving.port, "make serve"),
        credentials.env_file,
        credentials.config_file,
        credentials.key_files,
        security.secrets,
        security.vulnerabilities,
    ]
    if settings.tracking_uri.startswith("http"):
        return [*checks, partial(machine.tracking, settings.tracking_uri)]
    return [*checks, partial(machine.port, "127.0.0.1", UI_PORT, "make ui")]
