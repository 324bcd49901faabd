"""What a person asks of `make doctor`."""

from __future__ import annotations

from pydantic import Field

from coldstart.config._settings import Settings


class DoctorRequest(Settings):
    """What a person asks of `make doctor`."""

    on: str | None = Field(None, description="where else: aws; by default this machine alone")
    gpu: str | None = Field(None, description="such as L4:1, as it would be asked for there")
    spot: bool = Field(False, description="whether on a spot machine")
    nodes: int = Field(1, gt=0, description="machines")
