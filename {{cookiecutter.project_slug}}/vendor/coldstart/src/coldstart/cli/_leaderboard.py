"""The leaderboard's command."""

from __future__ import annotations

from pydantic import Field

from coldstart.cli._commands import Command


class Leaderboard(Command):
    """Show the runs side by side, the best on the validation rows first."""

    last: int = Field(20, gt=0, description="how many of the newest runs")

    def run(self) -> None:
        from rich.console import Console

        from coldstart.tracking._leaderboard import leaderboard

        Console().print(leaderboard(self, self.last))
