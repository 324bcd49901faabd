"""The preflight's command."""

from __future__ import annotations

from pydantic import Field

from ...commands import Command


class Doctor(Command):
    """Look for what would stop this project here or elsewhere, and tell what mends it."""

    on: str | None = Field(None, description="where else: aws; by default this machine alone")
    gpu: str | None = Field(None, description="such as L4:1, as it would be asked for there")
    spot: bool = Field(False, description="whether on a spot machine")
    nodes: int = Field(1, gt=0, description="machines")

    def run(self) -> int:
        """Do it."""
        from .examination import doctor

        return doctor(self)
