"""Ending a project's resources in a region: requests first, then machines, disks, addresses."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from coldstart._aws import client, error_code, explain_error
from coldstart.cloud.aws._inventory import Resource

TIMEOUT = 300.0  # seconds until machines have released their disks and addresses
POLL_SECONDS = 5.0

# AWS' codes for what has ended already.
GONE = {
    "InvalidInstanceID.NotFound",
    "InvalidVolume.NotFound",
    "InvalidAllocationID.NotFound",
    "InvalidSpotInstanceRequestID.NotFound",
    "InvalidAssociationID.NotFound",
}
PROTECTED = "OperationNotPermitted"


def end(region: str, resources: Sequence[Resource]) -> dict[str, str]:
    """End resources of one region.

    A request is canceled before its machine ends, because a persistent one would start another.

    Parameters
    ----------
    region : str
        AWS region.
    resources : sequence of Resource
        What to end.

    Returns
    -------
    dict
        Why some could not be ended, by id.
    """
    ec2, failed = client("ec2", region), dict[str, str]()

    def each(kind: str, act: Callable[[Any, Resource], None]) -> None:
        for one in resources:
            if one.kind != kind:
                continue
            try:
                act(ec2, one)
            except ClientError as error:
                if error_code(error) not in GONE:
                    failed[one.id] = explain(error, one)
            except (BotoCoreError, InUseError) as error:
                failed[one.id] = (
                    str(error) if isinstance(error, InUseError) else explain_error(error)
                )

    machines = [one.id for one in resources if one.kind == "instance"]
    each("spot request", cancel)
    each("instance", terminate)
    wait(ec2, [one for one in machines if one not in failed])
    each("volume", delete)
    each("address", release)
    return failed


class InUseError(Exception):
    """A resource is used by another one that is not ended with it."""


def cancel(ec2: Any, one: Resource) -> None:
    """Cancel a spot request."""
    ec2.cancel_spot_instance_requests(SpotInstanceRequestIds=[one.id])


def terminate(ec2: Any, one: Resource) -> None:
    """Terminate one instance. In one call for several, one refusal would keep all running."""
    ec2.terminate_instances(InstanceIds=[one.id])


def wait(ec2: Any, machines: list[str]) -> None:
    """Wait until instances have ended, or until the timeout."""
    until = time.monotonic() + TIMEOUT
    while machines and time.monotonic() < until:
        try:
            wanted = [{"Name": "instance-id", "Values": machines}]
            groups = ec2.describe_instances(Filters=wanted)["Reservations"]
        except (ClientError, BotoCoreError):
            return  # what is left is found when everything is listed again
        states = {one["State"]["Name"] for group in groups for one in group["Instances"]}
        if states <= {"terminated"}:
            return
        time.sleep(POLL_SECONDS)


def delete(ec2: Any, one: Resource) -> None:
    """Delete a volume.

    Raises
    ------
    InUseError
        If an instance uses it.
    """
    (now,) = ec2.describe_volumes(VolumeIds=[one.id])["Volumes"]
    if now.get("Attachments"):
        raise InUseError(f"{now['Attachments'][0]['InstanceId']} uses it; not changed")
    ec2.delete_volume(VolumeId=one.id)


def release(ec2: Any, one: Resource) -> None:
    """Release an address.

    Raises
    ------
    InUseError
        If something uses it.
    """
    (now,) = ec2.describe_addresses(AllocationIds=[one.id])["Addresses"]
    if holder := now.get("InstanceId") or now.get("NetworkInterfaceId"):
        raise InUseError(f"{holder} uses it; not changed")
    ec2.release_address(AllocationId=one.id)


def explain(error: ClientError, one: Resource) -> str:
    """Return why a resource could not be ended, and what ends it."""
    if one.kind == "instance" and error_code(error) == PROTECTED:
        return (
            "it is protected from termination: aws ec2 modify-instance-attribute "
            f"--no-disable-api-termination --instance-id {one.id} --region {one.region}"
        )
    return explain_error(error)
