"""The life of a job: plan, start, follow, results."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from coldstart._locking import lock
from coldstart._provenance import project_name
from coldstart.cloud._launchers import Launcher
from coldstart.cloud._packing import input_files
from coldstart.cloud._plan import check_budget, check_price, confirm_plan, format_plan
from coldstart.cloud._providers import find_launcher
from coldstart.cloud._request import LaunchRequest
from coldstart.config._settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

DETACHED = "the job continues without this terminal; make cloud-follow downloads its results"
STOPPED = 130  # exit code, as after Ctrl-C


def launch(request: LaunchRequest, command: list[str]) -> int:
    """Run a command of the project on another machine, and download what it makes.

    Parameters
    ----------
    request : LaunchRequest
        What to train, where, and what it may cost.
    command : list of str
        Command of the project, with its options.

    Returns
    -------
    int
        Exit code of the command.

    Raises
    ------
    UserError
        If it would cost too much, or something is missing. Nothing costs money then.
    """
    check_models(request.settings)
    launcher = find_launcher(request.on)
    plan = launcher.plan(request)
    check_price(plan)
    files = input_files(request.settings)
    print(f"{command[0]} on {request.on}:")
    print(format_plan(plan))
    size = sum(path.stat().st_size for path in files) / 1e6
    print(f"  upload      {len(files)} files, {size:.1f} MB, and the settings")
    check_budget(plan, request.dollars)
    if request.dry_run:
        return 0
    confirm_plan(plan, request.yes)
    from coldstart.cloud import _job_runs as job_runs
    from coldstart.tracking import _mlflow as tracking  # MLflow takes seconds to import

    client = tracking.connect(request.settings)
    launcher.prepare(request)
    job = job_runs.begin(client, request, project_name(), command, plan.offer.price)
    print(f"job {job.id[:8]}: stops at {time.ctime(job.deadline)} at the latest", flush=True)
    try:
        launcher.start(request, job)
    except BaseException as error:
        reason = "interrupted" if isinstance(error, KeyboardInterrupt) else error
        print(f"not started; removing what was made: {reason}", file=sys.stderr, flush=True)
        launcher.stop(job.id)
        job_runs.end(client, job.id, None)
        raise
    if request.detach:
        print(DETACHED)
        return 0
    return follow(client, request.settings, launcher, job.id)


def check_models(settings: Settings) -> None:
    """Refuse a name of a model type that a training would refuse on the machine.

    Raises
    ------
    UserError
        If there is no model type of that name.
    """
    from coldstart.train._context import validate_families  # scikit-learn takes a second to import

    project = settings.project
    if project.families:
        families, spaces = project.load("families"), project.load("search_spaces")
        validate_families(settings.models or [], settings.tuned, families, spaces)


def pick_up(settings: Settings, prefix: str | None) -> int:
    """Follow a job that was detached, or whose terminal was closed, and return its exit code.

    It is the newest one, or the one whose id begins with the prefix.

    Raises
    ------
    UserError
        If there is no such job.
    """
    from coldstart.cloud import _job_runs as job_runs
    from coldstart.tracking import _mlflow as tracking

    client = tracking.connect(settings)
    run = job_runs.find(client, settings, prefix)
    print(f"job {run.info.run_id[:8]}, {run.info.run_name}")
    launcher = find_launcher(run.data.tags[job_runs.PROVIDER])
    return follow(client, settings, launcher, run.info.run_id)


def follow(client: MlflowClient, settings: Settings, launcher: Launcher, job: str) -> int:
    """Print the log of a job until it ends, is detached or is canceled."""
    from coldstart.cloud import _job_runs as job_runs

    while True:
        try:
            launcher.follow(job)
            break
        except KeyboardInterrupt:
            choice = ask_what_next()
        if choice == "d":
            print(DETACHED)
            return 0
        if choice == "c":
            launcher.stop(job)
            job_runs.end(client, job, None)
            print("stopped; nothing of the job is left")
            return STOPPED
    return finish(client, settings, launcher, job)


def ask_what_next() -> str:
    """Ask whether to continue (g), detach (d) or cancel (c) a job."""
    if not sys.stdin.isatty():
        return "d"
    try:
        choice = input("\n[g]o on, [d]etach (the job continues), or [c]ancel it? ").strip().lower()
    except (KeyboardInterrupt, EOFError):
        print()
        return "d"
    return choice[:1]


def finish(client: MlflowClient, settings: Settings, launcher: Launcher, job: str) -> int:
    """Download the results, and then remove what is left of the job.

    Nothing is removed before the results are here, so this may be interrupted and repeated. If the
    last snapshot is missing, what the job has kept stays, and the job may be followed again.
    """
    from coldstart.cloud import _job_runs as job_runs
    from coldstart.cloud import _results as results

    with lock(wait=True), tempfile.TemporaryDirectory() as folder:
        status = launcher.download(job, Path(folder))
        code = int(status.get("code", 1))
        results.sync(client, settings, Path(folder), status, job, launcher.cost(job))
    if status.get("machines") and "code" not in status:
        launcher.stop(job, keep=True)
        reason = status.get("reason", "its last snapshot is missing")
        print(
            f"error: job {job[:8]} did not report its end: {reason}. What it had kept is here, and "
            f"stays there: make cloud-follow JOB={job[:8]} looks again, make cloud-stop removes it",
            file=sys.stderr,
        )
        return 1
    launcher.stop(job)
    job_runs.end(client, job, code)
    if code:
        reason = status.get("reason", f"exit code {code}")
        print(f"error: the job failed: {reason}", file=sys.stderr)
    return code
