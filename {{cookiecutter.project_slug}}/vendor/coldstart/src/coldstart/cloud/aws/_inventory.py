"""What a project has in a region: machines, disks, addresses and spot requests, by their tags.

SkyPilot 0.14.1 puts a job's labels on instances and on their volumes only. A spot request carries
none, so it is found through its instance. SkyPilot allocates no addresses.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from coldstart._aws import client, pages, tags_as_dict
from coldstart.cloud._job import DEADLINE, JOB, PROJECT
from coldstart.cloud.aws._prices import price_per_hour

# States in which an instance costs something, its disks at least.
ALIVE = ["pending", "running", "stopping", "stopped"]
# Seconds that something without a deadline may exist.
MAX_AGE = 24 * 3600

Kind = Literal["instance", "volume", "address", "spot request"]


@dataclass(frozen=True)
class Resource:
    """Something of a project that costs money, or may come to.

    Attributes
    ----------
    region : str
        AWS region.
    kind : {'instance', 'volume', 'address', 'spot request'}
        What it is.
    id : str
        Id at AWS.
    state : str
        State in AWS' words.
    since, deadline : float, optional
        Seconds since 1970, where they are known.
    job : str
        Id of its job, or an empty string.
    holder : str
        Id of the instance that uses it.
    type : str
        Type of an instance, size of a volume.
    zone : str
        Availability zone of an instance.
    spot : bool
        Whether it is a spot instance.
    tags : dict
        Its tags.
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
    tags: dict[str, str] = field(default_factory=dict)

    def overdue(self, now: float) -> float | None:
        """Return the seconds by which it is past its deadline, or None if that is unknown.

        Without a deadline that can be read, it may exist for a day.
        """
        if self.deadline is not None:
            return now - self.deadline
        return None if self.since is None else now - self.since - MAX_AGE

    def price(self) -> float | None:
        """Return the US dollars an hour of a running instance, or None."""
        if self.kind != "instance" or self.state in ("stopping", "stopped"):
            return None
        return price_per_hour(self.region, self.type, self.zone, self.spot)


def find(region: str, project: str) -> list[Resource]:
    """Return all that carries the project's tag in a region.

    Parameters
    ----------
    region : str
        AWS region.
    project : str
        Name of the project.

    Returns
    -------
    list of Resource
        Spot requests first, then instances, volumes and addresses.
    """
    ec2 = client("ec2", region)
    instances = list(find_instances(ec2, region, project))
    found = [
        *find_requests(ec2, region, project, instances),
        *instances,
        *find_volumes(ec2, region, project),
        *find_addresses(ec2, region, project),
    ]
    # AWS has filtered them already. Before something is ended, this is checked again.
    return [one for one in found if one.tags.get(PROJECT) == project]


def project_filter(project: str) -> list[dict[str, Any]]:
    """Return the filter for a project's tag."""
    return [{"Name": f"tag:{PROJECT}", "Values": [project]}]


def read_tags(listed: list[dict[str, Any]] | None) -> dict[str, Any]:
    """Return job, deadline and tags, as keyword arguments of `Resource`."""
    tags = tags_as_dict(listed)
    until = tags.get(DEADLINE, "")
    readable = until.isascii() and until.isdigit()
    deadline = float(until) if readable else None
    return {"job": tags.get(JOB, ""), "deadline": deadline, "tags": tags}


def epoch(when: dt.datetime | None) -> float | None:
    """Return seconds since 1970."""
    return when.timestamp() if when else None


def find_instances(ec2: Any, region: str, project: str) -> Iterator[Resource]:
    """Yield instances, those that are stopped included."""
    alive = [{"Name": "instance-state-name", "Values": ALIVE}]
    for page in pages(ec2, "describe_instances", Filters=project_filter(project) + alive):
        for one in (one for group in page["Reservations"] for one in group["Instances"]):
            yield Resource(
                region,
                "instance",
                one["InstanceId"],
                one["State"]["Name"],
                epoch(one.get("LaunchTime")),
                type=one["InstanceType"],
                zone=one["Placement"]["AvailabilityZone"],
                spot=one.get("InstanceLifecycle") == "spot",
                **read_tags(one.get("Tags")),
            )


def find_volumes(ec2: Any, region: str, project: str) -> Iterator[Resource]:
    """Yield volumes, those of the project's instances included."""
    for page in pages(ec2, "describe_volumes", Filters=project_filter(project)):
        for one in page["Volumes"]:
            if one["State"] in ("deleting", "deleted"):
                continue
            holder = next((at["InstanceId"] for at in one.get("Attachments", ())), "")
            yield Resource(
                region,
                "volume",
                one["VolumeId"],
                one["State"],
                epoch(one.get("CreateTime")),
                holder=holder,
                type=f"{one['Size']} GB",
                **read_tags(one.get("Tags")),
            )


def find_addresses(ec2: Any, region: str, project: str) -> Iterator[Resource]:
    """Yield Elastic addresses. AWS does not say since when they are allocated."""
    for one in ec2.describe_addresses(Filters=project_filter(project))["Addresses"]:
        holder = one.get("InstanceId") or one.get("NetworkInterfaceId") or ""
        state = "in use" if holder else "idle"
        tags = read_tags(one.get("Tags"))
        yield Resource(region, "address", one["AllocationId"], state, None, holder=holder, **tags)


def find_requests(
    ec2: Any, region: str, project: str, instances: list[Resource]
) -> Iterator[Resource]:
    """Yield open spot requests with the project's tag, or of an instance with it."""
    by_id = {one.id: one for one in instances}
    alive = [{"Name": "state", "Values": ["open", "active"]}]
    for page in pages(ec2, "describe_spot_instance_requests", Filters=alive):
        for one in page["SpotInstanceRequests"]:
            tags, machine = read_tags(one.get("Tags")), by_id.get(one.get("InstanceId", ""))
            if PROJECT not in tags["tags"] and machine:
                tags = {"job": machine.job, "deadline": machine.deadline, "tags": machine.tags}
            if tags["tags"].get(PROJECT) == project:
                yield Resource(
                    region,
                    "spot request",
                    one["SpotInstanceRequestId"],
                    one["State"],
                    epoch(one.get("CreateTime")),
                    holder=one.get("InstanceId", ""),
                    **tags,
                )
