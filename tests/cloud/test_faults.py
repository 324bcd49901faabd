"""What only SkyPilot itself can show: a machine is replaced, and one that is abandoned ends itself.

Three trainings are started together, and then this computer stops watching over them. Each has a
machine of its own, with SkyPilot's runtime on it, so this runs weekly, as `test_rare_faults.py`
does. What the worker does by itself is in tests/engine/cloud.
"""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from typing import Any

import pytest
from test_images import docker

from .faults import (
    NEURAL,
    TIMEOUT,
    Scenario,
    assert_same,
    cleaned_up,
    hanging,
    lose_while_it_trains,
    train_here,
)
from .project import Rented
from .rented import Cloud

pytestmark = [pytest.mark.slow, pytest.mark.weekly]

HOURS = 0.12  # deadline of the jobs that hang


@dataclass
class End:
    """What there was in the end."""

    scenario: Scenario
    left: list[str]
    """Machines that were left when the last had ended itself that may do so."""
    stuck: str
    """The one of them that may not."""
    swept: str
    """Output of the sweep, with its exit code last."""
    stranger_left: bool
    """Whether another user's machine was there after the sweep."""
    uninterrupted: dict[str, Any]
    """The run of the training that lost its machine, made here without interruption."""


@pytest.fixture(scope="module")
def end(rented: Rented, session_cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> End:
    """Start the trainings, and abandon them."""
    cloud, scenario = session_cloud, Scenario(rented)
    with cleaned_up(cloud):
        scenario.train("lost", "neural", *NEURAL)
        with hanging(rented):
            for name in ("hung", "stuck"):
                scenario.train(name, "tree", hours=HOURS)
        lose_while_it_trains(rented, cloud, scenario.ids["lost"])
        scenario.log("a machine was lost while it trained")
        for name in ("hung", "stuck", "lost"):
            cloud.wait(lambda job=scenario.ids[name]: rented.works(job), TIMEOUT)  # type: ignore[misc]
        scenario.log("another trains, and two hang")
        stuck = rented.machine(scenario.ids["stuck"])
        address = stuck["PrivateIpAddress"]
        cloud.fail("ec2:TerminateInstances", "UnauthorizedOperation", callers=address)
        docker("exec", stuck["InstanceId"], "pkill", "--full", "bin/shutdown")  # nor shut down
        stranger = cloud.client("ec2").run_instances(
            ImageId=stuck["ImageId"], SubnetId=stuck["SubnetId"], MinCount=1, MaxCount=1
        )
        (other,) = [one["InstanceId"] for one in stranger["Instances"]]

        cloud.kill()  # SkyPilot and, below, the terminals
        for name in ("hung", "stuck", "lost"):
            scenario.started[name].signal(signal.SIGKILL)
            scenario.started[name].process.wait()
        scenario.log("this computer watches no more")
        here = train_here(rented, tmp_path_factory.mktemp("uninterrupted"))
        cloud.wait(lambda: len(cloud.instances()) == 2, 1200)
        scenario.log("all machines have ended themselves, except one that may not")
        left = [one["InstanceId"] for one in cloud.instances()]
        look = ("cloud-sweep", "--dry-run")
        cloud.wait(lambda: "past its deadline" in rented.command(*look).stdout, 120)
        swept = rented.command("cloud-sweep", "--yes")
        there = [one["InstanceId"] for one in cloud.instances()]
        cloud.preempt(other)
        scenario.log("it was swept")
        for name, command in {"stuck": "stop", "lost": "follow", "hung": "follow"}.items():
            scenario.follow(name, command)
        scenario.log("the results are here")
        scenario.read_runs()
    sweep = f"{swept.stdout}\nexit code {swept.returncode}"
    return End(scenario, left, stuck["InstanceId"], sweep, there == [other], here)


def test_a_training_that_lost_its_machine_ends_as_if_it_had_not(end: End) -> None:
    assert end.scenario.followed["lost"].endswith("exit code 0")
    assert_same(end.scenario.jobs["lost"], end.scenario.models["lost"], end.uninterrupted)


def test_machines_end_themselves_when_no_computer_ends_them(end: End) -> None:
    assert len(end.left) == 2  # the one that may not, and another user's
    # SkyPilot considers it lost, and rents another one, which is past the deadline.
    assert "error: out of time; HOURS=... allows more" in end.scenario.followed["hung"]
    assert end.scenario.followed["hung"].endswith("exit code 1")
    assert end.scenario.jobs["hung"]["status"] == "FAILED"


def test_the_sweep_ends_what_may_not_end_itself_and_nothing_else(end: End) -> None:
    assert re.findall(r"instance (\S+): ended", end.swept) == [end.stuck]
    assert end.stranger_left
    assert end.swept.endswith("exit code 0")
    assert "stopped; nothing of it is left" in end.scenario.followed["stuck"]
    assert end.scenario.jobs["stuck"]["status"] == "KILLED"


def test_in_the_end_nothing_is_left(end: End, rented: Rented, cloud: Cloud) -> None:
    cloud.wait(lambda: not cloud.live(), 120)
    assert rented.kept() == []
    assert {run["status"] for run in end.scenario.jobs.values()} == {"FINISHED", "FAILED", "KILLED"}
