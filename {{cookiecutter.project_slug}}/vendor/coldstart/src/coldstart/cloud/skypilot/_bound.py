"""What the provider can charge for a job besides the machine's price, and which machines fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from coldstart.cloud._plan import Charge, Offer
from coldstart.cloud.skypilot._deadline import KEEP_MINUTES

MONTH = 730  # hours, as providers count it
# US dollars a month for a GB of disk, and for a disk of any size. SkyPilot's catalog has no prices
# of disks. On AWS it makes gp3 with 3,500 operations and 218 MB a second: a GB costs 0.152 in
# sa-east-1, the most expensive region, and what is above the free 3,000 and 125 MB costs 11.83.
DISKS = {"aws": (0.16, 12.0)}
# For others about twice the most expensive SSD of GCP, Azure and RunPod. A stated price.
OTHER_DISKS = (0.60, 0.0)
# AWS, GCP and Azure take this, in all regions; others include the address.
ADDRESS = 0.005
DAEMON = 1.0  # SkyPilot's daemon on a machine looks every minute whether it is time to end it
TERMINATION = 2.0  # from the request to the end
BOOT = 10.0  # so long SkyPilot waits for ssh; then it ends the machine
# Minutes for which machines may exist after the stop. SkyPilot may take the machine that has ended
# itself for lost, and request another one, which is kept until SkyPilot has seen that it is late.
ENDING = {
    "daemon": DAEMON,
    "termination": TERMINATION,
    "late machine": BOOT + KEEP_MINUTES + DAEMON + TERMINATION,
}
# Alternatives that SkyPilot gets. It reads them anew at each step, ten in about a second.
MOST = 100
UNBOUNDED = "not included: traffic out of the cloud, your storage, taxes"


def charges(clouds: list[str], gigabytes: int) -> list[Charge]:
    """Return what a machine of the most expensive of some clouds costs besides its price.

    There are none where no cloud publishes prices.
    """
    if not clouds:
        return []
    disks = [DISKS.get(cloud, OTHER_DISKS) for cloud in clouds]
    monthly, rate, flat = max((rate * gigabytes + flat, rate, flat) for rate, flat in disks)
    each = f"{rate:.2f} a GB and month" + (f", {flat:g} for its speed" if flat else "")
    disk = Charge("disk", monthly / MONTH, f"{gigabytes} GB, {each}")
    return [disk, Charge("address", ADDRESS, "public IPv4")]


def choose(
    offers: list[dict[str, Any]], fits: Callable[[float], bool], price: float | None
) -> tuple[list[Offer], list[dict[str, Any]]]:
    """Return the machines that a job may get, and SkyPilot's resources for exactly these.

    The offers are those of `_program.find_offers`; `fits` says whether a job on machines of a price
    an hour is within the budget, and `price` is that of machines without a published one. The
    resources are in the order of the offers, the first `MOST`.
    """
    chosen, resources = [], []
    for one in offers:
        if one["places"] is None:
            if price is None or fits(price):
                chosen.append(Offer(one["machine"], price))
                resources.append(one["resources"])
            continue
        places = [place for place in one["places"] if fits(place["highest"])]
        if not places:
            continue
        lowest = min(place["price"] for place in places)
        costliest = max(places, key=lambda place: place["highest"])
        chosen.append(Offer(one["machine"], lowest, costliest["highest"]))
        # All its regions at once, if possible: SkyPilot then leaves one where it lost a machine.
        whole = len(places) == one["regions"]
        resources += [one["resources"]] if whole else [place["resources"] for place in places]
    return chosen, resources[:MOST]
