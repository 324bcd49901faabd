"""The commands that rent machines, and see to it that none is left."""

from __future__ import annotations

from pydantic import Field

from ...commands import Command


class Rent(Command):
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


class TrainOn(Rent):
    """Train on a rented machine; what it makes comes home as if it had been trained here."""

    def run(self) -> int:
        """Do it."""
        from .launching import launch

        return launch(self, ["train"])


class Cloud(Command):
    """Tell which jobs run, and what they have cost so far, as the providers know it."""

    def run(self) -> None:
        """Do it."""
        from .watching import overview

        overview(self)


class CloudFollow(Command):
    """Go on with a job from here: show its log, and bring its results home."""

    job: str | None = Field(None, description="beginning of its id; the newest by default")

    def run(self) -> int:
        """Do it."""
        from .launching import pick_up

        return pick_up(self, self.job)


class CloudStop(Command):
    """End a job, and take away everything that was made for it."""

    job: str | None = Field(None, description="beginning of its id; the newest by default")
    all: bool = Field(False, description="all jobs of this project that are under way")

    def run(self) -> None:
        """Do it."""
        from .watching import stop

        stop(self, self.job, self.all)


class CloudSweep(Command):
    """List what this project has on AWS, and end what is past its deadline."""

    everything: bool = Field(False, description="end all of it, also what is not past")
    dry_run: bool = Field(False, description="only list")
    yes: bool = Field(False, description="do not ask before anything is ended")
    project: str | None = Field(None, description="another than this one: the tag's value")

    def run(self) -> int:
        """Do it."""
        from .aws.sweep import sweep

        return sweep(self)


class CloudBootstrap(Command):
    """Make or update what renting on AWS needs, from infra/aws/account.yaml."""

    email: str | None = Field(None, description="who is told when the budget is spent")
    dollars: float | None = Field(None, gt=0, description="a month, of the whole account")

    def run(self) -> None:
        """Do it."""
        from .aws.account import bootstrap

        bootstrap(self.email, self.dollars)


class CloudDestroy(Command):
    """Remove what cloud-bootstrap has made."""

    yes: bool = Field(False, description="do not ask")

    def run(self) -> None:
        """Do it."""
        from .aws.account import destroy

        destroy(self.yes)
