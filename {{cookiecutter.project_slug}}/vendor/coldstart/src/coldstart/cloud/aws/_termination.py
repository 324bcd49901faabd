"""Ending a project's resources in a region: machines first, then disks, which are free then."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from botocore.exceptions import BotoCoreError, ClientError, WaiterError

from coldstart._aws import client, error_code, explain_error
from coldstart.cloud.aws._inventory import Resource

TIMEOUT = 300.0  # seconds until machines have released their disks
POLL_SECONDS = 5.0


def end(region: str, resources: Sequence[Resource]) -> dict[str, str]:
    """End resources of one region, and return why some could not be ended, by id."""
    ec2, failed = client("ec2", region), dict[str, str]()

    def each(kind: str, act: Callable[[str], object]) -> list[str]:
        ids = [one.id for one in resources if one.kind == kind]
        for id in ids:
            try:
                act(id)
            except (ClientError, BotoCoreError) as error:
                # It may have ended already.
                if not (isinstance(error, ClientError) and error_code(error).endswith(".NotFound")):
                    failed[id] = explain_error(error)
        return [id for id in ids if id not in failed]

    # One by one: in a call for several, one refusal would keep all running.
    machines = each("instance", lambda id: ec2.terminate_instances(InstanceIds=[id]))
    if machines:
        # What is left then is found when everything is listed again.
        with contextlib.suppress(WaiterError):
            ec2.get_waiter("instance_terminated").wait(
                InstanceIds=machines,
                WaiterConfig={"Delay": POLL_SECONDS, "MaxAttempts": int(TIMEOUT / POLL_SECONDS)},
            )
    each("volume", lambda id: ec2.delete_volume(VolumeId=id))
    return failed
