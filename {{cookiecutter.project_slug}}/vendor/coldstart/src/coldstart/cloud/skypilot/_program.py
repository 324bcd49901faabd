"""Functions that run in SkyPilot's environment, not in the project's.

They are called as `python -m coldstart.cloud.skypilot._program FUNCTION`, with arguments as JSON on
standard input: see `_environment.call`. The result is a line of JSON. With exit code 1 it says
what went wrong.
"""

from __future__ import annotations

import copy
import json
import os
import re
import sys
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import sky
from sky import exceptions, jobs
from sky.utils import registry

AUTODOWN = sky.clouds.CloudImplementationFeatures.AUTODOWN
# Providers whose machines have no price in the catalog.
WITHOUT_PRICE = ("Kubernetes", "Slurm")
# Seconds until machines have ended.
TIMEOUT = 900


def plan(config: dict[str, Any], clouds: list[str], spot_only: bool) -> dict[str, Any]:
    """Check a task, and return the machines that it may get. No account is needed.

    Parameters
    ----------
    config : dict
        The task.
    clouds : list of str
        Clouds to look at if the task names none.
    spot_only : bool
        Whether only spot machines will do. Otherwise others are taken where there are none.

    Returns
    -------
    dict
        `offers` as `find_offers` returns them, and whether they are `spot` machines.

    Raises
    ------
    ValueError
        If no machine will do.
    """
    for spot in [True] if spot_only else [True, False]:
        if not spot:
            config = {**config, "resources": {**config["resources"], "use_spot": False}}
        task = sky.Task.from_yaml_config(copy.deepcopy(config))  # it takes it to pieces
        for resources in task.resources:
            require_autodown(resources)
        try:
            return {"offers": find_offers(task.resources, clouds), "spot": spot}
        except ValueError as error:
            reason = error
    raise reason


def require_autodown(resources: sky.Resources) -> None:
    """Refuse a cloud whose machines would run on if this computer failed.

    Raises
    ------
    ValueError
        If SkyPilot cannot let them end themselves.
    """
    cloud = resources.cloud
    if cloud and AUTODOWN in cloud._unsupported_features_for_resources(resources):
        raise ValueError(f"machines of {cloud} cannot end themselves; choose another provider")


def find_offers(wanted: Collection[sky.Resources], clouds: list[str]) -> list[dict[str, Any]]:
    """Return all machines that would do, the cheapest first.

    Parameters
    ----------
    wanted : collection of sky.Resources
        Alternatives.
    clouds : list of str
        Clouds to look at where an alternative names none.

    Returns
    -------
    list of dict
        For each machine its name (`machine`), its GPUs as SkyPilot writes them (`gpus`), and its
        lowest and highest price in US dollars an hour (`price`, `highest`), which are None where
        there are none.

    Raises
    ------
    ValueError
        If there is none.
    """
    found: dict[str, dict[str, Any]] = {}
    reasons = []
    known = [registry.CLOUD_REGISTRY.from_str(cloud) for cloud in clouds]
    for resources in wanted:
        if resources.cloud and resources.cloud not in known:
            reasons.append(f"{resources.cloud} is not in the brackets of infra/sky.txt")
            continue
        for cloud in [resources.cloud] if resources.cloud else known:
            try:
                one = resources.copy(cloud=cloud)
                one.validate()
                feasible = cloud.get_feasible_launchable_resources(one)
            except Exception as error:  # there are a dozen kinds
                # What a cloud cannot do at all matters only if that cloud was requested.
                if resources.cloud or not isinstance(error, exceptions.NotSupportedError):
                    reasons.append(format_error(error))
                continue
            reasons += [feasible.hint] if feasible.hint else []
            for machine in feasible.resources_list:
                offer = make_offer(machine)
                found[offer["machine"]] = offer
    if not found:
        names = list(dict.fromkeys(str(one.cloud) for one in wanted if one.cloud))
        nothing = f"no machine of {' or '.join(names or clouds)} has these resources"
        if limits := [one.max_hourly_cost for one in wanted if one.max_hourly_cost]:
            nothing += (
                f" for {max(limits):.3g} USD an hour, which the budget allows: take a larger "
                "BUDGET, fewer HOURS, or a cheaper machine (GPU=..., SPOT=yes)"
            )
        raise ValueError(reasons[0] if reasons else nothing)
    return sorted(found.values(), key=lambda one: one["price"] or 0)  # as SkyPilot chooses


def make_offer(machine: sky.Resources) -> dict[str, Any]:
    """Return a machine with its prices in all zones."""
    gpus = ", ".join(f"{name}:{count:g}" for name, count in (machine.accelerators or {}).items())
    words = [f"{machine.cloud} {machine.instance_type}", gpus, "spot" if machine.use_spot else ""]
    offer = {"machine": ", ".join(word for word in words if word), "gpus": gpus}
    if str(machine.cloud) in WITHOUT_PRICE:
        return {**offer, "price": None, "highest": None}
    prices = [
        machine.copy(region=region.name, zone=zone.name if zone else None).get_cost(3600)
        for region in machine.get_valid_regions_for_launchable()
        for zone in region.zones or [None]
    ]
    return {**offer, "price": min(prices), "highest": max(prices)}


def launch(config: dict[str, Any]) -> None:
    """Hand a job over to SkyPilot's controller."""
    task = sky.Task.from_yaml_config(config)
    sky.stream_and_get(jobs.launch(task, name=task.name))


def find(name: str) -> dict[str, Any] | None:
    """Return what SkyPilot's controller knows of a job, or None."""
    try:
        found, *_ = sky.stream_and_get(jobs.queue_v2(refresh=False, name_match=name))
    except exceptions.ClusterNotUpError:
        return None
    matching = [one for one in found if one["job_name"] == name]
    if not matching:
        return None
    one = matching[0]
    return {
        "job_id": one["job_id"],
        "status": one["status"].value,
        "ended": one["status"].is_terminal(),
        "reason": one.get("failure_reason"),
    }


def follow(name: str) -> None:
    """Print a job's log until it ends."""
    job = find(name)
    if job and not job["ended"]:
        jobs.tail_logs(job_id=job["job_id"], follow=True)


def cancel(name: str) -> None:
    """Cancel a job, and wait until its machines have ended."""
    job = find(name)
    if job is None:
        return
    if not job["ended"]:
        sky.stream_and_get(jobs.cancel(job_ids=[job["job_id"]]))
    deadline = time.monotonic() + TIMEOUT
    while not (job := find(name) or {"ended": True})["ended"] or has_machines(name):
        if time.monotonic() > deadline:
            raise RuntimeError(f"machines of {name} are still running: make cloud-sweep")
        time.sleep(2)


def has_machines(name: str) -> bool:
    """Return whether SkyPilot knows of a machine of a job."""
    return any(one["status"] is not None for one in clusters(name))


def machines(name: str) -> list[dict[str, Any]]:
    """Return the machines of a project's jobs, as keyword arguments of `Machine`."""
    return [
        {
            "job": one["name"].removeprefix(f"{name}-").partition("-")[0],
            "description": str(one["resources"]),
            "state": one["status"].value.lower(),
            "since": one["launched_at"],
            "price": one["num_nodes"] * one["resources"].get_cost(3600),
        }
        for one in clusters(name)
        if one["status"] is not None
    ]


def cost(name: str) -> float | None:
    """Return the US dollars that a job's machines have cost, or None without prices."""
    return sum(one["total_cost"] for one in clusters(name)) or None


def clusters(name: str) -> list[dict[str, Any]]:
    """Return SkyPilot's records of a job's machines, those that have ended included."""
    found = sky.stream_and_get(sky.cost_report(days=30))
    return [one for one in found if one["name"].startswith(f"{name}-")]


def format_error(error: BaseException) -> str:
    """Return an error in one line, without colors. Of a log that it names, add the last line."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)) or type(error).__name__
    if named := re.search(r"View logs at: (\S+)", text):
        log = Path(named[1]).expanduser()
        text += "".join([": ", *log.read_text(errors="replace").splitlines()[-1:]])
    return " ".join(text.split())[:400]


def main() -> None:
    """Call the function that the command line names."""
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what SkyPilot prints is for the terminal, not for the result
    functions = {one.__name__: one for one in (plan, launch, find, follow, cancel, machines, cost)}
    try:
        print(json.dumps(functions[sys.argv[1]](**json.load(sys.stdin))), file=output)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        print(json.dumps(format_error(error)), file=output)
        sys.exit(1)


if __name__ == "__main__":
    main()
