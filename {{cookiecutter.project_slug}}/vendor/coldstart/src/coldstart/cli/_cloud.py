"""The commands that rent machines, and see to it that none is left."""

from __future__ import annotations

from pydantic import Field

from coldstart.cli._commands import Command
from coldstart.cloud._request import LaunchRequest
from coldstart.cloud._sweep_request import SweepRequest


class TrainOn(Command, LaunchRequest):
    """Train on a rented machine; what it makes comes home as if it had been trained here."""

    def run(self) -> int:
        """Do it."""
        from coldstart.cloud._launching import launch

        return launch(self, ["train"])


class Cloud(Command):
    """Tell which jobs run, and what they have cost so far, as the providers know it."""

    def run(self) -> None:
        """Do it."""
        from coldstart.cloud._status import overview

        overview(self)


class CloudFollow(Command):
    """Go on with a job from here: show its log, and bring its results home."""

    job: str | None = Field(None, description="beginning of its id; the newest by default")

    def run(self) -> int:
        """Do it."""
        from coldstart.cloud._launching import pick_up

        return pick_up(self, self.job)


class CloudStop(Command):
    """End a job, and take away everything that was made for it."""

    job: str | None = Field(None, description="beginning of its id; the newest by default")
    all: bool = Field(False, description="all jobs of this project that are under way")

    def run(self) -> None:
        """Do it."""
        from coldstart.cloud._status import stop

        stop(self, self.job, self.all)


class CloudSweep(Command, SweepRequest):
    """List what this project has on AWS, and end what is past its deadline."""

    def run(self) -> int:
        """Do it."""
        from coldstart.cloud.aws._sweep import sweep

        return sweep(self)


class CloudBootstrap(Command):
    """Make or update what renting on AWS needs, from infra/aws/account.yaml."""

    email: str | None = Field(None, description="who is told when the budget is spent")
    dollars: float | None = Field(None, gt=0, description="a month, of the whole account")

    def run(self) -> None:
        """Do it."""
        from coldstart.cloud.aws._account import bootstrap

        bootstrap(self.email, self.dollars)


class CloudDestroy(Command):
    """Remove what cloud-bootstrap has made."""

    yes: bool = Field(False, description="do not ask")

    def run(self) -> None:
        """Do it."""
        from coldstart.cloud.aws._account import destroy

        destroy(self.yes)
