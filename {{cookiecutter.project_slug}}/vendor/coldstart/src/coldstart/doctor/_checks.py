"""What is checked, in order: this computer, then the provider."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from coldstart._diagnostics import Finding, ok, run_checks, wrong
from coldstart.cloud._gpu import gpu
from coldstart.cloud._request import LaunchRequest, provider_of
from coldstart.config._settings import UI_PORT, Settings
from coldstart.doctor import _credentials as credentials
from coldstart.doctor import _machine as machine
from coldstart.doctor import _security as security
from coldstart.doctor import _software as software
from coldstart.errors import UserError


def run_doctor(settings: Settings, request: LaunchRequest | None = None) -> int:
    """Run all checks and print their findings.

    Parameters
    ----------
    settings : Settings
        Settings of the project.
    request : LaunchRequest, optional
        A training on another machine, for which its provider is checked as well.

    Returns
    -------
    int
        Exit code: 1 if something must be fixed, else 0.

    Raises
    ------
    UserError
        If there are no checks for the provider.
    """
    checks = find_checks(settings)
    if request:
        checks += find_provider_checks(request)
    return run_checks(checks)


def find_provider_checks(request: LaunchRequest) -> list[Callable[[], Finding]]:
    """Return the checks of the provider of a request.

    Raises
    ------
    UserError
        If there are none for it.
    """
    if provider_of(request.on) == "aws":
        from coldstart.cloud.aws._checks import aws_checks  # boto3 takes a second to import

        return aws_checks(request)
    if request.on == "docker" or request.on.startswith(("ssh://", "tcp://")):
        return [partial(engine, request)]
    raise UserError(
        f"there are no checks for ON={request.on}; choose ON= among aws, docker, ssh://me@host"
    )


def engine(request: LaunchRequest) -> Finding:
    """Check that the Docker engine of another machine responds, with the GPUs that are wanted."""
    from coldstart.cloud._providers import find_launcher

    try:
        return ok("machine", find_launcher(request.on).plan(request).offer.machine)
    except UserError as error:
        host = "" if request.on == "docker" else f" --host {request.on}"
        return wrong("machine", str(error), f"docker{host} info")


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
