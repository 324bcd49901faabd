"""What a person asks of a command on a rented machine."""

from __future__ import annotations

from pydantic import Field

from coldstart.config._settings import Settings


class LaunchRequest(Settings):
    """Run a command of this project on a rented machine."""

    on: str = Field(description="docker, ssh://me@host, slurm, aws, gcp, lambda, runpod, ...")
    gpu: str | None = Field(None, description="such as L4:1; by default that of train.sky.yaml")
    spot: bool | None = Field(None, description="cheaper machines that may be taken away")
    nodes: int = Field(1, gt=0, description="machines that share one training")
    dollars: float | None = Field(None, gt=0, description="the most that it may cost")
    hours: float = Field(2.0, gt=0, description="after which it is stopped, whatever it does")
    price: float | None = Field(None, ge=0, description="dollars an hour, where nobody else knows")
    detach: bool = Field(False, description="do not wait for the end")
    dry_run: bool = Field(False, description="tell what would be done, and what it costs")
    yes: bool = Field(False, description="do not ask before money is spent")

    @property
    def rented(self) -> int:
        """How many machines are paid for at a time."""
        return self.nodes
