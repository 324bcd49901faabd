"""The command that searches settings."""

from __future__ import annotations

import os

from coldstart.cli._commands import Command
from coldstart.tune._request import TuneRequest


class Tune(Command, TuneRequest):
    """Search better settings of a model."""

    alone = True

    def run(self) -> None:
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        from coldstart.tune._search import tune

        tune(self)
