"""Checks of what a machine reads: the store that keeps its work, and its image."""

from __future__ import annotations

import re
from uuid import uuid4

from botocore.exceptions import ClientError

from coldstart._diagnostics import Finding, note, ok, wrong
from coldstart.cloud.aws._calls import client, code
from coldstart.cloud.aws._choices import FILE
from coldstart.cloud.aws._context import BOOTSTRAP, Context

ECR = re.compile(r"(\d{12})\.dkr\.ecr\.([\w-]+)\.amazonaws\.com(?:\.cn)?/([^:@]+)")


def store(here: Context) -> Finding:
    """Whether the bucket is there, in the machine's region, and takes what is written."""
    about, address = "store", here.choices.store
    if not address:
        return wrong(about, f"{FILE} names no STORE", f"{BOOTSTRAP} makes and prints one")
    found = re.fullmatch(r"s3://([^/]+)/?(.*)", address)
    if not found:
        return wrong(about, f"STORE: {address!r} is no s3://bucket/prefix", f"mend it in {FILE}")
    bucket, prefix = found.groups()
    s3 = client("s3")
    try:
        headers = s3.head_bucket(Bucket=bucket)["ResponseMetadata"]["HTTPHeaders"]
    except ClientError as error:
        if code(error) in ("404", "NoSuchBucket"):
            return wrong(about, f"there is no bucket {bucket}", BOOTSTRAP)
        if code(error) not in ("301", "PermanentRedirect", "400"):
            return wrong(about, f"{bucket} is not open to you ({code(error)})", here.launcher())
        headers = error.response["ResponseMetadata"]["HTTPHeaders"]
    there = headers.get("x-amz-bucket-region", here.region)
    if there != here.region:
        said = f"{bucket} is in {there}, machines would be in {here.region}: each byte is paid for"
        return wrong(about, said, f"AWS_DEFAULT_REGION={there}, or another bucket in {FILE}")
    key = f"{prefix.rstrip('/')}/doctor-{uuid4().hex}".lstrip("/")
    try:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
        s3.delete_object(Bucket=bucket, Key=key)
    except ClientError as error:
        said = f"{address} cannot be written to ({code(error)})"
        return wrong(about, said, here.launcher())
    return ok(about, f"{address} is there, and takes what is written")


def image(here: Context) -> Finding:
    """Whether the repository of the training image is there."""
    about, address = "image", here.choices.image
    if not address:
        return wrong(about, f"{FILE} names no IMAGE", f"{BOOTSTRAP} makes a repository")
    found = ECR.match(address)
    if not found:
        return note(about, f"{address} is not kept at AWS: a machine must be able to pull it")
    owner, there, name = found.groups()
    ecr = client("ecr", there)
    try:
        ecr.describe_repositories(registryId=owner, repositoryNames=[name])
    except ClientError as error:
        if code(error) != "RepositoryNotFoundException":
            raise
        return wrong(about, f"there is no repository {name} in {there}", BOOTSTRAP)
    if there != here.region:
        return note(about, f"{name} is in {there}: each pull from {here.region} is paid for")
    return ok(about, f"the repository {name} is there")
