"""More of what goes wrong while machines are rented, as SkyPilot and the provider really do it.

Several trainings are started, and each meets its faults. The tests take a quarter of an hour, so
they run weekly.
"""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from typing import Any

import pytest

from .faults import (
    NEURAL,
    TIMEOUT,
    Scenario,
    assert_same,
    changed,
    cleaned_up,
    lose_as_it_begins,
    lose_between_objects_and_list,
    lose_while_it_trains,
    train_here,
)
from .project import Rented
from .rented import Cloud

pytestmark = [pytest.mark.slow, pytest.mark.weekly]


@dataclass
class End:
    """What there was in the end."""

    scenario: Scenario
    output: dict[str, str]
    """What each command has printed, with its exit code last."""
    uninterrupted: dict[str, Any]
    """The run of the training that lost its machines, made here without interruption."""


@pytest.fixture(scope="module")
def end(rented: Rented, session_cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> End:
    """Start the trainings, and let each meet its faults."""
    cloud, scenario = session_cloud, Scenario(rented)
    started = scenario.started
    with cleaned_up(cloud):
        started["too expensive"] = rented.train("tree", "--dollars", "0.01")
        # From here on there is no room in the zone that would come first.
        cloud.fail("ec2:RunInstances", "InsufficientInstanceCapacity", zone="us-east-1a")
        with changed(rented, '"$CODE" |', '"${CODE%%\\?*}.gone?${CODE#*\\?}" |'):
            scenario.train("no code", "tree")
        scenario.train("starting", "tree")
        started["starting"].signal(signal.SIGINT)
        assert started["starting"].wait() == 130, started["starting"].said
        scenario.log("the one that was interrupted at its launch has ended")
        scenario.train("lost", "neural", *NEURAL)
        scenario.train("detached", "tree")
        cloud.wait(lambda: rented.machine(scenario.ids["detached"]), TIMEOUT)
        started["detached"].signal(signal.SIGINT)
        assert started["detached"].wait() == 0, started["detached"].said
        scenario.log("one is detached, and stopped")
        started["stopping"] = rented.start("cloud-stop", "--job", scenario.ids["detached"])

        lose_while_it_trains(rented, cloud, scenario.ids["lost"])
        scenario.log("a machine was lost while it trained")
        lose_between_objects_and_list(rented, cloud, scenario.ids["lost"])
        scenario.log("another was lost between a snapshot's objects and its list")
        lose_as_it_begins(rented, cloud, scenario.ids["lost"])
        scenario.log("a third was lost as it began, and the store was busy for the fourth")
        output = {name: scenario.output(name) for name in started}
        scenario.log("all have ended")
        scenario.read_runs()
        here = train_here(rented, tmp_path_factory.mktemp("uninterrupted"))
    return End(scenario, output, here)


def test_over_the_budget_nothing_is_started(end: End) -> None:
    output = end.output["too expensive"]
    assert re.search(r"the job may cost 0\.\d\d USD, and the budget is 0\.01 USD", output)
    assert output.endswith("exit code 2")
    assert "\njob " not in output


def test_code_that_cannot_be_downloaded_fails_the_job(end: End) -> None:
    output, status = end.output["no code"], end.scenario.jobs["no code"]["status"]
    assert "error: the job failed: the machine could not be set up: " in output
    assert (output[-11:], status) == ("exit code 1", "FAILED")


def test_ctrl_c_at_the_launch_removes_everything_again(end: End) -> None:
    output, status = end.output["starting"], end.scenario.jobs["starting"]["status"]
    assert "not started; removing what was made: interrupted" in output
    assert "Traceback" not in output
    assert (output[-13:], status) == ("exit code 130", "KILLED")


def test_ctrl_c_while_a_machine_is_set_up_detaches_and_it_can_be_stopped(end: End) -> None:
    output, status = end.output["detached"], end.scenario.jobs["detached"]["status"]
    assert "the job continues without this terminal; make cloud-follow" in output
    assert "stopped; nothing of it is left" in end.output["stopping"]
    assert (output[-11:], status) == ("exit code 0", "KILLED")


def test_a_training_that_lost_three_machines_ends_as_if_it_had_not(end: End) -> None:
    assert end.output["lost"].endswith("exit code 0")
    assert_same(end.scenario.jobs["lost"], end.scenario.models["lost"], end.uninterrupted)


def test_of_all_this_nothing_is_left(end: End, rented: Rented, cloud: Cloud) -> None:
    cloud.wait(lambda: not cloud.live(), 120)
    assert rented.kept() == []
    assert {run["status"] for run in end.scenario.jobs.values()} <= {"FINISHED", "FAILED", "KILLED"}
