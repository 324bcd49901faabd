"""The report's command."""

from __future__ import annotations

from pydantic import Field

from coldstart.cli._commands import Command


class Report(Command):
    """Fill in what README.md says between its marked lines."""

    shot: bool = Field(False, description="take the screenshot anew, which needs a browser")

    def run(self) -> None:
        """Do it."""
        from coldstart.report._report import report

        report(self, self.shot)
