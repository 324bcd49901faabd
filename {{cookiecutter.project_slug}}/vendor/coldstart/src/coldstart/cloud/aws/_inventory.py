"""What a project has in a region: machines and disks, by their tags.

SkyPilot 0.14.1 puts a job's labels on instances and on their volumes. The spot requests that it
makes end with their instances, and it allocates no addresses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from coldstart._aws import client, pages, tags_as_dict
from coldstart.cloud._job import DEADLINE, JOB, PROJECT

# States in which an instance costs something, its disks at least.
ALIVE = ["pending", "running", "stopping", "stopped"]
# Seconds that something without a deadline may exist.
MAX_AGE = 24 * 3600


@dataclass(frozen=True)
class Resource:
    """An instance or a volume of a project. Times are seconds since 1970.

    Its type is that of the instance, or the size of the volume.
    """

    region: str
    kind: Literal["instance", "volume"]
    id: str
    type: str
    state: str
    since: float
    deadline: float | None
    job: str

    def overdue(self, now: float) -> float:
        """Return the seconds by which it is past its deadline.

        Without a deadline that can be read, it may exist for a day.
        """
        return now - (self.since + MAX_AGE if self.deadline is None else self.deadline)


def find(region: str, project: str) -> list[Resource]:
    """Return all that carries the project's tag in a region."""
    ec2 = client("ec2", region)
    ours: list[dict[str, Any]] = [{"Name": f"tag:{PROJECT}", "Values": [project]}]
    alive = [*ours, {"Name": "instance-state-name", "Values": ALIVE}]
    found = []

    def add(one: dict[str, Any], since: str, **known: Any) -> None:
        tags = tags_as_dict(one["Tags"])
        until = tags.get(DEADLINE, "")
        deadline = float(until) if until.isascii() and until.isdigit() else None
        # A filter of AWS may hold wildcards. Before something is ended, its tag is compared.
        if tags[PROJECT] == project:
            at = one[since].timestamp()
            found.append(
                Resource(region, **known, since=at, deadline=deadline, job=tags.get(JOB, ""))
            )

    for page in pages(ec2, "describe_instances", Filters=alive):
        for one in (one for group in page["Reservations"] for one in group["Instances"]):
            spot = " spot" if one.get("InstanceLifecycle") == "spot" else ""
            add(
                one,
                "LaunchTime",
                kind="instance",
                id=one["InstanceId"],
                type=one["InstanceType"] + spot,
                state=one["State"]["Name"],
            )
    for page in pages(ec2, "describe_volumes", Filters=ours):
        for one in page["Volumes"]:
            size = f"{one['Size']} GB"
            add(one, "CreateTime", kind="volume", id=one["VolumeId"], type=size, state=one["State"])
    return found
