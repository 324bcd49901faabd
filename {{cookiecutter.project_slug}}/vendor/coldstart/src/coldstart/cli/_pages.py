"""The command of the portfolio page."""

from __future__ import annotations

from pydantic import Field

from coldstart.cli._commands import Command


class Pages(Command):
    """Write the portfolio page, a folder for GitHub Pages."""

    alone = True

    check: bool = Field(False, description="only print whether it shows the champion")
    live: bool = Field(True, description="put the model in, which a browser runs (33 MB from npm)")

    def run(self) -> int | None:
        """Write or check the page."""
        from coldstart.portfolio._site import check_site, write_site

        if self.check:
            return check_site()
        write_site(self, self.live)
        return None
