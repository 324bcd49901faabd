"""What a person asks of `make deploy`."""

from __future__ import annotations

from pydantic import Field

from coldstart.config._settings import Settings


class DeployRequest(Settings):
    """What a person asks of `make deploy`."""

    on: str = Field("docker", description="where: a name of limbs/deploy/on_...")
    host: str | None = Field(None, description="address of the Docker host")
    port: int | None = Field(None, description="where it listens there")
    status: bool = Field(False, description="tell what is there")
    rollback: bool = Field(False, description="bring what was there before back")
    fetch: bool = Field(False, description="bring the predictions that were kept there")
    down: bool = Field(False, description="take it away")
    dry_run: bool = Field(False, description="tell what would be done, and what it costs")
    yes: bool = Field(False, description="do not ask before money is spent")
