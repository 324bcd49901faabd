"""The account's stack is created, updated, repaired and removed; its roles have least privilege.

moto creates the bucket, the roles and the policy. It does not support a budget and a bucket policy
within a stack: these two are only linted.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from coldstart.cloud.aws._account import TEMPLATE
from coldstart.cloud.aws._stack import Stack
from engine.cloud.aws.conftest import HERE, IMAGE, NAME, OTHERS, Aws, allowed
from engine.support import main

Capture = pytest.CaptureFixture[str]
STACK = f"{NAME}-train"
ACCOUNT = "123456789012"
MACHINE = f"arn:aws:ec2:{HERE}:{ACCOUNT}:instance/i-0123456789abcdef0"


def bootstrap(*arguments: str) -> int:
    return main(["cloud-bootstrap", *arguments])


def stacks(aws: Aws) -> dict[str, str]:
    found = aws.client("cloudformation").describe_stacks()["Stacks"]
    return {one["StackName"]: one["StackStatus"] for one in found}


def outputs() -> dict[str, str]:
    return Stack(STACK).outputs()


def launcher(aws: Aws) -> list[dict[str, Any]]:
    """The actions that the policy of the user who launches allows."""
    iam, arn = aws.client("iam"), outputs()["Launcher"]
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    found = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]
    return list(found["Document"]["Statement"])


def test_the_template_has_nothing_that_cfn_lint_complains_of(aws: Aws) -> None:
    broken = TEMPLATE.with_name("broken.yaml")  # or nothing would show that it looks
    broken.write_text(TEMPLATE.read_text().replace("RoleName", "RoelName"))
    program = Path(sys.executable).with_name("cfn-lint")
    command = [str(program), "-c", "I", "--", str(TEMPLATE), str(broken)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert str(broken) in done.stdout, done.stderr
    assert str(TEMPLATE) not in done.stdout


def test_the_account_is_made_once_and_says_where_its_parts_belong(
    aws: Aws, capsys: Capture
) -> None:
    assert bootstrap() == 2
    assert "EMAIL=me@example.org" in capsys.readouterr().err
    assert stacks(aws) == {}
    assert bootstrap("--email", "me@here.org", "--dollars", "35") == 0
    out = capsys.readouterr().out
    made = outputs()
    assert f"STORE: {made['Store']}" in out
    assert "IMAGE" not in out
    assert f"remote_identity: {NAME}-train" in out
    settings = out.partition("SkyPilot's settings:\n")[2].partition("for each user")[0]
    assert yaml.safe_load(settings)["aws"]["enforce_tags"] == ["volume"]
    assert "me@here.org receives an alert" in out
    assert stacks(aws) == {STACK: "CREATE_COMPLETE"}
    (found,) = aws.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    given = {one["ParameterKey"]: one["ParameterValue"] for one in found["Parameters"]}
    assert given["Budget"] == "35"
    assert bootstrap() == 0  # the address and the sum stay
    assert outputs() == made
    (found,) = aws.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    assert {one["ParameterKey"]: one["ParameterValue"] for one in found["Parameters"]} == given


def test_a_machine_may_end_its_like_and_no_other_and_keep_its_work(aws: Aws) -> None:
    assert bootstrap("--email", "me@here.org") == 0
    may = aws.statements(STACK)
    bucket = outputs()["Store"].removeprefix("s3://").removesuffix("/jobs")
    ours, others = ({"aws:ResourceTag/train-project": name} for name in (NAME, OTHERS))
    for action in ("ec2:TerminateInstances", "ec2:StopInstances"):
        assert allowed(may, action, MACHINE, ours)
        assert not allowed(may, action, MACHINE, others)
        assert not allowed(may, action, MACHINE, {})
    forbidden = ("ec2:RunInstances", "ec2:CreateTags", "iam:PassRole", "sts:AssumeRole", "ecr:*")
    for action in forbidden:
        assert not allowed(may, action, MACHINE, ours)
    assert allowed(may, "s3:PutObject", f"arn:aws:s3:::{bucket}/jobs/1/model.onnx", {})
    assert not allowed(may, "s3:PutObject", f"arn:aws:s3:::{bucket}/other", {})
    assert allowed(may, "s3:GetObject", f"arn:aws:s3:::{bucket}/data/1.parquet", {})
    assert not allowed(may, "s3:PutObject", f"arn:aws:s3:::{bucket}/data/1.parquet", {})
    assert not allowed(may, "s3:GetObject", "arn:aws:s3:::another/jobs/1", {})
    assert not allowed(may, "s3:DeleteBucket", f"arn:aws:s3:::{bucket}", {})


def test_who_launches_may_launch_with_our_tag_and_pass_the_one_role(aws: Aws) -> None:
    assert bootstrap("--email", "me@here.org") == 0
    may = launcher(aws)
    disk = MACHINE.replace("instance/i-", "volume/vol-")
    for made in (MACHINE, disk):
        assert allowed(may, "ec2:RunInstances", made, {"aws:RequestTag/train-project": NAME})
        assert not allowed(may, "ec2:RunInstances", made, {"aws:RequestTag/train-project": OTHERS})
        assert not allowed(may, "ec2:RunInstances", made, {})
        assert allowed(may, "ec2:CreateTags", made, {"ec2:CreateAction": "RunInstances"})
        assert not allowed(may, "ec2:CreateTags", made, {})
    ours, others = ({"aws:ResourceTag/train-project": name} for name in (NAME, OTHERS))
    assert allowed(may, "ec2:TerminateInstances", MACHINE, ours)
    assert not allowed(may, "ec2:TerminateInstances", MACHINE, others)
    to_machine = {"iam:PassedToService": "ec2.amazonaws.com"}
    role = f"arn:aws:iam::{ACCOUNT}:role/{STACK}"
    assert allowed(may, "iam:PassRole", role, to_machine)
    assert not allowed(may, "iam:PassRole", role, {"iam:PassedToService": "lambda.amazonaws.com"})
    assert not allowed(may, "iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/admin", to_machine)
    federated = f"arn:aws:sts::{ACCOUNT}:federated-user/{'0' * 32}"
    assert allowed(may, "sts:GetFederationToken", federated, {})
    assert len(json.dumps({"Version": "2012-10-17", "Statement": may})) < 6144  # AWS' limit


def test_a_stack_that_could_not_be_made_says_why_and_is_made_anew(
    aws: Aws, capsys: Capture
) -> None:
    def event(number: int, part: str, status: str, why: str) -> str:
        told = {"EventId": number, "StackId": 1, "StackName": STACK, "LogicalResourceId": part}
        told |= {"ResourceStatus": status, "ResourceStatusReason": why}
        told["Timestamp"] = "2026-01-01T00:00:00Z"
        return "".join(f"<{key}>{value}</{key}>" for key, value in told.items())

    events = [
        event(5, STACK, "ROLLBACK_COMPLETE", ""),
        event(4, "Launcher", "CREATE_FAILED", "Resource creation cancelled"),
        event(3, "MachineRole", "CREATE_FAILED", f"{STACK} already exists"),
        event(2, "Bucket", "CREATE_COMPLETE", ""),
        event(1, STACK, "CREATE_IN_PROGRESS", "User Initiated"),
        event(0, "Alarm", "CREATE_FAILED", "of an earlier attempt"),
    ]
    members = "".join(f"<member>{one}</member>" for one in events)
    aws.instead["DescribeStackEvents"] = lambda region, asked: (
        f"<R><DescribeStackEventsResult><StackEvents>{members}</StackEvents>"
        "</DescribeStackEventsResult></R>"
    )
    made = b"CREATE_COMPLETE"
    aws.changed["DescribeStacks"] = lambda answer: answer.replace(made, b"ROLLBACK_COMPLETE")
    assert bootstrap("--email", "me@here.org") == 2
    err = capsys.readouterr().err
    assert err == f"error: the stack {STACK} was not created: MachineRole: {STACK} already exists\n"
    until_deleted(aws, b"ROLLBACK_COMPLETE")
    del aws.instead["DescribeStackEvents"]
    assert bootstrap("--email", "me@here.org") == 0
    assert stacks(aws) == {STACK: "CREATE_COMPLETE"}


def until_deleted(aws: Aws, status: bytes) -> None:
    """Let AWS say that the stack is in another state, until it is deleted."""

    def changed(answer: bytes) -> bytes:
        deleted = (HERE, "DeleteStack") in aws.calls
        return answer if deleted else answer.replace(b"CREATE_COMPLETE", status)

    aws.changed["DescribeStacks"] = changed


def test_an_update_that_is_refused_is_told(aws: Aws, capsys: Capture) -> None:
    assert bootstrap("--email", "me@here.org") == 0
    capsys.readouterr()
    aws.fail("UpdateStack", (403, "AccessDenied", "not you"))
    assert bootstrap("--dollars", "7") == 2
    assert "error: AWS: UpdateStack: AccessDenied: not you" in capsys.readouterr().err
    aws.fail("UpdateStack", (400, "ValidationError", "No updates are to be performed."))
    assert bootstrap() == 0
    assert f"{STACK}: up to date" in capsys.readouterr().out


def test_a_stack_of_another_is_left_alone(aws: Aws, capsys: Capture) -> None:
    topic = {"T": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "theirs"}}}
    cloudformation = aws.client("cloudformation")
    cloudformation.create_stack(StackName=STACK, TemplateBody=json.dumps({"Resources": topic}))
    for command in (["cloud-bootstrap", "--email", "me@x.org"], ["cloud-destroy", "--yes"]):
        assert main(command) == 2
        assert "cloud-bootstrap did not create it" in capsys.readouterr().err
    assert len(aws.client("sns").list_topics()["Topics"]) == 1


def test_all_goes_when_it_is_destroyed_and_the_bucket_is_asked_about(
    aws: Aws, capsys: Capture
) -> None:
    assert main(["cloud-destroy"]) == 0
    assert "does not exist" in capsys.readouterr().out
    assert bootstrap("--email", "me@here.org") == 0
    bucket, s3 = outputs()["Store"].split("/")[2], aws.client("s3")
    for number in range(3):
        s3.put_object(Bucket=bucket, Key=f"jobs/{number}", Body=b"x" * 100_000)
    s3.create_multipart_upload(Bucket=bucket, Key="jobs/half")
    assert main(["cloud-destroy"]) == 2
    out, err = capsys.readouterr()
    assert f"3 objects (0.3 MB) in s3://{bucket}" in out
    assert "YES=1" in out
    assert err == "error: nothing was removed\n"
    assert len(s3.list_objects_v2(Bucket=bucket)["Contents"]) == 3
    ec2 = aws.client("ec2")
    tags = [{"Key": "train-project", "Value": NAME}]
    made = ec2.run_instances(
        ImageId=IMAGE,
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )
    assert main(["cloud-destroy", "--yes"]) == 2
    out, err = capsys.readouterr()
    assert made["Instances"][0]["InstanceId"] in out
    assert "make cloud-sweep ALL=1" in err
    assert stacks(aws) == {STACK: "CREATE_COMPLETE"}
    assert main(["cloud-sweep", "--everything", "--yes"]) == 0
    assert main(["cloud-destroy", "--yes"]) == 0
    assert stacks(aws) == {}
    assert s3.list_buckets()["Buckets"] == []
    assert aws.client("iam").list_roles()["Roles"] == []


@pytest.mark.parametrize("status", ["ROLLBACK_COMPLETE", "CREATE_FAILED"])
def test_what_an_attempt_has_left_is_removed_first(aws: Aws, status: str, capsys: Capture) -> None:
    assert bootstrap("--email", "me@here.org") == 0
    first = outputs()["Store"]
    until_deleted(aws, status.encode())
    assert bootstrap("--email", "me@here.org") == 0
    assert "removing what a failed attempt has left" in capsys.readouterr().out
    assert ("eu-central-1", "DeleteStack") in aws.calls
    assert outputs()["Store"] != first
    assert stacks(aws) == {STACK: "CREATE_COMPLETE"}
