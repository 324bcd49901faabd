"""The command that searches settings."""

from __future__ import annotations

import os

from pydantic import Field

from ...commands import Command
from ...settings import Seconds


class Tune(Command):
    """Search better settings of a model."""

    alone = True

    model: str | None = Field(None, description="the challenger's by default")
    trials: int = Field(50, gt=0, description="settings to try, those of earlier searches included")
    stop_after: Seconds | None = Field(None, description="time such as 10m")
    jobs: int = Field(1, gt=0, description="processes that share the search")

    def run(self) -> None:
        """Do it."""
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        from .search import tune

        tune(self)
