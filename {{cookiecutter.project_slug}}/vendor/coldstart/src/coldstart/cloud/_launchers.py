"""What each provider on which a job can run must be able to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from coldstart.cloud._job import Job
from coldstart.cloud._plan import Plan
from coldstart.cloud._request import LaunchRequest


@dataclass(frozen=True)
class Machine:
    """A machine, or several of one job, as a provider describes it.

    Parameters
    ----------
    job : str
        Id of the job from the labels, or the beginning of it.
    description : str
        Provider and type.
    state : str
        State in the provider's terms.
    since : float
        Time at which it began to cost, in seconds since 1970.
    price : float, optional
        Price of all machines together, in US dollars an hour, if it is known.
    """

    job: str
    description: str
    state: str
    since: float
    price: float | None = None

    def belongs_to(self, job: str) -> bool:
        """Return whether the machine belongs to a job.

        Parameters
        ----------
        job : str
            Id of the job.

        Returns
        -------
        bool
            Whether the job's id begins with the id in the machine's labels.
        """
        return bool(self.job) and job.startswith(self.job)


class Launcher(Protocol):
    """A provider on which a job can run.

    A launcher finds a job by its labels. It keeps no state between commands.
    """

    def plan(self, request: LaunchRequest) -> Plan:
        """Return the machines and the price of a job, without starting or paying for anything.

        Parameters
        ----------
        request : LaunchRequest
            The training to run.

        Returns
        -------
        Plan
            Machines, prices and limits of the job.
        """

    def prepare(self, request: LaunchRequest) -> None:
        """Create what the job needs and what has no hourly cost: an image, an upload.

        Parameters
        ----------
        request : LaunchRequest
            The training to run.
        """

    def start(self, request: LaunchRequest, job: Job) -> None:
        """Start the job, which then runs without this process.

        Parameters
        ----------
        request : LaunchRequest
            The training to run.
        job : Job
            Id, labels and command of the job.
        """

    def follow(self, job: str) -> None:
        """Print the job's log until the job ends.

        The call may be interrupted and repeated.

        Parameters
        ----------
        job : str
            Id of the job.
        """

    def download(self, job: str, folder: Path) -> dict[str, Any]:
        """Download the files that `snapshots.KEPT` names, and return the worker's status.

        Parameters
        ----------
        job : str
            Id of the job.
        folder : Path
            Folder to download to.

        Returns
        -------
        dict
            The worker's status. Empty if the job has left no files.
        """

    def cost(self, job: str) -> float | None:
        """Return the cost of the job so far.

        Parameters
        ----------
        job : str
            Id of the job.

        Returns
        -------
        float or None
            Cost in US dollars. None if it is unknown.
        """

    def stop(self, job: str, keep: bool = False) -> None:
        """Stop the job if it is running, and delete each resource that was created for it.

        Parameters
        ----------
        job : str
            Id of the job.
        keep : bool, default=False
            Whether to leave the files that the job has kept, which cost no machine.
        """

    def machines(self, project: str) -> list[Machine]:
        """Return the machines of all jobs of a project, from the provider's own list.

        Parameters
        ----------
        project : str
            Name of the project.

        Returns
        -------
        list of Machine
            The machines.
        """
