"""The commands that train on other machines, and that stop and remove these."""

from __future__ import annotations

from pydantic import Field

from coldstart.cli._commands import Command
from coldstart.cloud._request import LaunchRequest


class TrainOn(Command):
    """Train on another machine, and download the results as if it had been trained here."""

    on: str = Field(description="docker, ssh://me@host, slurm, aws, gcp, lambda, runpod, ...")
    gpu: str | None = Field(None, description="such as L4:1; by default that of train.sky.yaml")
    spot: bool | None = Field(None, description="cheaper machines that may be taken away")
    nodes: int = Field(1, gt=0, description="machines that share one training")
    dollars: float | None = Field(None, gt=0, description="the most that it may cost")
    hours: float = Field(2.0, gt=0, description="after which it is stopped")
    price: float | None = Field(
        None, gt=0, description="US dollars an hour, where the provider publishes none"
    )
    detach: bool = Field(False, description="return once the job has started")
    dry_run: bool = Field(False, description="print the plan and its cost only")
    yes: bool = Field(False, description="start without a confirmation")

    def run(self) -> int:
        """Train, and return the exit code of the training."""
        from coldstart.cloud._launching import launch

        request = LaunchRequest(
            settings=self,
            on=self.on,
            gpu=self.gpu,
            spot=self.spot,
            nodes=self.nodes,
            dollars=self.dollars,
            hours=self.hours,
            price=self.price,
            detach=self.detach,
            dry_run=self.dry_run,
            yes=self.yes,
        )
        return launch(request, ["train"])


class Cloud(Command):
    """Print the jobs in progress and their cost so far, as the providers know them."""

    def run(self) -> None:
        """Print them."""
        from coldstart.cloud._status import print_status

        print_status(self)


class CloudFollow(Command):
    """Follow a job from here: print its log, and download its results."""

    job: str | None = Field(None, description="beginning of its id; the newest by default")

    def run(self) -> int:
        """Follow it, and return its exit code."""
        from coldstart.cloud._launching import pick_up

        return pick_up(self, self.job)


class CloudStop(Command):
    """Stop a job, and remove everything that was made for it."""

    job: str | None = Field(None, description="beginning of its id; the newest by default")
    all: bool = Field(False, description="all jobs of this project that are in progress")

    def run(self) -> None:
        """Stop it."""
        from coldstart.cloud._status import stop

        stop(self, self.job, self.all)


class CloudSweep(Command):
    """List what this project has on AWS, and end what is past its deadline."""

    everything: bool = Field(False, description="end all of it, whatever its deadline")
    dry_run: bool = Field(False, description="only list")
    yes: bool = Field(False, description="end without a confirmation")
    project_name: str | None = Field(None, description="another project: the value of the tag")

    def run(self) -> int:
        """Sweep, and return 1 if something past its deadline is left."""
        from coldstart.cloud.aws._sweep import sweep

        return sweep(self.project_name, self.everything, self.dry_run, self.yes)


class CloudBootstrap(Command):
    """Create or update what training on AWS needs, from infra/aws/account.yaml."""

    email: str | None = Field(None, description="receives an alert as the budget is used up")
    dollars: float | None = Field(None, gt=0, description="budget a month, of the whole account")
    launchers: str | None = Field(None, description="who is stopped at its limit: user/ann role/ci")

    def run(self) -> None:
        """Create it."""
        from coldstart.cloud.aws._account import bootstrap

        bootstrap(self.email, self.dollars, self.launchers)


class CloudDestroy(Command):
    """Remove what cloud-bootstrap created."""

    yes: bool = Field(False, description="remove without a confirmation")

    def run(self) -> None:
        """Remove it."""
        from coldstart.cloud.aws._account import destroy

        destroy(self.yes)
