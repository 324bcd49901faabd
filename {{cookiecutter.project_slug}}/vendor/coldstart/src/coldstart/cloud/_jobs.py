"""The runs of jobs in MLflow.

A job's run is made first and its id is the job's, so that it is one job, however many machines it
takes; the models that it trains are runs below it. Jobs that belong together are below one run.
"""

from __future__ import annotations

import json
import time

from mlflow import MlflowClient
from mlflow.entities import Run, RunStatus
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from coldstart.cloud._job import Group, Job
from coldstart.config._settings import Settings
from coldstart.errors import UserError

PLACE, DEADLINE, PRICE, NODES = "job.place", "job.deadline", "job.price", "job.nodes"
GROUP, THEN = "job.group", "job.then"


def begin(
    client: MlflowClient,
    settings: Settings,
    project: str,
    place: str,
    command: list[str],
    hours: float,
    price: float | None,
    nodes: int,
    group: Run | None = None,
) -> Job:
    """Make the job's run.

    Parameters
    ----------
    price
        Dollars an hour of one machine, if it is known.
    group
        The run of the jobs that it belongs to.
    """
    deadline = int(time.time() + hours * 3600)
    tags = {PLACE: place, DEADLINE: str(deadline), NODES: str(nodes)}
    if price is not None:
        tags[PRICE] = str(price)
    if group:
        tags |= {name: group.data.tags[name] for name in (GROUP, THEN)}
        tags[MLFLOW_PARENT_RUN_ID] = group.info.run_id
    run = client.create_run(
        experiment_of(client, settings), tags=tags, run_name=f"{command[0]} on {place}"
    )
    return Job(run.info.run_id, project, command, deadline, tags.get(GROUP, ""))


def begin_group(client: MlflowClient, settings: Settings, group: Group, name: str) -> Run:
    """Make the run of jobs that belong together."""
    tags = {GROUP: group.id, THEN: json.dumps(group.then)}
    return client.create_run(experiment_of(client, settings), tags=tags, run_name=name)


def members(client: MlflowClient, settings: Settings, group: str) -> tuple[Run, list[Run]]:
    """The run of jobs that belong together, and their own, the first one first.

    Raises
    ------
    UserError
        If nobody here knows them.
    """
    found = client.search_runs(
        [experiment_of(client, settings)],
        f"tags.`{GROUP}` = '{group}'",
        max_results=1000,
        order_by=["attributes.start_time ASC"],
    )
    own = [run for run in found if PLACE not in run.data.tags]
    if not own:
        raise UserError(f"MLflow here knows nothing of {group!r}: see make cloud")
    return own[0], [run for run in found if PLACE in run.data.tags]


def with_others(client: MlflowClient, settings: Settings, run: Run) -> list[Run]:
    """A job and the unfinished ones that it belongs to, the first one first."""
    group = run.data.tags.get(GROUP)
    if not group:
        return [run]
    ours = members(client, settings, group)[1]
    return [one for one in ours if one.info.status == "RUNNING"]


def experiment_of(client: MlflowClient, settings: Settings) -> str:
    """Number of the project's experiment, which `connect` has made."""
    experiment = client.get_experiment_by_name(settings.experiment)
    assert experiment is not None
    return str(experiment.experiment_id)


def unfinished(client: MlflowClient, settings: Settings) -> list[Run]:
    """Runs of jobs whose results are not home, the newest first."""
    found = client.search_runs(
        [experiment_of(client, settings)], "attributes.status = 'RUNNING'", max_results=1000
    )
    return [run for run in found if PLACE in run.data.tags]


def places(client: MlflowClient, settings: Settings) -> set[str]:
    """Places that jobs of the project have been at."""
    found = client.search_runs(
        [experiment_of(client, settings)], f"tags.`{PLACE}` LIKE '%'", max_results=1000
    )
    return {run.data.tags[PLACE] for run in found}


def find(client: MlflowClient, settings: Settings, wanted: str | None) -> Run:
    """The run of a job, by the beginning of its id; by default of the newest unfinished one.

    Raises
    ------
    UserError
        If there is none, or more than one.
    """
    jobs = unfinished(client, settings)
    if wanted:
        jobs = [run for run in jobs if run.info.run_id.startswith(wanted)]
        if len(jobs) > 1:
            raise UserError(f"more than one job begins with {wanted!r}: see make cloud")
    if not jobs:
        raise UserError(f"no job {wanted or ''} is under way: see make cloud".replace("  ", " "))
    return jobs[0]


def afterwards(then: str) -> int:
    """Run the command that follows on jobs that belong together, and return its exit code."""
    from coldstart.cli._main import main

    return main(json.loads(then))


def end(client: MlflowClient, job_id: str, code: int | None) -> None:
    """Say in MLflow how a job ended; None if it was stopped."""
    status = RunStatus.KILLED if code is None else RunStatus.FAILED if code else RunStatus.FINISHED
    client.set_terminated(job_id, RunStatus.to_string(status))
