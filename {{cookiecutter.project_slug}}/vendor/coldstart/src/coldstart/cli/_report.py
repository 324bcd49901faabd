"""The commands that report on the champion: results in README.md, interview questions."""

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


class Questions(Command):
    """Print interview questions with this project's numbers."""

    def run(self) -> None:
        """Print them."""
        from coldstart.bundle._bundle import current_bundle
        from coldstart.report._questions import ChampionFacts, render_questions

        print(render_questions(self.project.package, ChampionFacts(current_bundle())))
