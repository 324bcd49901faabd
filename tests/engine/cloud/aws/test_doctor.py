"""The preflight: each problem is caused, reported in a line, and printed with its fix."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest
import yaml

from coldstart.cloud.aws._stack import Stack
from engine.cloud.aws.conftest import HERE, NAME, Aws
from engine.support import main

Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch
PROFILE = f"{NAME}-train"
G_DEMAND, G_SPOT, STANDARD = "L-DB2E81BA", "L-3819A6DF", "L-1216C47A"
P_DEMAND, P5_SPOT = "L-417A185B", "L-C4BD4855"
DRY = (412, "DryRunOperation", "Request would have succeeded, but DryRun flag is set.")


@dataclasses.dataclass
class Lines:
    """What was printed of AWS, by what it is about; of a subject that comes twice the last."""

    code: int
    said: dict[str, str]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: Patch) -> Path:
    """Make a machine, and a folder of it for programs, on which nothing is amiss."""
    Path("pyproject.toml").write_text(
        f'[project]\nname = "{NAME}"\nrequires-python = ">=3"\ndependencies = []\n'
        "optional-dependencies = { train = [], dev = [] }\n"
    )
    Path("constraints.txt").touch()
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("docker", "rsync", "ssh"):
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setattr("coldstart.cloud._gpu.PCI", tmp_path / "no-devices")
    monkeypatch.setenv("HOME", str(tmp_path))
    return programs


@pytest.fixture
def sound(aws: Aws, machine: Path, capsys: Capture) -> Callable[..., Lines]:
    """`sound(*arguments)`: what doctor says of an account in which nothing is amiss."""
    assert main(["cloud-bootstrap", "--email", "me@here.org"]) == 0
    made = Stack(PROFILE).outputs()
    envs = {"STORE": made["Store"]}
    Path("infra/train.sky.yaml").write_text(yaml.safe_dump({"envs": envs}))
    aws.quotas = {G_DEMAND: 8.0, G_SPOT: 4.0, P_DEMAND: 0.0, P5_SPOT: 0.0, STANDARD: 32.0}
    ec2 = aws.client("ec2")
    (vpc,) = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc["VpcId"])
    (table,) = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])[
        "RouteTables"
    ]
    ec2.create_route(
        RouteTableId=table["RouteTableId"], GatewayId=gateway, DestinationCidrBlock="0.0.0.0/0"
    )

    def ask(*arguments: str, on: str = "aws") -> Lines:
        capsys.readouterr()
        code = main(["doctor", "--on", on, *arguments])
        printed = capsys.readouterr().out.replace("\n       ", "; ")
        lines = printed[printed.index("programs: ") - len("wrong  ") :].splitlines()
        said = {}
        for line in lines:
            state, _, rest = line.partition(" ")
            subject, _, text = rest.strip().partition(": ")
            said[subject] = f"{state} {text}"
        return Lines(code, said)

    return ask


Sound = Callable[..., Lines]


def test_an_account_in_which_nothing_is_amiss_is_all_ok(
    aws: Aws, sound: Sound, monkeypatch: Patch
) -> None:
    found = sound("--gpu", "L4:1")
    wrong = {about: text for about, text in found.said.items() if not text.startswith("ok")}
    assert (found.code, wrong) == (0, {})
    assert list(found.said) == [
        *("programs", "region", "clock", "credentials", "network"),
        *("quota", "store", "end itself", "launch"),
    ]
    assert "8 vCPUs on demand, 4 are needed for g6.xlarge with 1 L4" in found.said["quota"]
    assert f"may end machines of {NAME}, and no others" in found.said["end itself"]
    left = aws.client("ec2").describe_instances()["Reservations"]
    assert left == []  # a dry run is one
    bucket = Stack(PROFILE).outputs()["Store"].split("/")[2]
    assert "Contents" not in aws.client("s3").list_objects_v2(Bucket=bucket)


def test_a_machine_that_could_not_end_itself_is_refused(aws: Aws, sound: Sound) -> None:
    iam = aws.client("iam")

    def found() -> str:
        said = sound()
        assert said.code == 1
        return said.said["end itself"]

    iam.delete_role_policy(RoleName=PROFILE, PolicyName="machine")
    assert "may not ec2:DescribeInstances (implicitDeny): a machine would run on" in found()
    put(aws, "ec2:Describe*")
    assert "may not ec2:TerminateInstances (implicitDeny): a machine would run on" in found()
    assert found().endswith("; make cloud-bootstrap EMAIL=me@example.org")
    put(aws, "ec2:*")
    assert "machines of other projects as well" in sound().said["end itself"]
    assert sound().code == 0
    iam.remove_role_from_instance_profile(InstanceProfileName=PROFILE, RoleName=PROFILE)
    assert f"no instance profile {PROFILE} has a role" in found()
    iam.delete_instance_profile(InstanceProfileName=PROFILE)
    assert f"no instance profile {PROFILE} has a role" in found()


def put(aws: Aws, action: str) -> None:
    """Let the machine's role do something with everything."""
    may = {"Effect": "Allow", "Action": [action], "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [may]})
    aws.client("iam").put_role_policy(RoleName=PROFILE, PolicyName="machine", PolicyDocument=policy)


@pytest.mark.parametrize(("off", "said"), [(-400, "ahead of"), (400, "behind")])
def test_a_clock_that_is_off_is_wrong_also_where_aws_refuses_it(
    aws: Aws, sound: Sound, off: int, said: str
) -> None:
    aws.off = off
    found = sound()
    assert found.code == 1
    assert f"s {said} AWS'; sudo timedatectl" in found.said["clock"]
    aws.fail("GetCallerIdentity", (403, "RequestExpired", "too late"))
    found = sound()
    assert f"s {said} AWS'" in found.said["clock"]
    assert "RequestExpired: too late" in found.said["credentials"]
    assert "network" not in found.said  # nothing after it can be looked at


def test_missing_credentials_and_region_end_the_examination(
    aws: Aws, sound: Sound, monkeypatch: Patch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    boto3.setup_default_session()
    found = sound()
    assert found.code == 1
    assert list(found.said)[-1] == "credentials"
    assert "there are none; aws configure" in found.said["credentials"]
    assert found.said["clock"].startswith("note not compared")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    boto3.setup_default_session()
    found = sound()
    assert list(found.said)[-1] == "region"
    assert "none is set; aws configure, or set AWS_DEFAULT_REGION" in found.said["region"]


def test_the_quota_is_that_of_the_smallest_machine_with_the_gpu(aws: Aws, sound: Sound) -> None:
    for asked, state, part in (
        ("--gpu L4:1 --nodes 2", "ok", "8 are needed"),
        (
            "--gpu L4:1 --nodes 3",
            "wrong",
            f"quota-code {G_DEMAND} --desired-value 12",
        ),
        ("--gpu A10G", "ok", "4 are needed for g5.xlarge"),
        ("--gpu L4:1 --spot", "ok", "4 vCPUs on spot, 4 are needed"),
        ("--gpu A100-80GB:8", "wrong", "p4de.24xlarge with 8 A100-80GB needs 96 vCPUs on demand"),
        ("--gpu H100:8 --spot", "wrong", f"quota-code {P5_SPOT} --desired-value 192"),
        ("--gpu RTX9090:1", "wrong", f"{HERE} has no machine with 1 RTX9090; another region"),
        ("", "ok", "32 vCPUs on demand, 4 are needed for machines without a GPU"),
        ("--spot", "ok", "5 vCPUs on spot, 4 are needed"),  # what AWS gives everybody
    ):
        found = sound(*asked.split()).said["quota"]
        assert (found.split()[0], part in found) == (state, True), found


def test_what_is_not_said_is_read_from_the_file_of_the_plan(aws: Aws, sound: Sound) -> None:
    file = Path("infra/train.sky.yaml")
    task = yaml.safe_load(file.read_text())
    several = {"H100": 8, "L4": 1}
    for accelerators, spot, arguments, part in (
        ("L4:1", False, "", "ok 8 vCPUs on demand, 4 are needed for g6.xlarge with 1 L4"),
        ("L4:1", True, "", "ok 4 vCPUs on spot, 4 are needed"),
        ("L4:1", True, "--no-spot", "ok 8 vCPUs on demand"),
        (several, True, "", "ok 4 vCPUs on spot, 4 are needed for g6.xlarge with 1 L4"),
        (several, True, "--nodes 2", "wrong p5.48xlarge with 8 H100 needs 384 vCPUs on spot"),
        (several, True, "--gpu none", "ok 5 vCPUs on spot, 4 are needed for machines without"),
    ):
        resources = {"accelerators": accelerators, "use_spot": spot}
        file.write_text(yaml.safe_dump(task | {"resources": resources}))
        assert part in sound(*arguments.split()).said["quota"]


def test_a_program_that_skypilot_starts_is_missed_before_anything_costs(
    sound: Sound, machine: Path
) -> None:
    (machine / "rsync").unlink()
    found = sound()
    assert found.said["programs"] == (
        "wrong SkyPilot needs rsync; on Debian and Ubuntu: apt install rsync"
    )
    assert found.code == 1


def test_the_store_must_exist_in_the_machines_region(
    aws: Aws, sound: Sound, monkeypatch: Patch
) -> None:
    file = Path("infra/train.sky.yaml")
    envs = yaml.safe_load(file.read_text())["envs"]
    aws.client("s3", "us-west-2").create_bucket(
        Bucket="far", CreateBucketConfiguration={"LocationConstraint": "us-west-2"}
    )

    def said(about: str, on: str = "aws", **changed: str) -> str:
        file.write_text(yaml.safe_dump({"envs": envs | changed}))
        return sound(on=on).said[about]

    assert said("store", STORE="").startswith("wrong infra/train.sky.yaml names no STORE; make cl")
    assert "'gs://x' is not a valid s3://bucket/prefix" in said("store", STORE="gs://x")
    assert "there is no bucket nowhere; make cloud-bootstrap" in said("store", STORE="s3://nowhere")
    assert said("region", STORE="s3://far/jobs") == "ok us-west-2 is enabled"
    assert said("store", STORE="s3://far/jobs").startswith("ok s3://far/jobs")
    here = said("store", on=f"aws/{HERE}", STORE="s3://far/jobs")
    assert f"wrong far is in us-west-2, machines would be in {HERE}" in here
    assert here.endswith(f"; ON=aws, or a bucket in {HERE} in infra/train.sky.yaml")
    aws.fail("PUT", (403, "AccessDenied", "no"))
    assert "cannot be written to (AccessDenied); let an administrator attach" in said("store")
    aws.calls.clear()
    aws.fail("HEAD", (403, "AccessDenied", "no"))
    assert "cannot be written to (AccessDenied)" in said("store")
    assert [action for _, action in aws.calls].count("HEAD") == 1
    file.write_text("- no task")
    assert main(["doctor", "--on", "aws"]) == 2


def test_a_network_must_exist_with_a_route_to_the_internet(aws: Aws, sound: Sound) -> None:
    ec2 = aws.client("ec2")
    (vpc,) = ec2.describe_vpcs()["Vpcs"]
    (table,) = ec2.describe_route_tables()["RouteTables"]
    ec2.delete_route(RouteTableId=table["RouteTableId"], DestinationCidrBlock="0.0.0.0/0")
    assert "has a route to an internet gateway; https://" in sound().said["network"]
    own = ec2.create_route_table(VpcId=vpc["VpcId"])["RouteTable"]["RouteTableId"]
    (gateway,) = ec2.describe_internet_gateways()["InternetGateways"]
    ec2.create_route(
        RouteTableId=own,
        GatewayId=gateway["InternetGatewayId"],
        DestinationCidrBlock="0.0.0.0/0",
    )
    subnet = ec2.describe_subnets()["Subnets"][0]
    ec2.associate_route_table(RouteTableId=own, SubnetId=subnet["SubnetId"])
    found = sound().said["network"]
    assert found == f"ok {vpc['VpcId']} is public in {subnet['AvailabilityZone']}"
    empty = "<R><vpcSet/></R>"
    aws.instead["DescribeVpcs"] = lambda region, asked: empty
    assert "has no default VPC; aws ec2 create-default-vpc" in sound().said["network"]
    aws.fail("DescribeVpcs", (403, "UnauthorizedOperation", "no"))
    refused = "wrong DescribeVpcs is refused to you; let an administrator attach"
    assert sound().said["network"].startswith(refused)


def test_missing_permission_to_launch_is_reported(aws: Aws, sound: Sound) -> None:
    assert sound().said["launch"].startswith("ok")
    aws.fail("RunInstances", (403, "UnauthorizedOperation", "You are not authorized"))
    found = sound()
    assert found.code == 1
    policy = f"arn:aws:iam::123456789012:policy/{PROFILE}-launcher"
    assert (
        f"with the project's labels and role; let an administrator attach {policy}"
        in found.said["launch"]
    )
    aws.fail("RunInstances", (400, "InvalidParameterValue", "Invalid IAM Instance Profile name"))
    assert "InvalidParameterValue: Invalid IAM Instance Profile" in sound().said["launch"]


def test_a_region_must_exist_and_be_enabled(aws: Aws, sound: Sound) -> None:
    aws.changed["DescribeRegions"] = lambda answer: answer.replace(HERE.encode(), b"mars-1")
    assert f"there is no region {HERE}" in sound().said["region"]
    item = f"<item><regionName>{HERE}</regionName><optInStatus>not-opted-in</optInStatus></item>"
    aws.changed["DescribeRegions"] = lambda answer: (
        f"<R><regionInfo>{item}</regionInfo></R>".encode()
    )
    assert f"{HERE} is not enabled; aws account enable-region" in sound().said["region"]


def test_docker_is_not_needed_to_train_on_aws(aws: Aws, sound: Sound, machine: Path) -> None:
    (machine / "docker").write_text("#!/bin/sh\necho cannot connect >&2; exit 1\n")
    assert sound().code == 0


def test_without_on_aws_is_not_asked(aws: Aws, machine: Path, capsys: Capture) -> None:
    assert main(["doctor"]) == 0
    assert "region" not in capsys.readouterr().out
    assert aws.calls == []
