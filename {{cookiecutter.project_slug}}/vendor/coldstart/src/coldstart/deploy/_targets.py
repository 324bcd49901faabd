"""Targets of a deployment: what each must be able to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import Protocol

from coldstart.config._settings import Settings
from coldstart.errors import UserError

TARGETS = {
    "docker": "coldstart.deploy.on_docker._target",
    "aws": "coldstart.deploy.on_aws._target",
}


@dataclass(frozen=True)
class DeployRequest:
    """A deployment of the champion's API.

    Parameters
    ----------
    settings : Settings
        Settings of the project.
    host : str, optional
        Address of the Docker host. By default what infra/deploy/docker.yaml says.
    port : int, optional
        Port of the API there. By default what infra/deploy/docker.yaml says.
    dry_run : bool, default=False
        Whether to print what would be done, and what it costs, only.
    """

    settings: Settings
    host: str | None = None
    port: int | None = None
    dry_run: bool = False


class DeployTarget(Protocol):
    """Where the API can be deployed. What users can choose is in infra/deploy/NAME.yaml.

    Each method prints what it does, and raises `UserError` if it fails. The version that served
    before continues to serve then.
    """

    def __init__(self, request: DeployRequest) -> None:
        """Read the choices. Nothing is changed yet."""

    def deploy(self) -> None:
        """Deploy the champion, or replace the version that is deployed."""

    def status(self) -> None:
        """Print which version is deployed, where, and since when."""

    def rollback(self) -> None:
        """Serve the version before this one again."""

    def fetch(self) -> None:
        """Download the prediction log, for `make monitor`."""

    def down(self) -> None:
        """Remove everything that `deploy` has made."""


def find_target(name: str, request: DeployRequest) -> DeployTarget:
    """Return a target of deployments.

    Another package brings one by the entry point group ``coldstart.deploy``.

    Parameters
    ----------
    name : str
        Its name: ``docker``, ``aws``, or that of an entry point.
    request : DeployRequest
        What to deploy.

    Returns
    -------
    DeployTarget
        The target.

    Raises
    ------
    UserError
        If there is none of that name.
    """
    others = {one.name: one.load for one in entry_points(group="coldstart.deploy")}
    names = sorted([*TARGETS, *others])
    if name not in names:
        raise UserError(f"cannot deploy to {name!r}: choose ON= among {', '.join(names)}")
    if name in others:
        kind: Callable[[DeployRequest], DeployTarget] = others[name]()
    else:
        kind = import_module(TARGETS[name]).DeployTarget
    return kind(request)
