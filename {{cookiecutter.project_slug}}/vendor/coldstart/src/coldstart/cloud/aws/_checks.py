"""The preflight on AWS: each function looks at one thing, and says what mends it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from coldstart._diagnostics import Finding, note, ok, wrong
from coldstart._diagnostics import clock as compare
from coldstart.cloud._labels import project
from coldstart.cloud.aws import _choices as choices
from coldstart.cloud.aws._calls import client, code, reason
from coldstart.cloud.aws._context import DENIED, Asked, Context
from coldstart.cloud.aws._quota import quota
from coldstart.cloud.aws._rights import end_itself, launch, spot_role
from coldstart.cloud.aws._sources import image, store

Check = Callable[[Context], Finding]


def checks(asked: Asked) -> list[Callable[[], Finding]]:
    """What is looked at, in the order in which one thing needs another."""
    here = Context(asked, project(), choices.read())
    wanted: list[Check] = [region, clock, identity, switched_on, network, quota, store, image]
    wanted += [spot_role] if asked.spot else []
    wanted += [end_itself, launch]
    return [partial(guarded(check), here) for check in wanted]


def guarded(check: Check) -> Check:
    """Let a check that AWS refuses to answer be a finding as well."""

    @wraps(check)
    def guard(here: Context) -> Finding:
        about = check.__name__.replace("_", " ")
        try:
            return check(here)
        except ClientError as error:
            if code(error) in DENIED:
                said = f"you may not ask: {error.operation_name} is refused"
                return wrong(about, said, here.launcher())
            return wrong(about, reason(error), "try again")
        except BotoCoreError as error:
            return wrong(about, reason(error), "is the network there?")

    return guard


def region(here: Context) -> Finding:
    """Whether AWS' settings name a region."""
    name = boto3.Session().region_name
    if not name:
        mend = "aws configure, or set AWS_DEFAULT_REGION"
        return Finding("region", "wrong", "none is set", mend, last=True)
    here.region = name
    return ok("region", name)


def clock(here: Context) -> Finding:
    """Whether this machine's clock is AWS' own: a deadline is a time on both."""
    try:
        headers = client("sts").get_caller_identity()["ResponseMetadata"]["HTTPHeaders"]
    except NoCredentialsError:
        return note("clock", "not compared: there are no credentials")
    except ClientError as error:  # a clock that is far off is refused, and the answer tells it
        headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    if "date" not in headers:
        return note("clock", "not compared: AWS told no time")
    return compare(headers["date"], "AWS'")


def identity(here: Context) -> Finding:
    """Whose the credentials are, and whether AWS takes them."""
    try:
        who = client("sts").get_caller_identity()
    except (ClientError, BotoCoreError) as error:
        mend = "aws configure, aws sso login, or set AWS_PROFILE"
        said = "there are none" if isinstance(error, NoCredentialsError) else reason(error)
        return Finding("credentials", "wrong", said, mend, last=True)
    here.account, here.partition = who["Account"], who["Arn"].split(":")[1]
    if who["Arn"].endswith(":root"):
        return note("credentials", f"account {here.account}, as root", "a user of IAM is safer")
    return ok("credentials", f"account {here.account}, {who['Arn'].rpartition(':')[2]}")


def switched_on(here: Context) -> Finding:
    """Whether the account uses the region."""
    there = client("ec2").describe_regions(AllRegions=True)["Regions"]
    states = {one["RegionName"]: one.get("OptInStatus") for one in there}
    if here.region not in states:
        return wrong("region", f"there is no {here.region}", "aws configure")
    if states[here.region] == "not-opted-in":
        mend = f"aws account enable-region --region-name {here.region}"
        return wrong("region", f"{here.region} is not switched on", mend)
    return ok("region", f"{here.region} is switched on")


def network(here: Context) -> Finding:
    """Whether there is a network that SkyPilot takes: the default one, reachable from outside."""
    about, ec2 = "network", client("ec2")
    default = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    if not default:
        mend = f"aws ec2 create-default-vpc --region {here.region}"
        return wrong(about, f"{here.region} has no default VPC", mend)
    within = [{"Name": "vpc-id", "Values": [default[0]["VpcId"]]}]
    subnets = ec2.describe_subnets(Filters=within)["Subnets"]
    tables = ec2.describe_route_tables(Filters=within)["RouteTables"]
    public = [one for one in subnets if leads_out(one["SubnetId"], tables)]
    if not public:
        said = f"no subnet of {default[0]['VpcId']} has a way out (a route to an internet gateway)"
        mend = "https://docs.aws.amazon.com/vpc/latest/userguide/VPC_Internet_Gateway.html"
        return wrong(about, said, mend)
    zones = sorted({one["AvailabilityZone"] for one in public})
    return ok(about, f"{default[0]['VpcId']} is open in {', '.join(zones)}")


def leads_out(subnet: str, tables: list[dict[str, Any]]) -> bool:
    """Whether a subnet's own table of routes, or else the main one, has an internet gateway."""

    def holds(table: dict[str, Any], key: str, value: Any) -> bool:
        return any(one.get(key) == value for one in table.get("Associations", ()))

    own = [one for one in tables if holds(one, "SubnetId", subnet)]
    own = own or [one for one in tables if holds(one, "Main", True)]
    routes = [route for table in own for route in table.get("Routes", ())]
    return any(str(route.get("GatewayId", "")).startswith("igw-") for route in routes)
