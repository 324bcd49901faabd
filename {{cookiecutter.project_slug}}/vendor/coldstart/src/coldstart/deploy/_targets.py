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
    "space": "coldstart.deploy.on_hub._target",
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
    repo : str, optional
        Name of the Space, ``USER/NAME``. By default the user and the project's name.
    public : bool, default=False
        Whether everybody may read the Space, or use the function at AWS without a key.
    tls : str, optional
        Name of the Docker host on the internet, for which it gets a certificate. By default what
        infra/deploy/docker.yaml says.
    proxy : bool, default=False
        Whether a proxy before the Docker host's API does TLS.
    """

    settings: Settings
    host: str | None = None
    port: int | None = None
    dry_run: bool = False
    repo: str | None = None
    public: bool = False
    tls: str | None = None
    proxy: bool = False


class DeployTarget(Protocol):
    """A target that the API can be deployed to. Users configure it in infra/deploy/NAME.yaml.

    Each method prints its progress, and raises `UserError` if it fails. The version that served
    before then continues to serve.

    Parameters
    ----------
    request : DeployRequest
        What to deploy.
    """

    def __init__(self, request: DeployRequest) -> None:
        """Read the choices. Nothing is changed yet."""

    def deploy(self) -> None:
        """Deploy the champion, or replace the deployed version."""

    def status(self) -> None:
        """Print which version is deployed, where, and since when."""

    def rollback(self) -> None:
        """Serve the previous version again."""

    def fetch(self) -> None:
        """Download the prediction log, for `make monitor`."""

    def down(self) -> None:
        """Delete each resource that `deploy` has created."""


def find_target(name: str, request: DeployRequest) -> DeployTarget:
    """Return a target of deployments.

    Another package adds one by the entry point group ``coldstart.deploy``.

    Parameters
    ----------
    name : str
        Its name: ``docker``, ``aws``, ``space``, or that of an entry point.
    request : DeployRequest
        What to deploy.

    Returns
    -------
    DeployTarget
        The target.

    Raises
    ------
    UserError
        If there is no target of that name.
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
