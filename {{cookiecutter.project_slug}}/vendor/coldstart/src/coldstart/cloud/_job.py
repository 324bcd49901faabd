"""A job: one command of the project on another machine, and the labels of all that it makes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from coldstart import _provenance as provenance
from coldstart.config._settings import Settings

PROJECT = "train-project"
JOB = "train-job"
DEADLINE = "train-deadline"  # seconds since 1970: all providers allow digits in labels


@dataclass(frozen=True)
class Job:
    """A command of the project on another machine.

    Parameters
    ----------
    id : str
        Id of the job's run in MLflow.
    project : str
        Name of the project, which labels each resource that the job creates.
    command : list of str
        Command of the project, with its options.
    deadline : int
        Time at which everything of the job is stopped, in seconds since 1970.
    """

    id: str
    project: str
    command: list[str]
    deadline: int

    def labels(self) -> dict[str, str]:
        """Return the labels of each resource that is created for the job.

        Returns
        -------
        dict of str to str
            From a label's name to its value, in characters that all providers allow.
        """
        return {PROJECT: self.project, JOB: self.id, DEADLINE: str(self.deadline)}

    def environment(self) -> dict[str, str]:
        """Return the environment variables of the worker, without secrets.

        Returns
        -------
        dict of str to str
            From a variable's name to its value.
        """
        found = provenance.revision()
        return {
            "TRAINING_JOB": self.id,
            "DEADLINE": str(self.deadline),
            "AWS_METADATA_SERVICE_NUM_ATTEMPTS": "5",  # a machine's credentials may be late
            "GIT_COMMIT": found["git_commit"] + ("+" if found["git_dirty"] else ""),
        }


def reachable_from_elsewhere(uri: str) -> bool:
    """Return whether other machines may reach a tracking store."""
    host = urlsplit(uri).hostname or ""
    return uri.startswith("http") and host not in ("localhost", "127.0.0.1", "::1", "0.0.0.0")


def tracking_environment(settings: Settings, yours: bool = True) -> dict[str, str]:
    """Return the variables by which a machine reaches the tracking store, secrets included.

    There are none for a store that is a file or on this computer, nor for one with a password if
    the machine is not yours: its runs are downloaded with the results.
    """
    uri = settings.tracking_uri
    names = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
    secrets = {name: os.environ[name] for name in names if name in os.environ}
    if not reachable_from_elsewhere(uri) or ((secrets or urlsplit(uri).password) and not yours):
        return {}
    return {"MLFLOW_TRACKING_URI": uri, **secrets}
