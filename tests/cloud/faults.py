"""Faults of rented machines, and what was there in the end."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conftest import TRAINING

from .project import TASK, Rented, Started
from .rented import Cloud

TIMEOUT = 600  # seconds
NEURAL = ("--neural", json.dumps({"epochs": 60, "patience": 60}))


@dataclass
class Scenario:
    """Several trainings that were started, and how they ended."""

    rented: Rented
    started: dict[str, Started] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    """Beginnings of the jobs' ids."""
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Their runs in MLflow."""
    models: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Runs of the models that each has trained."""
    followed: dict[str, str] = field(default_factory=dict)
    """Output of the commands that followed or stopped a job, with the exit code last."""

    def __post_init__(self) -> None:
        self.start = time.monotonic()
        self.before = {run["id"] for run in self.rented.runs()}

    def log(self, what: str) -> None:
        """Print what happened, and when."""
        print(f"{time.monotonic() - self.start:5.0f} s  {what}", flush=True)

    def train(self, name: str, model: str, *arguments: str, hours: float = 0.5) -> None:
        """Start a training, and wait until it has a job."""
        self.started[name] = self.rented.train(model, *arguments, hours=hours)
        self.ids[name] = self.started[name].job

    def output(self, name: str) -> str:
        """Return the output of a command that has ended, with its exit code last."""
        started = self.started[name]
        return f"{started.said}\nexit code {started.wait()}"

    def follow(self, name: str, command: str) -> None:
        """Follow or stop a job, from another terminal."""
        done = self.rented.command(f"cloud-{command}", "--job", self.ids[name])
        self.followed[name] = f"{done.stdout}{done.stderr}\nexit code {done.returncode}"

    def read_runs(self) -> None:
        """Read the runs of the jobs and their models."""
        runs = [run for run in self.rented.runs() if run["id"] not in self.before]
        for name, job in self.ids.items():
            self.jobs[name] = next(run for run in runs if run["id"].startswith(job))
            parent = "mlflow.parentRunId"
            self.models[name] = [run for run in runs if run["tags"].get(parent, "").startswith(job)]
        output = {name: one.said for name, one in self.started.items()} | self.followed
        print(json.dumps(output, indent=1))


@contextmanager
def changed(rented: Rented, old: str, new: str) -> Iterator[None]:
    """Change infra/train.sky.yaml for what is started meanwhile."""
    path = rented.project.path / TASK
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    yield
    path.write_text(text)


@contextmanager
def hanging(rented: Rented) -> Iterator[None]:
    """Let jobs that are started meanwhile hang."""
    with changed(rented, "-m $WORKER", "-c 'import time; time.sleep(3000)'"):
        yield


@contextmanager
def cleaned_up(cloud: Cloud) -> Iterator[None]:
    """Leave no machine to the tests that follow, if a scenario fails."""
    cloud.heal()
    try:
        yield
    except BaseException:
        cloud.kill()
        for machine in cloud.instances():
            cloud.preempt(machine["InstanceId"])
        raise


def lose_while_it_trains(rented: Rented, cloud: Cloud, job: str) -> None:
    """Take a job's machine away at any moment after its first snapshot."""
    cloud.wait(lambda: rented.works(job), TIMEOUT)
    cloud.wait(lambda: any(job in key and "/snapshots/" in key for key in rented.kept()), 300)
    time.sleep(random.uniform(0, 10))
    cloud.preempt(rented.machine(job)["InstanceId"])


def lose_between_objects_and_list(rented: Rented, cloud: Cloud, job: str) -> None:
    """Take a job's machine away when a snapshot is complete except for its list."""
    cloud.wait(lambda: rented.works(job), TIMEOUT)
    machine = rented.machine(job)
    calls = ("s3:PUT", "/snapshots/", machine["PrivateIpAddress"])
    cloud.fail(calls[0], "SlowDown", about=calls[1], callers=calls[2])
    cloud.wait(lambda: cloud.calls(*calls), 300, 0.1)
    cloud.preempt(machine["InstanceId"])


def lose_as_it_begins(rented: Rented, cloud: Cloud, job: str) -> None:
    """Take a job's machine away when its work has begun; the store is busy for the next one."""
    cloud.wait(lambda: rented.works(job), TIMEOUT)
    gone = rented.machine(job)["InstanceId"]
    cloud.preempt(gone)
    cloud.wait(lambda: rented.machine(job).get("InstanceId", gone) != gone, TIMEOUT)
    # Until it works, and for some seconds more.
    cloud.fail(
        "s3:*", "SlowDown", callers=rented.machine(job)["PrivateIpAddress"], about="/jobs/jobs/"
    )
    cloud.wait(lambda: rented.works(job), TIMEOUT)
    time.sleep(10)
    cloud.heal()


def train_here(rented: Rented, folder: Path) -> dict[str, Any]:
    """Return the run of the same training, made by this computer without interruption."""
    path = folder / rented.project.path.name
    here = Rented(rented.project.copy(path, ".sky", *TRAINING), rented.cloud)
    done = here.command("train", "--models", '["neural"]', *NEURAL)
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = here.runs()
    return run


def assert_same(job: dict[str, Any], models: list[dict[str, Any]], here: dict[str, Any]) -> None:
    """Assert that a job whose machines were lost has the metrics of an uninterrupted training."""
    (model,) = models
    assert (job["status"], model["status"]) == ("FINISHED", "FINISHED")
    assert job["metrics"]["machines"] >= 2  # some were lost before they could record it
    assert model["metrics"]["cost_usd"] > 0
    own = {"cost_usd", "fit_seconds", "cpu_seconds"}
    measured = {key: value for key, value in here["metrics"].items() if key not in own}
    assert measured
    assert {name: model["metrics"][name] for name in measured} == measured
