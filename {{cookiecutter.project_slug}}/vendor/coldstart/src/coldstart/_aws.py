"""AWS through boto3: clients that retry, errors in one line, pages, tags."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    NoRegionError,
    WaiterError,
)

from coldstart.errors import UserError

# Sweeping sends many requests at once. A request that is throttled is sent again, later each time.
CONFIG = Config(retries={"mode": "standard", "max_attempts": 8}, connect_timeout=10)
LOCK = threading.Lock()  # boto3 can create one client at a time


def client(service: str, region: str | None = None) -> Any:
    """Return a boto3 client.

    Parameters
    ----------
    service : str
        Name of the service in boto3, such as ``ec2``.
    region : str, optional
        By default the region of the AWS settings on this computer.

    Returns
    -------
    botocore.client.BaseClient
        The client.

    Raises
    ------
    UserError
        If no region is configured.
    """
    with translate_errors(), LOCK:
        return boto3.client(service, region_name=region, config=CONFIG)


@contextlib.contextmanager
def translate_errors() -> Iterator[None]:
    """Raise errors of boto3 as `UserError` with one line of text.

    Raises
    ------
    UserError
        If AWS refuses a request, or cannot be reached.
    """
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise UserError(explain_error(error)) from None


def explain_error(error: Exception) -> str:
    """Return what an error of boto3 means, in one line, with a fix if one is known."""
    if isinstance(error, NoCredentialsError):
        return "no credentials for AWS: run aws configure, or set AWS_PROFILE"
    if isinstance(error, NoRegionError):
        return "no AWS region: run aws configure, or set AWS_DEFAULT_REGION"
    if isinstance(error, ClientError):
        details = error.response.get("Error", {})
        message = " ".join(str(details.get("Message", "")).split())
        return f"AWS: {error.operation_name}: {details.get('Code')}: {message}"
    if isinstance(error, WaiterError):
        last = error.last_response
        details = last.get("Configuration", last)
        reason = details.get("StateReason") or details.get("LastUpdateStatusReason") or error
        return f"AWS: the function does not become active: {reason}"
    return f"AWS: {' '.join(str(error).split())}"


@contextlib.contextmanager
def ignore_errors(*codes: str) -> Iterator[None]:
    """Ignore errors with these codes: they say that something exists, or does not exist."""
    try:
        yield
    except ClientError as error:
        if error_code(error) not in codes:
            raise


def error_code(error: ClientError) -> str:
    """Return the code of an error, such as ``AccessDenied``."""
    return str(error.response.get("Error", {}).get("Code", ""))


def pages(service: Any, operation: str, **arguments: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the pages of a response that AWS divides."""
    yield from service.get_paginator(operation).paginate(**arguments)


def tags_as_dict(tags: list[dict[str, Any]] | None) -> dict[str, str]:
    """Return tags by key. AWS lists them, or leaves the list out."""
    return {tag["Key"]: tag["Value"] for tag in tags or ()}
