"""What this project has in a region: machines, disks, addresses and spot requests, by their tags.

SkyPilot 0.14.1 puts a job's labels on instances and on their volumes, and on nothing else: a spot
request carries none, so those of our instances are found by the instance. It makes no addresses.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from coldstart.cloud._labels import DEADLINE, JOB, PROJECT
from coldstart.cloud.aws._calls import client, pages, pairs
from coldstart.cloud.aws._prices import per_hour

ALIVE = ["pending", "running", "stopping", "stopped"]  # what still bills, its disks at least
LONGEST = 24 * 3600  # seconds that something without a deadline may be there

Kind = Literal["instance", "volume", "address", "spot request"]


@dataclass(frozen=True)
class Found:
    """Something of ours that bills, or may come to.

    Attributes
    ----------
    since, deadline
        Epoch seconds, where they are known.
    holder
        The instance that it belongs to.
    """

    region: str
    kind: Kind
    id: str
    state: str
    since: float | None
    deadline: float | None
    job: str
    holder: str = ""
    type: str = ""
    zone: str = ""
    spot: bool = False
    own: dict[str, str] = field(default_factory=dict)

    def over(self, now: float) -> float | None:
        """Seconds by which it is past its deadline, or None if there is no telling.

        What has none that can be read may be there for a day.
        """
        if self.deadline is not None:
            return now - self.deadline
        return None if self.since is None else now - self.since - LONGEST

    def price(self) -> float | None:
        """Dollars an hour, of a machine that runs."""
        if self.kind != "instance" or self.state in ("stopping", "stopped"):
            return None
        return per_hour(self.region, self.type, self.zone, self.spot)


def find(region: str, project: str) -> list[Found]:
    """All that carries the project's tag in a region, and nothing else."""
    ec2 = client("ec2", region)
    instances = list(find_instances(ec2, region, project))
    found = [
        *find_requests(ec2, region, project, instances),
        *instances,
        *find_volumes(ec2, region, project),
        *find_addresses(ec2, region, project),
    ]
    # AWS was asked for these alone; what ends machines does not take its word for it.
    return [one for one in found if one.own.get(PROJECT) == project]


def ours(project: str) -> list[dict[str, Any]]:
    """The filter that lets nothing else through."""
    return [{"Name": f"tag:{PROJECT}", "Values": [project]}]


def about(tags: list[dict[str, Any]] | None) -> dict[str, Any]:
    """Job and deadline, from tags."""
    own = pairs(tags)
    until = own.get(DEADLINE, "")
    readable = until.isascii() and until.isdigit()
    return {"job": own.get(JOB, ""), "deadline": float(until) if readable else None, "own": own}


def epoch(when: dt.datetime | None) -> float | None:
    """Epoch seconds."""
    return when.timestamp() if when else None


def find_instances(ec2: Any, region: str, project: str) -> Iterator[Found]:
    """Machines that are there, also those that are stopped."""
    alive = [{"Name": "instance-state-name", "Values": ALIVE}]
    for page in pages(ec2, "describe_instances", Filters=ours(project) + alive):
        for one in (one for group in page["Reservations"] for one in group["Instances"]):
            yield Found(
                region,
                "instance",
                one["InstanceId"],
                one["State"]["Name"],
                epoch(one.get("LaunchTime")),
                type=one["InstanceType"],
                zone=one["Placement"]["AvailabilityZone"],
                spot=one.get("InstanceLifecycle") == "spot",
                **about(one.get("Tags")),
            )


def find_volumes(ec2: Any, region: str, project: str) -> Iterator[Found]:
    """Disks, those of our machines among them."""
    for page in pages(ec2, "describe_volumes", Filters=ours(project)):
        for one in page["Volumes"]:
            if one["State"] in ("deleting", "deleted"):
                continue
            holder = next((at["InstanceId"] for at in one.get("Attachments", ())), "")
            yield Found(
                region,
                "volume",
                one["VolumeId"],
                one["State"],
                epoch(one.get("CreateTime")),
                holder=holder,
                type=f"{one['Size']} GB",
                **about(one.get("Tags")),
            )


def find_addresses(ec2: Any, region: str, project: str) -> Iterator[Found]:
    """Elastic addresses; nobody knows since when they are there."""
    for one in ec2.describe_addresses(Filters=ours(project))["Addresses"]:
        holder = one.get("InstanceId") or one.get("NetworkInterfaceId") or ""
        state = "in use" if holder else "idle"
        own = about(one.get("Tags"))
        yield Found(region, "address", one["AllocationId"], state, None, holder=holder, **own)


def find_requests(ec2: Any, region: str, project: str, instances: list[Found]) -> Iterator[Found]:
    """Spot requests that may start machines yet: with our tag, or of a machine of ours."""
    by_id = {one.id: one for one in instances}
    alive = [{"Name": "state", "Values": ["open", "active"]}]
    for page in pages(ec2, "describe_spot_instance_requests", Filters=alive):
        for one in page["SpotInstanceRequests"]:
            own, machine = about(one.get("Tags")), by_id.get(one.get("InstanceId", ""))
            if PROJECT not in own["own"] and machine:
                own = {"job": machine.job, "deadline": machine.deadline, "own": machine.own}
            if own["own"].get(PROJECT) == project:
                yield Found(
                    region,
                    "spot request",
                    one["SpotInstanceRequestId"],
                    one["State"],
                    epoch(one.get("CreateTime")),
                    holder=one.get("InstanceId", ""),
                    **own,
                )
