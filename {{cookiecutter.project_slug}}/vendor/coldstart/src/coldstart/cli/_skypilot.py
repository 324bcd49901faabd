"""The command that reaches SkyPilot itself."""

from __future__ import annotations

import os
import shlex

from pydantic import Field

from coldstart.cli._commands import Command


class Sky(Command):
    """Run SkyPilot's own command, with this project's settings of it."""

    on: str = Field("sky", description="whose credentials it gets; sky means all in infra/sky.txt")
    ask: str = Field("check", description="such as 'jobs queue', 'status --refresh', 'api stop'")

    def run(self) -> None:
        """Replace this process by SkyPilot's."""
        from coldstart.cloud.skypilot._environment import (
            COMMAND,
            FOLDER,
            ensure_installed,
            environment,
        )

        ensure_installed()
        program = FOLDER / COMMAND
        os.execve(program, [str(program), *shlex.split(self.ask)], environment(self.on))
