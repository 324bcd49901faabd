"""Places to deploy to: each is a package beside this one, with a `Place` in `on_NAME/place.py`."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import Protocol

from ...errors import UserError
from .commands import Deploy

PREFIX = "on_"


class Place(Protocol):
    """Where an API can be put. What a person can choose about it is in infra/deploy/NAME.yaml.

    Each method prints what it does, and raises UserError where it cannot; what
    served before goes on serving then.
    """

    def __init__(self, asked: Deploy) -> None:
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


def find_place(name: str, asked: Deploy) -> Place:
    """Make the place of that name.

    Raises
    ------
    UserError
        If there is none.
    """
    folder = Path(__file__).parent
    names = sorted(
        found.name.removeprefix(PREFIX)
        for found in pkgutil.iter_modules([str(folder)])
        if found.name.startswith(PREFIX)
    )
    if name not in names:
        raise UserError(f"cannot deploy to {name!r}: choose ON= among {', '.join(names)}")
    module = importlib.import_module(f".{PREFIX}{name}.place", __package__)
    place: Place = module.Place(asked)
    return place
