"""Runs of jobs in MLflow.

A job's run is created before the job starts, and its id is the job's id. So it stays one job,
however many machines it takes. The models that it trains are child runs.
"""

from __future__ import annotations

import time

from mlflow import MlflowClient
from mlflow.entities import Run, RunStatus

from coldstart.cloud._job import Job
from coldstart.cloud._request import LaunchRequest
from coldstart.config._settings import Settings
from coldstart.errors import UserError

PROVIDER, DEADLINE, PRICE, NODES = "job.provider", "job.deadline", "job.price", "job.nodes"


def begin(
    client: MlflowClient,
    request: LaunchRequest,
    project: str,
    command: list[str],
    price: float | None,
) -> Job:
    """Create the run of a job, and return the job, whose id is that of the run.

    The price is in US dollars an hour of one machine, if it is known.
    """
    deadline = int(time.time() + request.hours * 3600)
    tags = {PROVIDER: request.on, DEADLINE: str(deadline), NODES: str(request.nodes)}
    if price is not None:
        tags[PRICE] = str(price)
    run = client.create_run(
        experiment_of(client, request.settings),
        tags=tags,
        run_name=f"{command[0]} on {request.on}",
    )
    return Job(run.info.run_id, project, command, deadline)


def experiment_of(client: MlflowClient, settings: Settings) -> str:
    """Return the id of the project's experiment, which `connect` has created."""
    experiment = client.get_experiment_by_name(settings.experiment)
    assert experiment is not None
    return str(experiment.experiment_id)


def unfinished(client: MlflowClient, settings: Settings) -> list[Run]:
    """Return runs of jobs whose results were not downloaded, the newest first."""
    found = client.search_runs(
        [experiment_of(client, settings)], "attributes.status = 'RUNNING'", max_results=1000
    )
    return [run for run in found if PROVIDER in run.data.tags]


def providers(client: MlflowClient, settings: Settings) -> set[str]:
    """Return all providers that jobs of the project have run on."""
    found = client.search_runs(
        [experiment_of(client, settings)], f"tags.`{PROVIDER}` LIKE '%'", max_results=1000
    )
    return {run.data.tags[PROVIDER] for run in found}


def find(client: MlflowClient, settings: Settings, prefix: str | None) -> Run:
    """Return the run of a job in progress: the newest, or the one whose id begins with the prefix.

    Raises
    ------
    UserError
        If no job matches, or more than one.
    """
    jobs = unfinished(client, settings)
    if prefix:
        jobs = [run for run in jobs if run.info.run_id.startswith(prefix)]
        if len(jobs) > 1:
            raise UserError(f"more than one job begins with {prefix!r}: see make cloud")
    if not jobs:
        which = f"job {prefix!r} is not" if prefix else "no job is"
        raise UserError(f"{which} in progress: see make cloud")
    return jobs[0]


def end(client: MlflowClient, job_id: str, code: int | None) -> None:
    """Record how a job ended: its exit code, or None if it was stopped."""
    status = RunStatus.KILLED if code is None else RunStatus.FAILED if code else RunStatus.FINISHED
    client.set_terminated(job_id, RunStatus.to_string(status))
