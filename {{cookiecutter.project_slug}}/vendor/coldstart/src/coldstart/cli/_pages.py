"""The command of the portfolio page."""

from __future__ import annotations

from pydantic import Field

from coldstart.cli._commands import Command


class Pages(Command):
    """Write the portfolio page, a folder that GitHub Pages can show."""

    alone = True

    check: bool = Field(False, description="write nothing; say whether it shows the champion")

    def run(self) -> int | None:
        """Do it."""
        from coldstart.portfolio._site import check, write

        if self.check:
            return check()
        write(self)
        return None
