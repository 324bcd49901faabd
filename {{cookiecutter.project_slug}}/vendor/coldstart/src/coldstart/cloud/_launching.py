"""From the plan to the results: what happens to a job, top to bottom."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from coldstart._locking import BUSY, lock
from coldstart.cloud import _labels as labels
from coldstart.cloud import _plan as plan
from coldstart.cloud._job import Group
from coldstart.cloud._launchers import Launcher, find_launcher
from coldstart.cloud._packing import paths_of
from coldstart.cloud._request import LaunchRequest
from coldstart.config._settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

DETACHED = "the job goes on without this terminal: make cloud-follow brings its results home"
STOPPED = 130  # exit code, as after Ctrl-C


def launch(asked: LaunchRequest, command: list[str], group: Group | None = None) -> int:
    """Rent a machine for a command, or one for each of a group, and bring home what they made.

    Returns
    -------
    int
        The command's exit code.

    Raises
    ------
    UserError
        If it would cost too much, or something is missing; nothing costs anything then.
    """
    place = find_launcher(asked.on)
    planned = place.plan(asked)
    sent = paths_of(asked)
    print(f"{command[0]} on {asked.on}:")
    print(plan.tell(planned))
    size = sum(path.stat().st_size for path in sent) / 1e6
    print(f"  goes there  {len(sent)} files, {size:.1f} MB, and the settings")
    if asked.dry_run:
        return 0
    plan.agree(planned, asked.dollars, asked.yes)
    from coldstart.cloud import _jobs as jobs
    from coldstart.tracking import _mlflow as tracking  # MLflow takes seconds to import

    client = tracking.connect(asked)
    place.prepare(asked)
    price = planned.machine.price
    about = (labels.project(), asked.on, command, asked.hours, price, asked.nodes)
    name = f"{command[0]} on {asked.on}"
    together = jobs.begin_group(client, asked, group, name) if group else None
    started: list[str] = []
    try:
        for _ in range(group.machines if group else 1):
            job = jobs.begin(client, asked, *about, together)
            started.append(job.id)
            ends = f"stopped at {time.ctime(job.deadline)} at the latest"
            print(f"job {job.id[:8]}: {ends}", flush=True)
            place.start(asked, job)
    except BaseException as error:
        why = "interrupted" if isinstance(error, KeyboardInterrupt) else error
        print(f"it does not start, and is taken away again: {why}", file=sys.stderr, flush=True)
        for one in started:
            place.stop(one)
            jobs.end(client, one, None)
        if together:
            jobs.end(client, together.info.run_id, None)
        raise
    if asked.detach:
        print(DETACHED)
        return 0
    return follow(client, asked, place, started)


def pick_up(settings: Settings, wanted: str | None) -> int:
    """Go on with a job that was detached, or whose terminal is gone.

    Raises
    ------
    UserError
        If there is none.
    """
    from coldstart.cloud import _jobs as jobs
    from coldstart.tracking import _mlflow as tracking

    client = tracking.connect(settings)
    run = jobs.find(client, settings, wanted)
    found = [run] if wanted else jobs.with_others(client, settings, run)
    for one in found:
        print(f"job {one.info.run_id[:8]}, {one.info.run_name}")
    place = find_launcher(run.data.tags[jobs.PLACE])
    return follow(client, settings, place, [one.info.run_id for one in found])


def follow(client: MlflowClient, settings: Settings, place: Launcher, started: list[str]) -> int:
    """Show the logs of jobs to their ends, one after another, or until the person has enough."""
    from coldstart.cloud import _jobs as jobs

    then = client.get_run(started[0]).data.tags.get(jobs.THEN)
    codes = []
    for number, job in enumerate(started):
        answer = watch(place, job)
        if answer == "d":
            print(DETACHED)
            return 0
        if answer == "c":
            for one in started[number:]:
                place.stop(one)
                jobs.end(client, one, None)
            print("stopped, and nothing of it is left")
            codes = [STOPPED]
            break
        codes.append(finish(client, settings, place, job))
    if then:
        codes.append(jobs.afterwards(then))
    return max(codes)


def watch(place: Launcher, job: str) -> str:
    """Show the log of a job until its end, or tell what else is to become of it."""
    while True:
        try:
            place.follow(job)
            return ""
        except KeyboardInterrupt:
            answer = choose()
        if answer in ("c", "d"):
            return answer


def choose() -> str:
    """Ask what is to become of a job: go on, detach or cancel."""
    if not sys.stdin.isatty():
        return "d"
    try:
        answer = input("\n[g]o on, [d]etach (it runs on), or [c]ancel it? ").strip().lower()
    except (KeyboardInterrupt, EOFError):
        print()
        return "d"
    return answer[:1]


def finish(client: MlflowClient, settings: Settings, place: Launcher, job: str) -> int:
    """Bring the results home, and then take away what is left of the job.

    Nothing is taken away before the results are home, so it can be done again.
    """
    from coldstart.cloud import _jobs as jobs
    from coldstart.cloud import _results as home

    with lock(wait=BUSY), tempfile.TemporaryDirectory() as folder:
        about = place.results(job, Path(folder))
        code = int(about.get("code", 1))
        home.bring(client, settings, Path(folder), about, job, place.cost(job))
    place.stop(job)
    jobs.end(client, job, code)
    if code:
        print(
            f"error: the job has failed: {about.get('why', f'exit code {code}')}", file=sys.stderr
        )
    return code
