"""What goes wrong while machines are rented, as SkyPilot and the provider really do it.

Several trainings are started at once, each meets its faults, and in the end the computer that
watches over them is gone. Each test tells how one of them ends: at the provider, in MLflow, and in
what the person reads.
"""

from __future__ import annotations

import json
import random
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import TRAINING

from .project import TASK, Rented, Started
from .rented import Cloud

pytestmark = pytest.mark.slow

HOURS = 0.15  # of what hangs
PATIENCE = 600  # seconds
NEURAL = ("--neural", json.dumps({"epochs": 60, "patience": 60}))
WORKER = '--entrypoint python "$IMAGE" -m $WORKER'
FULL = "--mount type=tmpfs,destination={},tmpfs-size=65536 --entrypoint"


@dataclass
class Day:
    """What there was in the end."""

    said: dict[str, str]
    """What each command has said, with its exit code last."""
    ids: dict[str, str]
    """Beginnings of the jobs' ids."""
    jobs: dict[str, dict[str, Any]]
    """Their runs in MLflow."""
    models: dict[str, list[dict[str, Any]]]
    """Runs of what each has trained."""
    left: list[str]
    """Machines that were there when the last had ended itself that may do so."""
    stuck: str
    """The one of them that may not."""
    swept: str
    follow: dict[str, str]
    """What is said when they are picked up again or stopped, with the exit code last."""
    stranger: bool
    """Whether a machine that is none of ours was there after the sweep."""
    unbroken: dict[str, Any]
    """The run of the training that was lost thrice, made here and in one go."""


@contextmanager
def changed(rented: Rented, old: str, new: str) -> Iterator[None]:
    """Another task for what is started meanwhile."""
    path = rented.project.path / TASK
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    yield
    path.write_text(text)


def lose_while_it_trains(rented: Rented, cloud: Cloud, job: str) -> None:
    """Take a job's machine away at any moment after its first snapshot."""
    cloud.wait(lambda: rented.works(job), PATIENCE)
    cloud.wait(lambda: any(f"{job}" in key and "/snapshots/" in key for key in rented.kept()), 300)
    time.sleep(random.uniform(0, 10))
    cloud.preempt(rented.machine(job)["InstanceId"])


def lose_between_objects_and_list(rented: Rented, cloud: Cloud, job: str) -> None:
    """Take a job's machine away when a snapshot is there but for the list of what belongs to it."""
    cloud.wait(lambda: rented.works(job), PATIENCE)
    machine = rented.machine(job)
    asked = ("s3:PUT", "/snapshots/", machine["PrivateIpAddress"])
    cloud.fail(asked[0], "SlowDown", about=asked[1], callers=asked[2])
    cloud.wait(lambda: cloud.calls(*asked), 300, 0.1)
    cloud.preempt(machine["InstanceId"])


def lose_as_it_begins(rented: Rented, cloud: Cloud, job: str) -> None:
    """Take a job's machine away when its work has begun; the next one finds the store busy."""
    cloud.wait(lambda: rented.works(job), PATIENCE)
    gone = rented.machine(job)["InstanceId"]
    cloud.preempt(gone)
    cloud.wait(lambda: rented.machine(job).get("InstanceId", gone) != gone, PATIENCE)
    cloud.fail("s3:*", "SlowDown", seconds=15, callers=rented.machine(job)["PrivateIpAddress"])
    cloud.wait(lambda: rented.works(job), PATIENCE)


@pytest.fixture(scope="module")
def day(rented: Rented, session_cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Day:
    """All that happens; if it is cut short, the tests that follow find no machine of it."""
    try:
        return live_through(rented, session_cloud, tmp_path_factory.mktemp("unbroken"))
    except BaseException:
        session_cloud.kill()
        for machine in session_cloud.instances():
            session_cloud.preempt(machine["InstanceId"])
        raise


def live_through(rented: Rented, cloud: Cloud, folder: Path) -> Day:
    """All that happens, in its order."""
    start = time.monotonic()

    def tell(what: str) -> None:
        print(f"{time.monotonic() - start:5.0f} s  {what}", flush=True)

    cloud.heal()
    before = {run["id"] for run in rented.runs()}
    jobs: dict[str, Started] = {}
    ids: dict[str, str] = {}
    jobs["too dear"] = rented.train("tree", "--dollars", "0.01")
    jobs["no image"] = rented.train("tree")
    jobs["no image"].says("pushing ")
    jobs["no image"].signal(signal.SIGINT)

    # From here on there is no room in the zone that would come first.
    cloud.fail("ec2:RunInstances", "InsufficientInstanceCapacity", zone="us-east-1a")
    for name, model, old, new in (
        ("full at once", "tree", "--entrypoint", FULL.format("/work/data")),
        ("full later", "neural", "--entrypoint", FULL.format("/work/checkpoints")),
        ("no pull", "tree", '--quiet "$IMAGE"', '--quiet "$IMAGE"0'),
    ):
        with changed(rented, old, new):
            jobs[name] = rented.train(model)
            ids[name] = jobs[name].job
    # More machines at once are more than two cores can carry.
    for name in ("full at once", "full later", "no pull"):
        jobs[name].wait()
    tell("three jobs that cannot work have failed")
    jobs["starting"] = rented.train("tree")
    ids["starting"] = jobs["starting"].job
    jobs["starting"].signal(signal.SIGINT)
    jobs["lost"] = rented.train("neural", *NEURAL)
    ids["lost"] = jobs["lost"].job
    assert jobs["starting"].wait() == 130, jobs["starting"].said
    tell("the one interrupted at its launch has ended")
    jobs["left alone"] = rented.train("tree")
    ids["left alone"] = jobs["left alone"].job
    cloud.wait(lambda: rented.machine(ids["left alone"]), PATIENCE)
    jobs["left alone"].signal(signal.SIGINT)
    assert jobs["left alone"].wait() == 0, jobs["left alone"].said
    tell("one is left alone, and stopped")
    jobs["stopped"] = rented.start("cloud-stop", "--job", ids["left alone"])

    lose_while_it_trains(rented, cloud, ids["lost"])
    tell("a machine is lost while it trains")
    lose_between_objects_and_list(rented, cloud, ids["lost"])
    tell("another is lost between a snapshot's objects and its list")
    with changed(rented, WORKER, '--entrypoint sleep "$IMAGE" 3000'):
        for name in ("hung", "stuck"):
            jobs[name] = rented.train("tree", hours=HOURS)
        ids |= {name: jobs[name].job for name in ("hung", "stuck")}
    lose_as_it_begins(rented, cloud, ids["lost"])
    tell("a third is lost as it begins, and the store was busy for the fourth")
    for name in ("hung", "stuck"):
        cloud.wait(lambda job=ids[name]: rented.works(job), PATIENCE)  # type: ignore[misc]
    for name, started in jobs.items():
        if name not in ("hung", "stuck", "lost"):
            started.said += f"\nexit code {started.wait()}"
    tell("all but three have ended")
    stuck = rented.machine(ids["stuck"])
    cloud.fail("ec2:TerminateInstances", "UnauthorizedOperation", callers=stuck["PrivateIpAddress"])
    stranger = cloud.client("ec2").run_instances(
        ImageId=stuck["ImageId"], SubnetId=stuck["SubnetId"], MinCount=1, MaxCount=1
    )
    (other,) = [one["InstanceId"] for one in stranger["Instances"]]

    # Now nobody watches over the machines.
    assert [name for name in ("lost", "hung", "stuck") if not rented.works(ids[name])] == []
    cloud.kill()
    for name in ("hung", "stuck", "lost"):
        jobs[name].signal(signal.SIGKILL)
        jobs[name].process.wait()
    tell("SkyPilot is dead, and so are the terminals")
    unbroken = train_here(rented, folder)
    cloud.wait(lambda: len(cloud.instances()) == 2, 1200)
    tell("all machines have ended themselves but the one that may not")
    left = [one["InstanceId"] for one in cloud.instances()]
    look = ("cloud-sweep", "--dry-run")
    cloud.wait(lambda: "past its deadline" in rented.command(*look).stdout, 120)
    swept = rented.command("cloud-sweep", "--yes")
    there = [one["InstanceId"] for one in cloud.instances()]
    cloud.preempt(other)
    tell("it is swept up")

    follow = {}
    for name, command in {"stuck": "stop", "lost": "follow", "hung": "follow"}.items():
        done = rented.command(f"cloud-{command}", "--job", ids[name])
        follow[name] = f"{done.stdout}{done.stderr}\nexit code {done.returncode}"
    tell("the results are home")
    print(json.dumps({name: one.said for name, one in jobs.items()} | follow, indent=1))
    runs = [run for run in rented.runs() if run["id"] not in before]
    of_jobs = [run for run in runs if "job.place" in run["tags"]]
    return Day(
        said={name: started.said for name, started in jobs.items()},
        ids=ids,
        jobs={
            name: run for name, job in ids.items() for run in of_jobs if run["id"].startswith(job)
        },
        models={
            name: [run for run in runs if run["tags"].get("mlflow.parentRunId", "").startswith(job)]
            for name, job in ids.items()
        },
        left=left,
        stuck=stuck["InstanceId"],
        swept=swept.stdout + f"\nexit code {swept.returncode}",
        follow=follow,
        stranger=there == [other],
        unbroken=unbroken,
    )


def train_here(rented: Rented, folder: Path) -> dict[str, Any]:
    """The run of the same training, made by this computer without a break."""
    path = folder / rented.project.path.name
    here = Rented(rented.project.copy(path, *TRAINING, ".sky"), rented.cloud)
    done = here.command("train", "--models", '["neural"]', *NEURAL)
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = here.runs()
    return run


def test_over_the_budget_nothing_is_started(day: Day) -> None:
    assert "nothing on AWS has such resources for 0.02 USD an hour" in day.said["too dear"]
    assert day.said["too dear"].endswith("exit code 2")
    assert "\njob " not in day.said["too dear"]


def test_ctrl_c_while_the_image_is_made_leaves_nothing(day: Day) -> None:
    assert day.said["no image"].endswith("exit code 130")
    assert "\njob " not in day.said["no image"]
    assert "Traceback" not in day.said["no image"]


def test_ctrl_c_at_the_launch_takes_everything_away_again(day: Day) -> None:
    said, status = day.said["starting"], day.jobs["starting"]["status"]
    assert "it does not start, and is taken away again: interrupted" in said
    assert "Traceback" not in said
    assert (said[-13:], status) == ("exit code 130", "KILLED")


def test_ctrl_c_while_a_machine_is_made_ready_detaches_and_it_can_be_stopped(day: Day) -> None:
    said, status = day.said["left alone"], day.jobs["left alone"]["status"]
    assert "the job goes on without this terminal: make cloud-follow" in said
    assert "is stopped, and nothing of it is left" in day.said["stopped"]
    assert (said[-11:], status) == ("exit code 0", "KILLED")


def test_an_image_that_cannot_be_pulled_fails_the_job(day: Day) -> None:
    said, status = day.said["no pull"], day.jobs["no pull"]["status"]
    assert "error: the job has failed: the machine could not be made ready: " in said
    assert (said[-11:], status) == ("exit code 1", "FAILED")


@pytest.mark.parametrize("name", ["full at once", "full later"])
def test_a_full_disk_fails_the_job_in_one_line(day: Day, name: str) -> None:
    said, status = day.said[name], day.jobs[name]["status"]
    assert "error: the disk is full" in said
    assert "Traceback" not in said
    assert "error: the job has failed: the command ended with an error: " in said
    assert status == "FAILED"


def test_a_training_that_lost_its_machines_ends_as_if_it_had_not(day: Day) -> None:
    assert day.follow["lost"].endswith("exit code 0")
    job, (model,) = day.jobs["lost"], day.models["lost"]
    assert (job["status"], model["status"]) == ("FINISHED", "FINISHED")
    assert job["metrics"]["machines"] >= 2  # some were lost before they could say that they were
    assert model["metrics"]["cost_usd"] > 0
    own = {"cost_usd", "fit_seconds", "cpu_seconds"}
    measured = {k: v for k, v in day.unbroken["metrics"].items() if k not in own}
    assert measured
    assert {name: model["metrics"][name] for name in measured} == measured


def test_machines_end_themselves_when_nobody_is_there_to_end_them(day: Day) -> None:
    assert len(day.left) == 2  # the one that may not, and one that is not ours
    # SkyPilot took it for lost and rented another, which was told that it comes too late.
    assert "error: out of time: HOURS=... allows more" in day.follow["hung"]
    assert day.follow["hung"].endswith("exit code 1")
    assert day.jobs["hung"]["status"] == "FAILED"


def test_the_sweep_ends_what_may_not_end_itself_and_nothing_else(day: Day) -> None:
    assert re.findall(r"instance (\S+): ended", day.swept) == [day.stuck]
    assert day.stranger
    assert day.swept.endswith("exit code 0")
    assert "is stopped, and nothing of it is left" in day.follow["stuck"]
    assert day.jobs["stuck"]["status"] == "KILLED"


def test_of_all_this_nothing_is_left(day: Day, rented: Rented, cloud: Cloud) -> None:
    cloud.wait(lambda: not cloud.live(), 120)
    assert rented.kept() == []
    assert len(day.jobs) == len(day.ids)
    assert {run["status"] for run in day.jobs.values()} <= {"FINISHED", "FAILED", "KILLED"}
