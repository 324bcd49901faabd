"""The check of the account's quota of vCPUs, by which AWS limits GPUs, too."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from coldstart._aws import client, ignore_errors, pages
from coldstart._diagnostics import Finding, ok, wrong
from coldstart.cloud.aws._context import Context

# Quotas of EC2 by family: on demand, and spot. In a new account those of GPUs are zero.
CODES = {
    "g": ("L-DB2E81BA", "L-3819A6DF"),  # G and VT
    "p": ("L-417A185B", "L-7212CCBC"),  # P; spot: up to P4
    "standard": ("L-1216C47A", "L-34B43A08"),
}
NEWER_P_SPOT = "L-C4BD4855"  # P5 and later
VCPUS = 4  # of a machine without a GPU


def quota(context: Context) -> Finding:
    """Check that the quota of the account covers the vCPUs of the machines.

    Of several GPUs one is enough: the first whose machines the quota covers.
    """
    gpus: list[str | None] = [*context.gpus]
    findings = [check_gpu(context, gpu) for gpu in gpus or [None]]
    fitting = [one for one in findings if one.state == "ok"]
    return (fitting or findings)[0]


def check_gpu(context: Context, gpu: str | None) -> Finding:
    """Check the quota for machines with one kind of GPU, or without."""
    family, vcpus, what, smallest = "standard", VCPUS, "machines without a GPU", ""
    if gpu:
        name, count = parse_gpu(gpu)
        types = sorted(types_with_gpu(client("ec2", context.region), name, count))
        if not types:
            message = f"{context.region} has no machine with {count} {name}"
            return wrong("quota", message, "another region (ON=aws/REGION) or another GPU=")
        vcpus, smallest = types[0]
        family, what = smallest[0], f"{smallest} with {count} {name}"
    needed = vcpus * context.nodes
    code = CODES.get(family, CODES["standard"])[context.spot]
    if context.spot and family == "p" and int(re.sub(r"\D.*", "", smallest[1:])) > 4:
        code = NEWER_P_SPOT
    allowed = read_quota(code, context.region)
    kind = "on spot" if context.spot else "on demand"
    if allowed < needed:
        message = (
            f"{what} needs {needed} vCPUs {kind} in {context.region}, "
            f"the account's quota is {allowed:.0f}"
        )
        hint = (
            "aws service-quotas request-service-quota-increase --service-code ec2 "
            f"--quota-code {code} --desired-value {needed} --region {context.region} (takes a day)"
        )
        return wrong("quota", message, hint)
    context.gpu_type = context.gpu_type or smallest
    return ok("quota", f"{allowed:.0f} vCPUs {kind}, {needed} are needed for {what}")


def parse_gpu(gpu: str) -> tuple[str, int]:
    """Return name and number of a request such as `L4:1`, `A100-80GB:8` or `T4`."""
    name, _, count = gpu.partition(":")
    try:
        return name, max(1, math.ceil(float(count or 1)))
    except ValueError:
        return name, 1


def types_with_gpu(ec2: Any, name: str, count: int) -> Iterator[tuple[int, str]]:
    """Yield vCPUs and name of each type of instance with at least that many of a GPU.

    The GPU's name may end in its memory, as in SkyPilot's catalog.
    """
    plain, _, memory = name.upper().partition("-")
    least = int(re.sub(r"\D", "", memory) or 0) * 1000
    families = [{"Name": "instance-type", "Values": ["g*", "p*"]}]
    for page in pages(ec2, "describe_instance_types", Filters=families):
        for one in page["InstanceTypes"]:
            for gpu in one.get("GpuInfo", {}).get("Gpus", ()):
                if gpu.get("GpuPartitionSize", 1) < 1:  # a share of one
                    continue
                enough = gpu["MemoryInfo"]["SizeInMiB"] >= least and gpu["Count"] >= count
                if gpu["Name"].upper() == plain and enough:
                    yield one["VCpuInfo"]["DefaultVCpus"], one["InstanceType"]


def read_quota(code: str, region: str) -> float:
    """Return the value of a quota in a region: the account's own, or AWS' default."""
    quotas = client("service-quotas", region)
    which = {"ServiceCode": "ec2", "QuotaCode": code}
    with ignore_errors("NoSuchResourceException"):
        return float(quotas.get_service_quota(**which)["Quota"]["Value"])
    return float(quotas.get_aws_default_service_quota(**which)["Quota"]["Value"])
