"""Asking AWS: with patience where it is busy, and what it refuses told in a line."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

from coldstart.errors import UserError

# A sweep asks much at once; what is throttled is asked again, later each time.
PATIENT = Config(retries={"mode": "standard", "max_attempts": 8}, connect_timeout=10)
LOCK = threading.Lock()  # boto3 makes one client at a time


def client(service: str, region: str | None = None) -> Any:
    """A service, in the region that AWS' own settings name if in no other.

    Raises
    ------
    UserError
        If there is no region.
    """
    with told(), LOCK:
        return boto3.client(service, region_name=region, config=PATIENT)


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Tell what AWS refuses in a line.

    Raises
    ------
    UserError
        If it refuses something, or cannot be asked.
    """
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise UserError(reason(error)) from None


def reason(error: Exception) -> str:
    """What AWS' error means."""
    if isinstance(error, NoCredentialsError):
        return "no credentials for AWS: aws configure, or set AWS_PROFILE"
    if isinstance(error, NoRegionError):
        return "no region of AWS: aws configure, or set AWS_DEFAULT_REGION"
    if isinstance(error, ClientError):
        about = error.response.get("Error", {})
        said = " ".join(str(about.get("Message", "")).split())
        return f"AWS: {error.operation_name}: {about.get('Code')}: {said}"
    return f"AWS: {' '.join(str(error).split())}"


def code(error: ClientError) -> str:
    """What AWS calls an error."""
    return str(error.response.get("Error", {}).get("Code", ""))


def pages(service: Any, operation: str, **asked: Any) -> Iterator[Mapping[str, Any]]:
    """All pages of an answer."""
    yield from service.get_paginator(operation).paginate(**asked)


def pairs(tags: list[dict[str, Any]] | None) -> dict[str, str]:
    """Tags as a mapping; AWS lists them, or leaves the list out."""
    return {tag["Key"]: tag["Value"] for tag in tags or ()}
