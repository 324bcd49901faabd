"""The sweep ends what is ours and past its deadline, in every region, and touches nothing else."""

from __future__ import annotations

import time
from typing import Any

import boto3
import pytest

from coldstart.cloud.aws._inventory import Resource
from engine.cloud.aws.conftest import ELSEWHERE, HERE, IMAGE, NAME, OTHERS, THERE, Aws
from engine.support import main

Capture = pytest.CaptureFixture[str]
JOB = "0123456789abcdef" * 2
HOUR = 3600
ALIVE = ("pending", "running", "stopping", "stopped")


def sweep(*arguments: str) -> int:
    return main(["cloud-sweep", *arguments])


def tags(project: str | None, left: float | None) -> list[dict[str, str]]:
    """The tags of a project's job with so many seconds to go."""
    given = {"Name": "sky-head"}
    if project:
        given |= {"train-project": project, "train-job": JOB}
    if left is not None:
        given["train-deadline"] = str(int(time.time() + left))
    return [{"Key": key, "Value": value} for key, value in given.items()]


def launch(
    aws: Aws,
    region: str = HERE,
    project: str | None = NAME,
    left: float | None = -HOUR,
    disk_stays: bool = False,
    **more: Any,
) -> str:
    """A machine as SkyPilot makes it: it and its disk have the tags, and nothing else has."""
    ec2 = aws.client("ec2", region)
    disk = {"VolumeSize": 50, "VolumeType": "gp3", "DeleteOnTermination": not disk_stays}
    given = tags(project, left)
    made = ec2.run_instances(
        ImageId=IMAGE,
        InstanceType="g6.xlarge",
        MinCount=1,
        MaxCount=1,
        BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": disk}],
        TagSpecifications=[
            {"ResourceType": kind, "Tags": given} for kind in ("instance", "volume")
        ],
        **more,
    )
    return str(made["Instances"][0]["InstanceId"])


def alive(aws: Aws, region: str = HERE) -> set[str]:
    groups = aws.client("ec2", region).describe_instances()["Reservations"]
    found = [one for group in groups for one in group["Instances"]]
    return {one["InstanceId"] for one in found if one["State"]["Name"] in ALIVE}


def disks(aws: Aws, region: str = HERE) -> set[str]:
    return {one["VolumeId"] for one in aws.client("ec2", region).describe_volumes()["Volumes"]}


def volume(aws: Aws, project: str | None = NAME, left: float | None = -HOUR) -> str:
    spec = [{"ResourceType": "volume", "Tags": tags(project, left)}]
    made = aws.client("ec2").create_volume(
        AvailabilityZone=f"{HERE}a", Size=8, TagSpecifications=spec
    )
    return str(made["VolumeId"])


def test_what_is_past_is_ended_in_every_region_and_what_is_not_ours_is_never_touched(
    aws: Aws, capsys: Capture
) -> None:
    past = {region: launch(aws, region) for region in (HERE, THERE, ELSEWHERE)}
    stopped = launch(aws)
    aws.client("ec2").stop_instances(InstanceIds=[stopped])
    stays = {
        launch(aws, left=HOUR),  # not past
        launch(aws, project=OTHERS),
        launch(aws, project=None),
        launch(aws, project=NAME.upper()),
        launch(aws, project=f"{NAME}-2"),
    }
    kept_disk, plain_disk, gone_disk = volume(aws, OTHERS), volume(aws, None), volume(aws)
    before = alive(aws), disks(aws)
    assert sweep() == 1  # nobody is here to ask
    assert sweep("--dry-run") == 1
    out = capsys.readouterr().out
    assert (alive(aws), disks(aws)) == before
    (line,) = {line for line in out.splitlines() if past[THERE] in line}
    for part in (THERE, "running", "g6.xlarge", JOB, "60 min past its deadline"):
        assert part in line
    assert "YES=1 confirms" in out
    assert OTHERS not in out
    assert sum(kept in out for kept in stays) == 1
    assert sweep("--yes") == 0
    out = capsys.readouterr().out
    assert f"instance {past[HERE]}: ended" in out
    assert alive(aws) == stays
    assert alive(aws, THERE) == alive(aws, ELSEWHERE) == set()
    assert {kept_disk, plain_disk} <= disks(aws)
    assert gone_disk not in disks(aws)
    assert len(disks(aws)) == len(stays) + 2
    assert sweep("--yes") == 0
    assert "nothing to end" in capsys.readouterr().out
    assert sweep("--yes", "--everything") == 0
    assert len(alive(aws)) == len(stays) - 1
    assert sweep("--yes", "--everything", "--project-name", OTHERS) == 0
    assert len(alive(aws)) == len(stays) - 2


def test_a_minute_before_its_deadline_a_machine_stays_and_a_minute_after_it_ends(
    aws: Aws, capsys: Capture
) -> None:
    before, after = launch(aws, left=60), launch(aws, left=-60)
    assert sweep("--yes") == 0
    assert f"instance {after}: ended" in capsys.readouterr().out
    assert alive(aws) == {before}


@pytest.mark.parametrize(
    ("since", "deadline", "overdue"),
    [
        (900.0, 950.0, 50),
        (900.0, 1060.0, -60),
        (900.0, 0.0, 1000),
        (900.0, None, 100 - 24 * HOUR),
        (0.0, None, 1000 - 24 * HOUR),
    ],
)
def test_overdue_counts_from_the_deadline_or_a_day(
    since: float, deadline: float | None, overdue: float
) -> None:
    one = Resource(HERE, "instance", "i-1", "g6.xlarge", "running", since, deadline, JOB)
    assert one.overdue(1000.0) == overdue


def test_a_disk_that_stays_when_its_machine_goes_is_deleted_too(aws: Aws) -> None:
    launch(aws, disk_stays=True)
    assert len(disks(aws)) == 1
    assert sweep("--yes") == 0
    assert disks(aws) == set()


def test_without_a_deadline_a_machine_has_a_day(aws: Aws, capsys: Capture) -> None:
    young, garbled = launch(aws, left=None), launch(aws, left=None)
    aws.client("ec2").create_tags(
        Resources=[garbled], Tags=[{"Key": "train-deadline", "Value": "tomorrow"}]
    )
    assert sweep("--yes") == 0
    assert "(none is set: a day)" in capsys.readouterr().out
    assert alive(aws) == {young, garbled}
    old = time.time() - 25 * HOUR
    stamp = time.strftime("%Y-%m-%dT%H", time.gmtime()).encode()
    aged = time.strftime("%Y-%m-%dT%H", time.gmtime(old)).encode()
    aws.changed["DescribeInstances"] = lambda answer: answer.replace(
        b"<launchTime>" + stamp, b"<launchTime>" + aged
    )
    assert sweep("--yes") == 0
    assert alive(aws) == set()


def test_a_region_that_fails_keeps_no_other_from_being_swept(aws: Aws, capsys: Capture) -> None:
    here, there = launch(aws), launch(aws, THERE)
    aws.fail("DescribeInstances", (403, "UnauthorizedOperation", "not there"), THERE)
    assert sweep("--yes") == 1
    out = capsys.readouterr().out
    assert f"{THERE}: could not be asked: AWS: DescribeInstances: UnauthorizedOperation" in out
    assert alive(aws) == set()
    assert alive(aws, THERE) == {there}
    assert sweep("--yes") == 1  # it is not forgotten
    assert here not in alive(aws)


def test_a_throttle_is_waited_out(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    launch(aws)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    busy = (503, "RequestLimitExceeded", "slower")
    for action in ("DescribeInstances", "TerminateInstances"):
        aws.fail(action, busy, times=3)
    assert sweep("--yes") == 0
    assert alive(aws) == set()
    assert [action for _, action in aws.calls].count("TerminateInstances") == 4


def test_a_protected_machine_is_told_with_what_lifts_it_and_keeps_no_other(
    aws: Aws, capsys: Capture
) -> None:
    kept, gone = launch(aws), launch(aws)
    aws.client("ec2").modify_instance_attribute(
        InstanceId=kept, DisableApiTermination={"Value": True}
    )
    assert sweep("--yes") == 1
    out = capsys.readouterr().out
    assert f"{kept}: not ended: AWS: TerminateInstances: OperationNotPermitted: " in out
    assert "Modify its 'disableApiTermination' instance attribute" in out
    assert f"{gone}: ended" in out
    assert alive(aws) == {kept}


def test_a_machine_that_is_gone_meanwhile_counts_as_ended(aws: Aws, capsys: Capture) -> None:
    gone = launch(aws)
    aws.fail("TerminateInstances", (400, "InvalidInstanceID.NotFound", "no such"), times=1)
    real = aws.client("ec2")

    def ended(answer: bytes) -> bytes:
        if (HERE, "TerminateInstances") in aws.calls and gone in alive(aws):
            real.terminate_instances(InstanceIds=[gone])
        return answer

    aws.changed["DescribeInstances"] = ended
    assert sweep("--yes") == 0
    assert f"{gone}: ended" in capsys.readouterr().out


def test_what_is_ours_by_its_tag_but_used_by_others_is_left_alone(
    aws: Aws, capsys: Capture
) -> None:
    others, ec2 = launch(aws, project=OTHERS), aws.client("ec2")
    disk = volume(aws)
    zone = ec2.describe_instances(InstanceIds=[others])["Reservations"][0]["Instances"][0]
    assert zone["Placement"]["AvailabilityZone"].startswith(HERE)
    ec2.attach_volume(VolumeId=disk, InstanceId=others, Device="/dev/sdf")
    assert sweep("--yes") == 1
    out = capsys.readouterr().out
    assert f"volume {disk}: not ended: AWS: DeleteVolume: VolumeInUse" in out
    assert disk in disks(aws)
    assert alive(aws) == {others}


def test_a_machine_that_does_not_end_is_not_called_ended(aws: Aws, capsys: Capture) -> None:
    stuck = launch(aws)
    empty = "<TerminateInstancesResponse><instancesSet/></TerminateInstancesResponse>"
    aws.instead["TerminateInstances"] = lambda region, asked: empty
    assert sweep("--yes") == 1
    assert f"{stuck}: not ended: it is still running" in capsys.readouterr().out


def test_it_needs_credentials_and_nothing_else(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    launch(aws, THERE)
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("PATH", "/nowhere")
    boto3.setup_default_session()
    assert sweep("--yes") == 0
    assert alive(aws, THERE) == set()
    capsys.readouterr()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    boto3.setup_default_session()
    assert sweep("--yes") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "error: no credentials for AWS: run aws configure, or set AWS_PROFILE"
