"""The command that writes results into README.md."""

from __future__ import annotations

from pydantic import Field

from coldstart.cli._commands import Command


class Report(Command):
    """Write the results into README.md, between its marked lines."""

    shot: bool = Field(False, description="take the screenshot anew, with an installed browser")

    def run(self) -> None:
        """Write the results."""
        from coldstart.report._report import report

        report(self, self.shot)
