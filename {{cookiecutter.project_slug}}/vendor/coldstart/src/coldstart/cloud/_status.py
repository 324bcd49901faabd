"""What runs, as the providers know it; and ending it."""

from __future__ import annotations

import sys
import time

from mlflow import MlflowClient

from coldstart.cloud import _jobs as jobs
from coldstart.cloud import _labels as labels
from coldstart.cloud._launchers import Machine, find_launcher
from coldstart.config._settings import Settings
from coldstart.errors import UserError
from coldstart.tracking import _mlflow as tracking


def overview(settings: Settings) -> None:
    """Print a line for each machine that there is, and for each job that has none."""
    client = tracking.connect(settings)
    machines, asked = ask(client, settings)
    for machine in sorted(machines, key=lambda one: one.since):
        hours = (time.time() - machine.since) / 3600
        cost = "" if machine.price is None else f", {hours * machine.price:.2f} USD so far"
        told = f"{machine.where}: {machine.state}, for {hours:.1f} h{cost}"
        print(f"job {machine.job[:8]}  {told}")
    for run in jobs.unfinished(client, settings):
        if not any(machine.of(run.info.run_id) for machine in machines):
            place = run.data.tags[jobs.PLACE]
            print(f"job {run.info.run_id[:8]}  {place}: no machine; its results are not home yet")
    if not machines:
        print(f"nothing runs: asked {', '.join(asked)}")


def ask(client: MlflowClient, settings: Settings) -> tuple[list[Machine], list[str]]:
    """Ask all places that the project's jobs have ever been at, and this machine's engine."""
    places = sorted({"docker", *jobs.places(client, settings)})
    machines, asked = [], []
    for on in places:
        try:
            machines += find_launcher(on).machines(labels.project())
            asked.append(on)
        except UserError as error:
            print(f"{on} is not asked: {error}", file=sys.stderr)
    return machines, asked


def stop(settings: Settings, wanted: str | None, everything: bool) -> None:
    """End one job or all, and say in MLflow that they were stopped.

    Raises
    ------
    UserError
        If there is no such job.
    """
    client = tracking.connect(settings)
    if everything:
        found = jobs.unfinished(client, settings)
    else:
        run = jobs.find(client, settings, wanted)
        found = [run] if wanted else jobs.with_others(client, settings, run)
    for run in found:
        find_launcher(run.data.tags[jobs.PLACE]).stop(run.info.run_id)
        jobs.end(client, run.info.run_id, None)
        print(f"job {run.info.run_id[:8]} is stopped, and nothing of it is left")
    for then in {run.data.tags[jobs.THEN] for run in found if jobs.THEN in run.data.tags}:
        jobs.afterwards(then)
