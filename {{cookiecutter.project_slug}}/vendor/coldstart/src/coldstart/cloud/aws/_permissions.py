"""Checks of permissions: the machine must be able to end itself, the user to launch it."""

from __future__ import annotations

import time
from typing import Any

from botocore.exceptions import ClientError

from coldstart._aws import client, error_code, ignore_errors
from coldstart._diagnostics import Finding, note, ok, wrong
from coldstart.cloud._job import DEADLINE, JOB, PROJECT
from coldstart.cloud.aws._context import BOOTSTRAP, DENIED, Context

IMAGES = "al2023-ami-2023*-x86_64"  # some image, for a dry run of a launch


def end_itself(context: Context) -> Finding:
    """Check that a machine will have permission to end itself."""
    subject, iam = "end itself", client("iam")
    roles: list[dict[str, Any]] = []
    with ignore_errors("NoSuchEntity"):
        named = iam.get_instance_profile(InstanceProfileName=context.profile)
        roles = named["InstanceProfile"]["Roles"]
    if not roles:
        return wrong(subject, f"no instance profile {context.profile} has a role", BOOTSTRAP)
    role = roles[0]
    terminate = "ec2:TerminateInstances"
    for action, tag in (("ec2:DescribeInstances", ""), (terminate, context.project)):
        decision = simulate(context, iam, role["Arn"], action, tag)
        if decision != "allowed":
            message = f"{role['RoleName']} may not {action} ({decision}): a machine would run on"
            return wrong(subject, message, BOOTSTRAP)
    if simulate(context, iam, role["Arn"], terminate, "") == "allowed":
        message = f"{role['RoleName']} may, but machines of other projects as well"
        return note(subject, message, BOOTSTRAP)
    return ok(subject, f"{role['RoleName']} may end machines of {context.project}, and no others")


def simulate(context: Context, iam: Any, role: str, action: str, tag: str) -> str:
    """Return AWS' decision on an action of a role: ``allowed``, or how it is denied.

    The tag is the project of the machine that it concerns, or an empty string for an untagged one.
    """
    arguments: dict[str, Any] = {"PolicySourceArn": role, "ActionNames": [action]}
    if "Describe" not in action:
        owner = f"arn:{context.partition}:ec2:{context.region}:{context.account}"
        arguments["ResourceArns"] = [f"{owner}:instance/i-0123456789abcdef0"]
    if tag:
        names = [f"{service}:ResourceTag/{PROJECT}" for service in ("aws", "ec2")]
        arguments["ContextEntries"] = [
            {"ContextKeyName": name, "ContextKeyValues": [tag], "ContextKeyType": "string"}
            for name in names
        ]
    result = iam.simulate_principal_policy(**arguments)["EvaluationResults"][0]
    return str(result["EvalDecision"])


def launch(context: Context) -> Finding:
    """Check by a dry run that you may launch a machine with the project's labels and role."""
    ec2 = client("ec2", context.region)
    named = [{"Name": "name", "Values": [IMAGES]}]
    images = ec2.describe_images(Owners=["amazon"], Filters=named)["Images"]
    if not images:
        return note("launch", "not tried: no image was found to try it with")
    labels = {PROJECT: context.project, JOB: "0" * 32, DEADLINE: str(int(time.time()))}
    tags = [{"Key": key, "Value": value} for key, value in labels.items()]
    arguments: dict[str, Any] = {"ImageId": images[-1]["ImageId"], "MinCount": 1, "MaxCount": 1}
    arguments["InstanceType"] = context.gpu_type or "t3.micro"
    arguments["IamInstanceProfile"] = {"Name": context.profile}
    arguments["TagSpecifications"] = [
        {"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")
    ]
    if context.spot:
        arguments["InstanceMarketOptions"] = {"MarketType": "spot"}
    try:
        ec2.run_instances(**arguments, DryRun=True)
    except ClientError as error:
        if error_code(error) in DENIED:
            message = "you may not launch a machine with the project's labels and role"
            return wrong("launch", message, context.attach_launcher())
        if error_code(error) != "DryRunOperation":
            message = " ".join(str(error.response["Error"].get("Message", "")).split())
            return wrong("launch", f"{error_code(error)}: {message}", BOOTSTRAP)
    return ok("launch", "you may launch machines with the project's labels and role")
