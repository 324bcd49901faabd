"""The check of how many processors of a kind the account may have, which is how AWS counts GPUs."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from coldstart._diagnostics import Finding, ok, wrong
from coldstart.cloud.aws._calls import client, code, pages
from coldstart.cloud.aws._context import Context

# Quotas of EC2 by family: on demand, and spot. A new account has none of the GPUs'.
CODES = {
    "g": ("L-DB2E81BA", "L-3819A6DF"),  # G and VT
    "p": ("L-417A185B", "L-7212CCBC"),  # P; spot: up to P4
    "standard": ("L-1216C47A", "L-34B43A08"),
}
NEWER_P_SPOT = "L-C4BD4855"  # P5 and later
CPUS = 4  # what a machine without a GPU should have


def quota(here: Context) -> Finding:
    """Whether the account may have as many processors as the machines have."""
    about, family, cpus, what = "quota", "standard", CPUS, "machines without a GPU"
    if here.asked.gpu:
        name, count = parse(here.asked.gpu)
        fitting = sorted(with_gpu(client("ec2"), name, count))
        if not fitting:
            said = f"{here.region} has no machine with {count} {name}"
            return wrong(about, said, "another region (AWS_DEFAULT_REGION) or another GPU=")
        cpus, here.gpu_type = fitting[0]
        family, what = here.gpu_type[0], f"{here.gpu_type} with {count} {name}"
    needed = cpus * here.asked.nodes
    number = CODES.get(family, CODES["standard"])[here.asked.spot]
    if here.asked.spot and family == "p" and int(re.sub(r"\D.*", "", here.gpu_type[1:])) > 4:
        number = NEWER_P_SPOT
    allowed = value(number)
    kind = "on spot" if here.asked.spot else "on demand"
    if allowed < needed:
        said = f"{what} needs {needed} vCPUs {kind} in {here.region}, the account may have "
        mend = (
            "aws service-quotas request-service-quota-increase --service-code ec2 "
            f"--quota-code {number} --desired-value {needed} --region {here.region} (takes a day)"
        )
        return wrong(about, f"{said}{allowed:.0f}", mend)
    return ok(about, f"{allowed:.0f} vCPUs {kind}, {needed} are needed for {what}")


def parse(gpu: str) -> tuple[str, int]:
    """Name and number of a choice such as `L4:1`, `A100-80GB:8` or `T4`."""
    name, _, count = gpu.partition(":")
    try:
        return name, max(1, math.ceil(float(count or 1)))
    except ValueError:
        return name, 1


def with_gpu(ec2: Any, name: str, count: int) -> Iterator[tuple[int, str]]:
    """Processors and name of each type that a region has with so many of a GPU.

    A name may end in the GPU's memory, as SkyPilot's do.
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


def value(number: str) -> float:
    """How much a quota allows: the account's own, or what AWS gives everybody."""
    quotas = client("service-quotas")
    asked = {"ServiceCode": "ec2", "QuotaCode": number}
    try:
        return float(quotas.get_service_quota(**asked)["Quota"]["Value"])
    except ClientError as error:
        if code(error) != "NoSuchResourceException":
            raise
        return float(quotas.get_aws_default_service_quota(**asked)["Quota"]["Value"])
