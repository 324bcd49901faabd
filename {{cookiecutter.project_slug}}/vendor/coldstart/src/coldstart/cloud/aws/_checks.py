"""Diagnostics of AWS: each function checks one thing, and names what fixes it."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial, wraps
from typing import Any
from uuid import uuid4

import boto3
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from coldstart._aws import client, error_code, explain_error
from coldstart._diagnostics import Finding, check_clock, note, ok, wrong
from coldstart._provenance import project_name
from coldstart.cloud._request import LaunchRequest
from coldstart.cloud.aws._bucket import bucket_region
from coldstart.cloud.aws._context import BOOTSTRAP, DENIED, Context
from coldstart.cloud.aws._permissions import end_itself, launch
from coldstart.cloud.aws._quota import quota
from coldstart.cloud.skypilot import _task as tasks

Check = Callable[[Context], Finding]


def aws_checks(request: LaunchRequest) -> list[Callable[[], Finding]]:
    """Return the checks of AWS, in the order in which one needs the result of another.

    What the request leaves open, infra/train.sky.yaml says.

    Raises
    ------
    UserError
        If the file is not a SkyPilot task.
    """
    task = tasks.apply_request(tasks.read_task(dry_run=True), request)
    context = Context(
        project=project_name(),
        store=task["envs"]["STORE"],
        gpus=tasks.gpu_choices(task["resources"]),
        spot=bool(task["resources"].get("use_spot")),
        nodes=request.nodes,
        region=request.on.partition("/")[2].partition("/")[0],
    )
    checks: list[Check] = [
        *(programs, region, clock, identity, region_enabled),
        *(network, quota, store, end_itself, launch),
    ]
    return [partial(report_refusals(check), context) for check in checks]


def report_refusals(check: Check) -> Check:
    """Return a check for which an error of AWS is a finding, too."""

    @wraps(check)
    def guarded(context: Context) -> Finding:
        subject = check.__name__.replace("_", " ")
        try:
            return check(context)
        except ClientError as error:
            if error_code(error) in DENIED:
                message = f"{error.operation_name} is refused to you"
                return wrong(subject, message, context.attach_launcher())
            return wrong(subject, explain_error(error), "run this again")
        except BotoCoreError as error:
            return wrong(subject, explain_error(error), "see whether the network is up")

    return guarded


def programs(context: Context) -> Finding:
    """Check that this computer has the programs that SkyPilot starts."""
    if missing := tasks.missing_programs():
        hint = f"on Debian and Ubuntu: apt install {' '.join(missing)}"
        return wrong("programs", f"SkyPilot needs {' and '.join(missing)}", hint)
    return ok("programs", f"{' and '.join(tasks.PROGRAMS)} are here")


def region(context: Context) -> Finding:
    """Find the region of the machines: the one of ON=, the bucket's, or the AWS settings'."""
    configured = boto3.Session().region_name
    if not configured:
        hint = "aws configure, or set AWS_DEFAULT_REGION"
        return Finding("region", "wrong", "none is set", hint, last=True)
    context.bucket_region = bucket_region(context.store)
    if context.region:
        return ok("region", f"{context.region}, as ON= says")
    if context.bucket_region:
        context.region = context.bucket_region
        return ok("region", f"{context.region}, where the bucket is")
    context.region = configured
    return ok("region", configured)


def clock(context: Context) -> Finding:
    """Compare the clock with that of AWS: a deadline is a time on both."""
    try:
        headers = client("sts").get_caller_identity()["ResponseMetadata"]["HTTPHeaders"]
    except NoCredentialsError:
        return note("clock", "not compared: there are no credentials")
    except ClientError as error:  # a clock that is far off is refused, with the right time
        headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    if "date" not in headers:
        return note("clock", "not compared: the response of AWS holds no time")
    return check_clock(headers["date"], "AWS'")


def identity(context: Context) -> Finding:
    """Check that AWS accepts the credentials."""
    try:
        caller = client("sts").get_caller_identity()
    except (ClientError, BotoCoreError) as error:
        hint = "aws configure, aws sso login, or set AWS_PROFILE"
        missing = isinstance(error, NoCredentialsError)
        message = "there are none" if missing else explain_error(error)
        return Finding("credentials", "wrong", message, hint, last=True)
    context.account, context.partition = caller["Account"], caller["Arn"].split(":")[1]
    if caller["Arn"].endswith(":root"):
        return note("credentials", f"account {context.account}, as root", "an IAM user is safer")
    return ok("credentials", f"account {context.account}, {caller['Arn'].rpartition(':')[2]}")


def region_enabled(context: Context) -> Finding:
    """Check that the region is enabled in the account."""
    found = client("ec2", context.region).describe_regions(AllRegions=True)["Regions"]
    states = {one["RegionName"]: one.get("OptInStatus") for one in found}
    if context.region not in states:
        return wrong("region", f"there is no region {context.region}", "aws configure")
    if states[context.region] == "not-opted-in":
        hint = f"aws account enable-region --region-name {context.region}"
        return wrong("region", f"{context.region} is not enabled", hint)
    return ok("region", f"{context.region} is enabled")


def network(context: Context) -> Finding:
    """Check the network that SkyPilot uses: the default VPC, with a route to the internet."""
    ec2 = client("ec2", context.region)
    default = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    if not default:
        hint = f"aws ec2 create-default-vpc --region {context.region}"
        return wrong("network", f"{context.region} has no default VPC", hint)
    within = [{"Name": "vpc-id", "Values": [default[0]["VpcId"]]}]
    subnets = ec2.describe_subnets(Filters=within)["Subnets"]
    tables = ec2.describe_route_tables(Filters=within)["RouteTables"]
    public = [one for one in subnets if is_public(one["SubnetId"], tables)]
    if not public:
        message = f"no subnet of {default[0]['VpcId']} has a route to an internet gateway"
        hint = "https://docs.aws.amazon.com/vpc/latest/userguide/VPC_Internet_Gateway.html"
        return wrong("network", message, hint)
    zones = sorted({one["AvailabilityZone"] for one in public})
    return ok("network", f"{default[0]['VpcId']} is public in {', '.join(zones)}")


def is_public(subnet: str, tables: list[dict[str, Any]]) -> bool:
    """Return whether a subnet's route table, or else the main one, has an internet gateway."""

    def is_associated(table: dict[str, Any], key: str, value: Any) -> bool:
        return any(one.get(key) == value for one in table.get("Associations", ()))

    used = [one for one in tables if is_associated(one, "SubnetId", subnet)]
    used = used or [one for one in tables if is_associated(one, "Main", True)]
    routes = [route for table in used for route in table.get("Routes", ())]
    return any(str(route.get("GatewayId", "")).startswith("igw-") for route in routes)


def store(context: Context) -> Finding:
    """Check that the bucket exists, is in the machines' region, and can be written to."""
    if not context.store:
        return wrong("store", f"{tasks.FILE} names no STORE", f"{BOOTSTRAP} creates and prints one")
    found = re.fullmatch(r"s3://([^/]+)/?(.*)", context.store)
    if not found:
        message = f"STORE: {context.store!r} is not a valid s3://bucket/prefix"
        return wrong("store", message, f"correct it in {tasks.FILE}")
    bucket, prefix = found.groups()
    if context.bucket_region not in (None, context.region):
        message = (
            f"{bucket} is in {context.bucket_region}, machines would be in {context.region}: "
            "AWS bills the traffic between them"
        )
        hint = f"ON=aws, or a bucket in {context.region} in {tasks.FILE}"
        return wrong("store", message, hint)
    s3, key = client("s3"), f"{prefix.rstrip('/')}/doctor-{uuid4().hex}".lstrip("/")
    try:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
        s3.delete_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error_code(error) == "NoSuchBucket":
            return wrong("store", f"there is no bucket {bucket}", BOOTSTRAP)
        message = f"{context.store} cannot be written to ({error_code(error)})"
        return wrong("store", message, context.attach_launcher())
    return ok("store", f"{context.store} exists and can be written to")
