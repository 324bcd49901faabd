"""Ending what is ours in a region: requests before machines, disks and addresses after them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from coldstart.cloud.aws._calls import client, code, reason
from coldstart.cloud.aws._found import Found

PATIENCE = 300.0  # seconds until machines have let go of their disks and addresses
PAUSE = 5.0  # seconds

# AWS' words for what is gone already.
GONE = {
    "InvalidInstanceID.NotFound",
    "InvalidVolume.NotFound",
    "InvalidAllocationID.NotFound",
    "InvalidSpotInstanceRequestID.NotFound",
    "InvalidAssociationID.NotFound",
}
PROTECTED = "OperationNotPermitted"


def end(region: str, doomed: Sequence[Found]) -> dict[str, str]:
    """End things of one region, and return why some could not be, by id.

    A request is withdrawn before its machine ends, or a persistent one would start another.
    """
    ec2, failed = client("ec2", region), dict[str, str]()

    def each(kind: str, act: Callable[[Any, Found], None]) -> None:
        for one in doomed:
            if one.kind != kind:
                continue
            try:
                act(ec2, one)
            except ClientError as error:
                if code(error) not in GONE:
                    failed[one.id] = explain(error, one)
            except (BotoCoreError, StaysError) as error:
                failed[one.id] = str(error) if isinstance(error, StaysError) else reason(error)

    machines = [one.id for one in doomed if one.kind == "instance"]
    each("spot request", cancel)
    each("instance", terminate)
    wait(ec2, [one for one in machines if one not in failed])
    each("volume", delete)
    each("address", release)
    return failed


class StaysError(Exception):
    """What is used by something that is not ended with it."""


def cancel(ec2: Any, one: Found) -> None:
    """Withdraw a spot request."""
    ec2.cancel_spot_instance_requests(SpotInstanceRequestIds=[one.id])


def terminate(ec2: Any, one: Found) -> None:
    """End a machine; one at a time, since one that is refused would keep all others running."""
    ec2.terminate_instances(InstanceIds=[one.id])


def wait(ec2: Any, machines: list[str]) -> None:
    """Wait until machines have ended, as long as there is patience."""
    until = time.monotonic() + PATIENCE
    while machines and time.monotonic() < until:
        try:
            asked = [{"Name": "instance-id", "Values": machines}]
            groups = ec2.describe_instances(Filters=asked)["Reservations"]
        except (ClientError, BotoCoreError):
            return  # what is left is seen when all is listed again
        states = {one["State"]["Name"] for group in groups for one in group["Instances"]}
        if states <= {"terminated"}:
            return
        time.sleep(PAUSE)


def delete(ec2: Any, one: Found) -> None:
    """Delete a disk, unless a machine has it that goes on.

    Raises
    ------
    StaysError
        If one has.
    """
    (now,) = ec2.describe_volumes(VolumeIds=[one.id])["Volumes"]
    if now.get("Attachments"):
        raise StaysError(f"{now['Attachments'][0]['InstanceId']} uses it: left alone")
    ec2.delete_volume(VolumeId=one.id)


def release(ec2: Any, one: Found) -> None:
    """Give an address back, unless something has it that goes on.

    Raises
    ------
    StaysError
        If something has.
    """
    (now,) = ec2.describe_addresses(AllocationIds=[one.id])["Addresses"]
    if holder := now.get("InstanceId") or now.get("NetworkInterfaceId"):
        raise StaysError(f"{holder} uses it: left alone")
    ec2.release_address(AllocationId=one.id)


def explain(error: ClientError, one: Found) -> str:
    """Why something could not be ended, and what ends it."""
    if one.kind == "instance" and code(error) == PROTECTED:
        return (
            "it is protected from termination: aws ec2 modify-instance-attribute "
            f"--no-disable-api-termination --instance-id {one.id} --region {one.region}"
        )
    return reason(error)
