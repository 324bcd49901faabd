"""The commands by which rented machines share a search."""

from __future__ import annotations

import os

from pydantic import Field

from ...commands import Command
from ..cloud.commands import Rent


class TuneOn(Rent):
    """Search better settings of a model on rented machines."""

    model: str | None = Field(None, description="the challenger's by default")
    trials: int = Field(50, gt=0, description="settings to try, those of earlier searches included")
    machines: int = Field(1, gt=0, description="that share the search, each with trials of its own")

    @property
    def rented(self) -> int:
        """How many machines are paid for at a time."""
        return self.machines

    def run(self) -> int:
        """Do it."""
        from .renting import tune_on

        return tune_on(self)


class TuneShare(Command):
    """Try settings for a search that machines share; this is what runs on them."""

    alone = True

    search: str = Field(description="its id")
    model: str = Field(description="what is searched")
    trials: int = Field(50, gt=0, description="of all machines together")

    def run(self) -> None:
        """Do it."""
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        from .sharing import share

        share(self)


class TuneHome(Command):
    """Bring home what machines have found, and tell what it is worth when they are done."""

    alone = True

    search: str = Field(description="its id")
    on: str = Field(description="where the machines are")
    model: str = Field(description="what is searched")

    def run(self) -> None:
        """Do it."""
        from .bringing import bring_home

        bring_home(self)
