"""A job: one command of the package on a rented machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from coldstart.cloud import _labels as labels
from coldstart.config._settings import Settings
from coldstart import _provenance as provenance


@dataclass(frozen=True)
class Job:
    """What a place is asked to run.

    Attributes
    ----------
    id
        Of its run in MLflow.
    project
        Name of the project, which labels everything that the job makes.
    command
        Of the package, with its options.
    deadline
        Seconds since 1970 after which nothing of it may run.
    group
        Id of the jobs that it belongs to, if there are others.
    """

    id: str
    project: str
    command: list[str]
    deadline: int
    group: str = ""

    def labels(self) -> dict[str, str]:
        """What everything carries that is made for the job; all clouds allow these letters."""
        return {
            labels.PROJECT: self.project,
            labels.JOB: self.id,
            labels.DEADLINE: str(self.deadline),
        }

    def environment(self) -> dict[str, str]:
        """What the worker is told, without secrets."""
        found = provenance.revision()
        return {
            "TRAINING_JOB": self.id,
            "DEADLINE": str(self.deadline),
            "AWS_METADATA_SERVICE_NUM_ATTEMPTS": "5",  # a machine's credentials may be late
            "GIT_COMMIT": found["git_commit"] + ("+" if found["git_dirty"] else ""),
        }


@dataclass(frozen=True)
class Group:
    """Jobs that belong together: the same command, on several machines that share what they find.

    Attributes
    ----------
    then
        A command of the package, for this computer, when they have come home or were stopped.
    """

    id: str
    machines: int
    then: list[str]


def reachable_from_elsewhere(uri: str) -> bool:
    """Whether a tracking store may be asked by another machine."""
    host = urlsplit(uri).hostname or ""
    return uri.startswith("http") and host not in ("localhost", "127.0.0.1", "::1", "0.0.0.0")


def tracking_environment(settings: Settings) -> dict[str, str]:
    """Variables by which a machine reaches the tracking store, secrets among them; or none."""
    if not reachable_from_elsewhere(settings.tracking_uri):
        return {}
    names = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
    secrets = {name: os.environ[name] for name in names if name in os.environ}
    return {"MLFLOW_TRACKING_URI": settings.tracking_uri, **secrets}
