"""Machines and their prices, by SkyPilot's catalogue. This runs in its environment."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sky
from sky import exceptions
from sky.utils import registry

from coldstart.cloud.skypilot._responses import said


def offers(wanted: Collection[sky.Resources], clouds: list[str]) -> list[dict[str, Any]]:
    """All machines that would do, the cheapest first, each at its lowest and its highest price.

    Parameters
    ----------
    clouds
        That may be taken where none is wanted.

    Returns
    -------
    list
        Of each machine `what` it is, its `gpus` as SkyPilot writes them, its `price` an hour in
        dollars where it is cheapest, and the `highest`: None where there is none, as on Kubernetes.

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
                # What a cloud can never do is told only to who wants that cloud.
                if resources.cloud or not isinstance(error, exceptions.NotSupportedError):
                    reasons.append(said(error))
                continue
            reasons += [feasible.hint] if feasible.hint else []
            for machine in feasible.resources_list:
                offer = offer_of(machine)
                found[offer["what"]] = offer
    if not found:
        asked = list(dict.fromkeys(str(one.cloud) for one in wanted if one.cloud))
        nothing = f"nothing on {' or '.join(asked or clouds)} has such resources"
        if limits := [one.max_hourly_cost for one in wanted if one.max_hourly_cost]:
            nothing += (
                f" for {max(limits):.3g} USD an hour, which is all that the budget allows: a "
                "larger BUDGET, fewer HOURS, or a cheaper machine (GPU=..., SPOT=yes)"
            )
        raise ValueError(reasons[0] if reasons else nothing)
    return sorted(found.values(), key=lambda one: one["price"] or 0)  # as SkyPilot chooses


def offer_of(machine: sky.Resources) -> dict[str, Any]:
    """Tell a machine and its prices in all places where it may be taken."""
    gpus = ", ".join(f"{name}:{count:g}" for name, count in (machine.accelerators or {}).items())
    words = [f"{machine.cloud} {machine.instance_type}", gpus, "spot" if machine.use_spot else ""]
    about = {"what": ", ".join(word for word in words if word), "gpus": gpus}
    if str(machine.cloud) in ("Kubernetes", "Slurm"):
        return {**about, "price": None, "highest": None}
    prices = [
        machine.copy(region=region.name, zone=zone.name if zone else None).get_cost(3600)
        for region in machine.get_valid_regions_for_launchable()
        for zone in region.zones or [None]
    ]
    return {**about, "price": min(prices), "highest": max(prices)}


def cheapest(wanted: Collection[sky.Resources], clouds: list[str]) -> dict[str, Any]:
    """Tell the machine with the lowest price among all that would do."""
    return offers(wanted, clouds)[0]
