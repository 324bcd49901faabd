"""Functions that run in SkyPilot's environment, not in the project's.

They are called as `python -m coldstart.cloud.skypilot._program FUNCTION`, with arguments as JSON on
standard input: see `_environment.call`. The result is a line of JSON. With exit code 1 it says
what went wrong.
"""

from __future__ import annotations

import copy
import datetime as dt
import json
import math
import os
import re
import sys
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import requests
import sky
from sky import exceptions, jobs, skypilot_config
from sky.catalog import common as catalog
from sky.server import common as server
from sky.utils import controller_utils, registry

AUTODOWN = sky.clouds.CloudImplementationFeatures.AUTODOWN
# Providers whose machines have no price in the catalog.
WITHOUT_PRICE = ("Kubernetes", "Slurm")
# What costs more than `_bound.py` counts for a disk.
FAST_DISKS = ("best", "high", "ultra")
# Hours for which prices are used.
PRICES_HOURS = 24
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
        `offers` as `find_offers` returns them, the `date` of their prices, and why SkyPilot would
        rent a machine to watch over jobs (`controller`), or an empty string.

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
            require_limits(resources)
        try:
            offers = find_offers(task.resources, clouds)
            return {"offers": offers, "date": catalog_date(offers), "controller": controller()}
        except ValueError as error:
            reason = error
    raise reason


def controller() -> str:
    """Return why SkyPilot would rent a machine to watch over jobs, or an empty string."""
    key = ("jobs", "controller", "consolidation_mode")
    setting = f"{'.'.join(key)}: true"
    if not server.is_api_server_local():
        return f"its server {server.get_server_url()} is not on this computer"
    if not skypilot_config.get_server_config().get_nested(key, False):
        path = skypilot_config.resolve_user_config_path()
        return f"{path or skypilot_config.get_user_config_path()} does not say {setting}"
    running = server.get_api_server_status().status == server.ApiServerStatus.HEALTHY
    if running and not controller_utils.is_jobs_consolidation_mode():
        return f'its server was started without {setting}: make sky ON=... ASK="api stop" ends it'
    return ""


def catalog_date(offers: list[dict[str, Any]]) -> str:
    """Return the day on which the oldest of the prices was downloaded, or an empty string."""
    times = []
    for cloud in {one["cloud"] for one in offers if one["places"] is not None}:
        # SkyPilot renews the time of a table that it fails to download anew, but not of the first.
        for name in (f".meta/{cloud}/vms.csv.md5", f"{cloud}/vms.csv"):
            if (path := Path(catalog.get_catalog_path(name))).exists():
                times.append(path.stat().st_mtime)
                break
    return dt.date.fromtimestamp(min(times)).isoformat() if times else ""


def require_limits(resources: sky.Resources) -> None:
    """Refuse machines that would run on if this computer failed, and disks without a known price.

    Raises
    ------
    ValueError
        If SkyPilot cannot let machines of a cloud end themselves, or for a fast kind of disk.
    """
    if (tier := resources.disk_tier) and tier.value in FAST_DISKS:
        raise ValueError(f"disk_tier: {tier.value} has no known price; leave it out")
    cloud = resources.cloud
    if cloud and AUTODOWN in cloud._unsupported_features_for_resources(resources):
        raise ValueError(f"machines of {cloud} cannot end themselves; choose another provider")


def find_offers(wanted: Collection[sky.Resources], clouds: list[str]) -> list[dict[str, Any]]:
    """Return all machines that would do, the cheapest first.

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
                renew_prices(cloud)
                one.validate()
                feasible = cloud.get_feasible_launchable_resources(one)
            except Exception as error:  # there are a dozen kinds
                # What a cloud cannot do at all matters only if that cloud was requested.
                if resources.cloud or not isinstance(error, exceptions.NotSupportedError):
                    reasons.append(format_error(error))
                continue
            reasons += [feasible.hint] if feasible.hint else []
            for machine in feasible.resources_list:
                offer = make_offer(machine, bool(one._accelerators))
                if offer["places"] == []:
                    reasons.append(
                        f"the catalog has no price of {offer['machine']} that could be right: "
                        "choose another machine (GPU=..., SPOT=no) or another provider (ON=...)"
                    )
                    continue
                found[json.dumps(offer["resources"])] = offer
    if not found:
        names = list(dict.fromkeys(str(one.cloud) for one in wanted if one.cloud))
        nothing = f"no machine of {' or '.join(names or clouds)} has these resources"
        if limits := [one.max_hourly_cost for one in wanted if one.max_hourly_cost]:
            nothing += f" for a max_hourly_cost of {max(limits):.3g} USD"
        raise ValueError(reasons[0] if reasons else nothing)
    return sorted(found.values(), key=lowest_price)  # as SkyPilot chooses


def renew_prices(cloud: sky.clouds.Cloud) -> None:
    """Download the prices of a cloud if they are older than a day; SkyPilot keeps some for good."""
    if str(cloud) not in WITHOUT_PRICE:
        table = catalog.read_catalog(f"{str(cloud).lower()}/vms.csv", PRICES_HOURS)
        len(table.columns)  # reads it


def make_offer(machine: sky.Resources, needs_gpu: bool) -> dict[str, Any]:
    """Return a machine with its prices.

    Parameters
    ----------
    machine : sky.Resources
        A type of machine of a cloud.
    needs_gpu : bool
        Whether its GPUs are why it was chosen. Its resources then name them.

    Returns
    -------
    dict
        Its name (`machine`), `cloud`, size of the `disk` in GB, SkyPilot's `resources`, in how many
        `regions` it exists, and of those with prices (`places`) the `resources`, the present
        `price` and the `highest`: on demand, since a spot machine can cost as much. None instead of
        places where the provider publishes no prices.
    """
    gpus = ", ".join(f"{name}:{count:g}" for name, count in (machine.accelerators or {}).items())
    words = [f"{machine.cloud} {machine.instance_type}", gpus, "spot" if machine.use_spot else ""]
    offer = {
        "machine": ", ".join(word for word in words if word),
        "cloud": str(machine.cloud).lower(),
        "disk": machine.disk_size,
        "resources": machine.to_yaml_config(),
    }
    if needs_gpu:
        offer["resources"]["accelerators"] = machine.accelerators
    if str(machine.cloud) in WITHOUT_PRICE:
        return {**offer, "places": None}
    regions = [one.name for one in machine.get_valid_regions_for_launchable()]
    places = []
    for region in regions:
        price, on_demand = hourly(machine, region, machine.use_spot), hourly(machine, region, False)
        if 0 < price < math.inf and 0 < on_demand < math.inf:
            infra = offer["resources"]["infra"]
            where = {"infra": infra if machine.region else f"{infra}/{region}"}
            place = {"region": region, "price": price, "highest": max(price, on_demand)}
            places.append({**place, "resources": {**offer["resources"], **where}})
    return {**offer, "regions": len(regions), "places": places}


def hourly(machine: sky.Resources, region: str, spot: bool) -> float:
    """Return the price of a machine an hour, or NaN if the catalog has none or several."""
    cloud, gpus = machine.cloud, machine._accelerators
    try:
        price = cloud.instance_type_to_hourly_cost(machine.instance_type, spot, region, None)
        if gpus:  # priced apart on GCP, and 0 elsewhere
            apart = cloud.accelerators_to_hourly_cost(gpus, spot, region, None)
            price = math.nan if str(cloud) == "GCP" and not apart > 0 else price + apart
    except (AssertionError, LookupError, ValueError):
        return math.nan
    return float(price)


def lowest_price(offer: dict[str, Any]) -> float:
    """Return the lowest price of an offer, or 0 if the provider publishes none."""
    return min((place["price"] for place in offer["places"] or ()), default=0.0)


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
    while not (job := find(name) or {"ended": True})["ended"] or machines(name):
        if time.monotonic() > deadline:
            raise RuntimeError(f"machines of {name} are still running: make cloud-sweep")
        time.sleep(2)


def machines(name: str) -> list[dict[str, Any]]:
    """Return the machines of a project's jobs or of a job, as keyword arguments of `Machine`."""
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
    if isinstance(error, requests.ConnectionError) and error.request is not None:
        return f"{error.request.url!s} cannot be reached"
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
