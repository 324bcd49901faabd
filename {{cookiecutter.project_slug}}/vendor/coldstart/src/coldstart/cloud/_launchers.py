"""Places where a job can run: each is a package beside this one, with a `Launcher` in its place.py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from coldstart.cloud._job import Job
from coldstart.cloud._plan import Plan
from coldstart.cloud._request import LaunchRequest
from coldstart.cloud._store import Store


@dataclass(frozen=True)
class Machine:
    """What a provider says of a machine, or of several of one job.

    Attributes
    ----------
    job
        Id of the job, from the labels, or the beginning of it.
    state
        In the provider's words.
    since
        Seconds since 1970 when it began to cost.
    price
        Dollars an hour of all of it, if known.
    """

    job: str
    where: str
    state: str
    since: float
    price: float | None = None

    def of(self, job: str) -> bool:
        """Whether it is a job's."""
        return bool(self.job) and job.startswith(self.job)


class Launcher(Protocol):
    """Where a job can run. What stands behind it knows the job by its labels, not by our memory."""

    def plan(self, asked: LaunchRequest) -> Plan:
        """Tell what the job would take; nothing is changed, and nothing costs."""

    def prepare(self, asked: LaunchRequest) -> None:
        """Make what the job needs and what does not cost yet: the image."""

    def start(self, asked: LaunchRequest, job: Job) -> None:
        """Hand the job over; from then on it needs this process no more."""

    def follow(self, job: str) -> None:
        """Show the job's log until it ends; may be interrupted, and called again."""

    def results(self, job: str, into: Path) -> dict[str, Any]:
        """Bring what `snapshots.KEPT` names into a folder, and what the worker tells of itself.

        It is empty if the job has come to nothing.
        """

    def shared(self, group: str) -> Store | None:
        """The folder in the store that jobs of a group share; None where a file is all there is."""

    def cost(self, job: str) -> float | None:
        """Dollars that it has cost, if that is known."""

    def stop(self, job: str) -> None:
        """End the job if it runs, and take away all that was made for it."""

    def machines(self, project: str) -> list[Machine]:
        """What there is of all jobs of a project, asked of the provider."""


def find_launcher(on: str) -> Launcher:
    """Make the place of that name: `docker`, `ssh://me@host`, or what SkyPilot knows."""
    if on == "docker" or on.startswith(("ssh://", "tcp://")):
        from coldstart.cloud.on_docker._launcher import Docker

        return Docker("local" if on == "docker" else on)
    from coldstart.cloud.on_sky._launcher import Sky

    return Sky(on)
