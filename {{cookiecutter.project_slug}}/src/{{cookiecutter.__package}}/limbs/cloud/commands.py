"""The commands of rented machines."""

from __future__ import annotations

from pydantic import Field

from ...commands import Command


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


class Doctor(Command):
    """Look for what would stop a training, and tell what mends it."""

    on: str | None = Field(None, description="where: aws; by default this machine alone")
    gpu: str | None = Field(None, description="such as L4:1, as it would be asked for")
    spot: bool = Field(False, description="whether on a spot machine")
    nodes: int = Field(1, gt=0, description="machines")

    def run(self) -> int:
        """Do it."""
        from .doctor import doctor

        return doctor(self)
