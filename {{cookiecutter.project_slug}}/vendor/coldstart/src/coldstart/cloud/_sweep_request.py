"""What a person asks of `make cloud-sweep`."""

from __future__ import annotations

from pydantic import Field

from coldstart.config._settings import Settings


class SweepRequest(Settings):
    """What a person asks of `make cloud-sweep`."""

    everything: bool = Field(False, description="end all of it, also what is not past")
    dry_run: bool = Field(False, description="only list")
    yes: bool = Field(False, description="do not ask before anything is ended")
    project_name: str | None = Field(None, description="another than this one: the tag's value")
