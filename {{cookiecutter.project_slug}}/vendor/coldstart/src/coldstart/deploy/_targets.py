"""Places to deploy to: each is a package beside this one, with a `DeployTarget` in `on_NAME/place.py`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import Protocol

from coldstart.deploy._request import DeployRequest
from coldstart.errors import UserError

TARGETS = {"docker": "coldstart.deploy.on_docker", "aws": "coldstart.deploy.on_aws"}


class DeployTarget(Protocol):
    """Where an API can be put. What a person can choose about it is in infra/deploy/NAME.yaml.

    Each method prints what it does, and raises UserError where it cannot; what
    served before goes on serving then.
    """

    def __init__(self, asked: DeployRequest) -> None:
        """Read the choices; nothing is changed yet."""

    def deploy(self) -> None:
        """Put the champion there; again, to bring a new one."""

    def status(self) -> None:
        """Tell which version answers, where, and since when."""

    def rollback(self) -> None:
        """Bring back what was there before."""

    def fetch(self) -> None:
        """Bring the predictions that were kept there, for `make monitor`."""

    def down(self) -> None:
        """Take away everything that `deploy` has made."""


def find_target(name: str, asked: DeployRequest) -> DeployTarget:
    """Make the place of that name.

    Raises
    ------
    UserError
        If there is none.
    """
    others = {one.name: one.load for one in entry_points(group="coldstart.deploy")}
    names = sorted([*TARGETS, *others])
    if name not in names:
        raise UserError(f"cannot deploy to {name!r}: choose ON= among {', '.join(names)}")
    if name in others:
        kind: Callable[[DeployRequest], DeployTarget] = others[name]()
    else:
        kind = import_module(TARGETS[name]).DeployTarget
    return kind(asked)
