"""The command that puts the API where others reach it."""

from __future__ import annotations

from pydantic import Field

from ...commands import Command
from ...errors import UserError


class Deploy(Command):
    """Put the champion's API on a host or a cloud, or see to what is there."""

    alone = True  # the champion must not change while it is packed

    on: str = Field("docker", description="where: a name of limbs/deploy/on_...")
    host: str | None = Field(None, description="address of the Docker host")
    port: int | None = Field(None, description="where it listens there")
    status: bool = Field(False, description="tell what is there")
    rollback: bool = Field(False, description="bring what was there before back")
    fetch: bool = Field(False, description="bring the predictions that were kept there")
    down: bool = Field(False, description="take it away")
    dry_run: bool = Field(False, description="tell what would be done, and what it costs")

    yes: bool = Field(False, description="do not ask before money is spent")

    def run(self) -> None:
        """Do it."""
        from .places import find_place

        others = ("status", "rollback", "fetch", "down", "dry_run")
        asked = [name for name in others if getattr(self, name)]
        if len(asked) > 1:
            raise UserError(f"one thing at a time: {' or '.join(asked)}".replace("_", "-"))
        place = find_place(self.on, self)
        getattr(place, "deploy" if not asked or self.dry_run else asked[0])()
