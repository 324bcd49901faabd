"""Jobs in progress, as the providers know them, and how they are stopped."""

from __future__ import annotations

import sys
import time

from mlflow import MlflowClient

from coldstart._provenance import project_name
from coldstart.cloud import _job_runs as job_runs
from coldstart.cloud._launchers import Machine
from coldstart.cloud._providers import find_launcher
from coldstart.config._settings import Settings
from coldstart.errors import UserError
from coldstart.tracking import _mlflow as tracking


def print_status(settings: Settings) -> None:
    """Print a line for each machine, and for each job without one."""
    client = tracking.connect(settings)
    machines, asked = find_machines(client, settings)
    runs = job_runs.unfinished(client, settings)
    for machine in sorted(machines, key=lambda one: one.since):
        hours, price = (time.time() - machine.since) / 3600, machine.price
        for run in runs:
            if price is None and machine.belongs_to(run.info.run_id):
                price = float(run.data.tags.get(job_runs.PRICE, 0))  # by the plan
        cost = f", {hours * price:.2f} USD so far" if price else ""
        print(
            f"job {machine.job[:8]}  {machine.description}: {machine.state}, "
            f"for {hours:.1f} h{cost}"
        )
    for run in runs:
        if not any(machine.belongs_to(run.info.run_id) for machine in machines):
            provider = run.data.tags[job_runs.PROVIDER]
            print(
                f"job {run.info.run_id[:8]}  {provider}: no machine; "
                "make cloud-follow downloads its results"
            )
    if not machines:
        print(f"no machine is running: looked at {', '.join(asked)}")


def find_machines(client: MlflowClient, settings: Settings) -> tuple[list[Machine], list[str]]:
    """Return machines, and the providers that were asked for them.

    These are all that jobs of the project have run on, and the Docker engine of this computer.
    """
    machines, asked = [], []
    for on in sorted({"docker", *job_runs.providers(client, settings)}):
        try:
            machines += find_launcher(on).machines(project_name())
            asked.append(on)
        except UserError as error:
            print(f"{on} could not be asked: {error}", file=sys.stderr)
    return machines, asked


def stop(settings: Settings, prefix: str | None, everything: bool) -> None:
    """Stop all jobs, the newest, or the one whose id begins with the prefix; record it in MLflow.

    Raises
    ------
    UserError
        If there is no such job.
    """
    client = tracking.connect(settings)
    if everything:
        found = job_runs.unfinished(client, settings)
    else:
        found = [job_runs.find(client, settings, prefix)]
    for run in found:
        find_launcher(run.data.tags[job_runs.PROVIDER]).stop(run.info.run_id)
        job_runs.end(client, run.info.run_id, None)
        print(f"job {run.info.run_id[:8]}: stopped; nothing of it is left")
