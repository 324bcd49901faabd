"""The command that reaches SkyPilot itself."""

from __future__ import annotations

import os
import shlex

from pydantic import Field

from coldstart.cli._commands import Command


class Sky(Command):
    """Run SkyPilot's own command, as the other commands of this project run it."""

    ask: str = Field("check", description="such as 'jobs queue', 'status --refresh', 'api stop'")

    def run(self) -> None:
        """Do it."""
        from coldstart.cloud.skypilot._environment import FOLDER, PROGRAM, ensure, variables

        ensure()
        program = FOLDER / PROGRAM
        os.execve(program, [str(program), *shlex.split(self.ask)], variables())
