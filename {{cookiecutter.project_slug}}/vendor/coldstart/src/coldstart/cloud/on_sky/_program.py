"""What SkyPilot is asked about a job. This runs in its environment, not in the project's."""

from __future__ import annotations

import copy
import time
from typing import Any

import sky
from sky import exceptions, jobs

from coldstart.cloud.skypilot._machines import offers
from coldstart.cloud.skypilot._responses import answer

AUTODOWN = sky.clouds.CloudImplementationFeatures.AUTODOWN
PATIENCE = 900  # seconds until machines have gone


def plan(config: dict[str, Any], clouds: list[str], spot_asked: bool) -> dict[str, Any]:
    """Check a task, and tell what machines it may get; no account is needed.

    Parameters
    ----------
    spot_asked
        Whether machines that may be taken away are a must; else others do where there are none.
    """
    for spot in [True] if spot_asked else [True, False]:
        if not spot:
            config = {**config, "resources": {**config["resources"], "use_spot": False}}
        task = sky.Task.from_yaml_config(copy.deepcopy(config))  # it takes it to pieces
        for resources in task.resources:
            end_themselves(resources)
        try:
            return {"offers": offers(task.resources, clouds), "spot": spot}
        except ValueError as error:
            reason = error
    raise reason


def end_themselves(resources: sky.Resources) -> None:
    """Refuse a cloud whose machines would run on if this computer failed.

    Raises
    ------
    ValueError
        If SkyPilot cannot let them end themselves.
    """
    cloud = resources.cloud
    if cloud and AUTODOWN in cloud._unsupported_features_for_resources(resources):
        raise ValueError(f"machines of {cloud} cannot end themselves: choose another place")


def launch(config: dict[str, Any]) -> None:
    """Hand a job over to SkyPilot's controller."""
    task = sky.Task.from_yaml_config(config)
    sky.stream_and_get(jobs.launch(task, name=task.name))


def find(name: str) -> dict[str, Any] | None:
    """What SkyPilot's controller knows of a job."""
    try:
        found, *_ = sky.stream_and_get(jobs.queue_v2(refresh=False, name_match=name))
    except exceptions.ClusterNotUpError:
        return None
    ours = [one for one in found if one["job_name"] == name]
    if not ours:
        return None
    one = ours[0]
    return {
        "job_id": one["job_id"],
        "status": one["status"].value,
        "ended": one["status"].is_terminal(),
        "why": one.get("failure_reason"),
    }


def follow(name: str) -> None:
    """Show a job's log until it ends."""
    job = find(name)
    if job and not job["ended"]:
        jobs.tail_logs(job_id=job["job_id"], follow=True)


def cancel(name: str) -> None:
    """End a job, and wait until its machines are gone."""
    job = find(name)
    if job is None:
        return
    if not job["ended"]:
        sky.stream_and_get(jobs.cancel(job_ids=[job["job_id"]]))
    deadline = time.monotonic() + PATIENCE
    while not (job := find(name) or {"ended": True})["ended"] or left(name):
        if time.monotonic() > deadline:
            raise RuntimeError(f"machines of {name} are still there: make cloud-sweep")
        time.sleep(2)


def left(name: str) -> bool:
    """Whether SkyPilot knows of a machine of a job."""
    return any(one["status"] is not None for one in clusters(name))


def machines(name: str) -> list[dict[str, Any]]:
    """What SkyPilot knows of the machines of a project's jobs: see `Machine` in places.py."""
    return [
        {
            "job": one["name"].removeprefix(f"{name}-").partition("-")[0],
            "where": str(one["resources"]),
            "state": one["status"].value.lower(),
            "since": one["launched_at"],
            "price": one["num_nodes"] * one["resources"].get_cost(3600),
        }
        for one in clusters(name)
        if one["status"] is not None
    ]


def cost(name: str) -> float | None:
    """Dollars that a job's machines have cost, those that are gone too, where there are prices."""
    return sum(one["total_cost"] for one in clusters(name)) or None


def clusters(name: str) -> list[dict[str, Any]]:
    """SkyPilot's record of a job's machines, those that are gone too."""
    found = sky.stream_and_get(sky.cost_report(days=30))
    return [one for one in found if one["name"].startswith(f"{name}-")]


if __name__ == "__main__":
    answer(plan, launch, find, follow, cancel, machines, cost)
