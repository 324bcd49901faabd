"""The command that deploys the API."""

from __future__ import annotations

from pydantic import Field

from coldstart.cli._commands import Command
from coldstart.errors import UserError

ACTIONS = ("status", "rollback", "fetch", "down")


class Deploy(Command):
    """Deploy the champion's API to a host or a cloud, or manage what is deployed."""

    alone = True  # the champion must not change while it is copied

    on: str = Field("docker", description="docker or aws")
    host: str | None = Field(None, description="address of the Docker host")
    port: int | None = Field(None, description="of the API there")
    status: bool = Field(False, description="print what is deployed")
    rollback: bool = Field(False, description="serve the version before this one again")
    fetch: bool = Field(False, description="download the prediction log")
    down: bool = Field(False, description="remove the deployment")
    dry_run: bool = Field(False, description="print what would be done, and what it costs")

    def run(self) -> None:
        """Do what is requested: by default, deploy."""
        from coldstart.deploy import DeployRequest, find_target

        requested = [name for name in (*ACTIONS, "dry_run") if getattr(self, name)]
        if len(requested) > 1:
            raise UserError(f"one action at a time: {' or '.join(requested)}".replace("_", "-"))
        request = DeployRequest(self, self.host, self.port, self.dry_run)
        action = requested[0] if requested and not self.dry_run else "deploy"
        getattr(find_target(self.on, request), action)()
