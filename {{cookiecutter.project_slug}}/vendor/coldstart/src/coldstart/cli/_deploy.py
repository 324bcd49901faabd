"""The command that puts the API where others reach it."""

from __future__ import annotations


from coldstart.cli._commands import Command
from coldstart.deploy._request import DeployRequest
from coldstart.errors import UserError


class Deploy(Command, DeployRequest):
    """Put the champion's API on a host or a cloud, or see to what is there."""

    alone = True  # the champion must not change while it is packed

    def run(self) -> None:
        """Do it."""
        from coldstart.deploy._targets import find_target

        others = ("status", "rollback", "fetch", "down", "dry_run")
        asked = [name for name in others if getattr(self, name)]
        if len(asked) > 1:
            raise UserError(f"one thing at a time: {' or '.join(asked)}".replace("_", "-"))
        place = find_target(self.on, self)
        getattr(place, "deploy" if not asked or self.dry_run else asked[0])()
