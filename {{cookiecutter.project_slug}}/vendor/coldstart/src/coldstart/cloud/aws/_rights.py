"""Checks of who may do what: the machine must be allowed to end itself, the person to launch it."""

from __future__ import annotations

import time
from typing import Any

from botocore.exceptions import ClientError

from coldstart._diagnostics import Finding, note, ok, wrong
from coldstart.cloud._labels import DEADLINE, JOB, PROJECT
from coldstart.cloud.aws._calls import client, code
from coldstart.cloud.aws._context import BOOTSTRAP, DENIED, Context

SPOT = "AWSServiceRoleForEC2Spot"
IMAGES = "al2023-ami-2023*-x86_64"  # any image will do to ask whether a launch is allowed


def end_itself(here: Context) -> Finding:
    """Whether a machine will be allowed to end itself, however all else fails."""
    about, iam = "end itself", client("iam")
    try:
        profile = iam.get_instance_profile(InstanceProfileName=here.profile)["InstanceProfile"]
    except ClientError as error:
        if code(error) != "NoSuchEntity":
            raise
        return wrong(about, f"there is no instance profile {here.profile}", BOOTSTRAP)
    if not profile["Roles"]:
        return wrong(about, f"the instance profile {here.profile} has no role", BOOTSTRAP)
    role = profile["Roles"][0]
    for action, of in (("ec2:DescribeInstances", ""), ("ec2:TerminateInstances", here.name)):
        decision = simulate(here, iam, role["Arn"], action, of)
        if decision != "allowed":
            said = f"{role['RoleName']} may not {action} ({decision}): a machine would run on"
            return wrong(about, said, BOOTSTRAP)
    if simulate(here, iam, role["Arn"], "ec2:TerminateInstances", "") == "allowed":
        said = f"{role['RoleName']} may, but other people's machines as well"
        return note(about, said, BOOTSTRAP)
    return ok(about, f"{role['RoleName']} may end machines of {here.name}, and no others")


def simulate(here: Context, iam: Any, role: str, action: str, of: str) -> str:
    """What AWS would decide if a role did something, with a machine of a project or of none."""
    asked: dict[str, Any] = {"PolicySourceArn": role, "ActionNames": [action]}
    if "Describe" not in action:
        some = f"arn:{here.partition}:ec2:{here.region}:{here.account}:instance/i-0123456789abcdef0"
        asked["ResourceArns"] = [some]
    if of:
        names = [f"{service}:ResourceTag/{PROJECT}" for service in ("aws", "ec2")]
        asked["ContextEntries"] = [
            {"ContextKeyName": name, "ContextKeyValues": [of], "ContextKeyType": "string"}
            for name in names
        ]
    answer = iam.simulate_principal_policy(**asked)["EvaluationResults"][0]
    return str(answer["EvalDecision"])


def spot_role(here: Context) -> Finding:
    """Whether AWS' own role for spot machines is there; without it the first one may fail."""
    about = "spot"
    try:
        client("iam").get_role(RoleName=SPOT)
    except ClientError as error:
        if code(error) != "NoSuchEntity":
            raise
        mend = "aws iam create-service-linked-role --aws-service-name spot.amazonaws.com"
        return wrong(about, f"the account has no role {SPOT}", mend)
    return ok(about, f"the role {SPOT} is there")


def launch(here: Context) -> Finding:
    """Whether this person may launch a machine with our labels and that role: a dry run."""
    about, ec2 = "launch", client("ec2")
    named = [{"Name": "name", "Values": [IMAGES]}]
    images = ec2.describe_images(Owners=["amazon"], Filters=named)["Images"]
    if not images:
        return note(about, "not tried: no image was found to try it with")
    labels = {PROJECT: here.name, JOB: "0" * 32, DEADLINE: str(int(time.time()))}
    tags = [{"Key": key, "Value": value} for key, value in labels.items()]
    asked: dict[str, Any] = {"ImageId": images[-1]["ImageId"], "MinCount": 1, "MaxCount": 1}
    asked["InstanceType"] = here.gpu_type or "t3.micro"
    asked["IamInstanceProfile"] = {"Name": here.profile}
    asked["TagSpecifications"] = [
        {"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")
    ]
    if here.asked.spot:
        asked["InstanceMarketOptions"] = {"MarketType": "spot"}
    try:
        ec2.run_instances(**asked, DryRun=True)
    except ClientError as error:
        if code(error) in DENIED:
            said = "you may not launch a machine with our labels and its role"
            return wrong(about, said, here.launcher())
        if code(error) != "DryRunOperation":
            said = " ".join(str(error.response["Error"].get("Message", "")).split())
            return wrong(about, f"{code(error)}: {said}", BOOTSTRAP)
    return ok(about, "you may launch machines with our labels and their role")
