"""Launchers: where a job can run, and what each provider must be able to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol

from coldstart.cloud._job import Job
from coldstart.cloud._plan import Plan
from coldstart.cloud._request import LaunchRequest


@dataclass(frozen=True)
class Machine:
    """A machine, or several of one job, as a provider describes it.

    Attributes
    ----------
    job : str
        Id of the job, from the labels, or the beginning of it.
    description : str
        Provider and type.
    state : str
        State in the provider's words.
    since : float
        Seconds since 1970 when it began to cost.
    price : float, optional
        US dollars an hour of all of it, if it is known.
    """

    job: str
    description: str
    state: str
    since: float
    price: float | None = None

    def belongs_to(self, job: str) -> bool:
        """Return whether it is a machine of a job."""
        return bool(self.job) and job.startswith(self.job)


class Launcher(Protocol):
    """Where a job can run.

    A launcher finds a job by its labels. It keeps nothing in memory between commands.
    """

    def plan(self, request: LaunchRequest) -> Plan:
        """Return what the job would take. Nothing is changed, and nothing costs money."""

    def prepare(self, request: LaunchRequest) -> None:
        """Make what the job needs and what does not cost by the hour: an image, an upload."""

    def start(self, request: LaunchRequest, job: Job) -> None:
        """Start the job. From then on it does not need this process."""

    def follow(self, job: str) -> None:
        """Print the job's log until it ends. May be interrupted, and called again."""

    def download(self, job: str, folder: Path) -> dict[str, Any]:
        """Download what `snapshots.KEPT` names, and return the worker's status.

        The status is empty if the job has left nothing.
        """

    def cost(self, job: str) -> float | None:
        """Return the US dollars that the job has cost, if that is known."""

    def stop(self, job: str) -> None:
        """End the job if it runs, and remove all that was made for it."""

    def machines(self, project: str) -> list[Machine]:
        """Return the machines of all jobs of a project, as the provider knows them."""


def find_launcher(on: str) -> Launcher:
    """Return the launcher for a provider.

    Another package brings one by the entry point group ``coldstart.launchers``: a callable of the
    name that `ON=` gives. Its name is what stands before a ``/`` or a ``:`` there.

    Parameters
    ----------
    on : str
        ``docker``, ``ssh://me@host``, ``tcp://host:2376``, or a provider that SkyPilot knows.

    Returns
    -------
    Launcher
        The launcher.
    """
    name = on.partition("/")[0].partition(":")[0]
    for entry in entry_points(group="coldstart.launchers", name=name):
        make: Callable[[str], Launcher] = entry.load()
        return make(on)
    if on == "docker" or on.startswith(("ssh://", "tcp://")):
        from coldstart.cloud.on_docker._launcher import DockerLauncher

        return DockerLauncher("local" if on == "docker" else on)
    from coldstart.cloud.skypilot._launcher import SkyPilotLauncher

    return SkyPilotLauncher(on)
