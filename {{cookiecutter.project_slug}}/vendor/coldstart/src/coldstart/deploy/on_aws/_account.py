"""The AWS account: its services, what in it is ours, and what it refuses told in a line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    NoRegionError,
    WaiterError,
)

from coldstart.errors import UserError

TAG = "deploy.project"


class NotOursError(UserError):
    """Something of a name that we use, but that we did not make."""


class Account:
    """The services that a deployment needs, in the region that AWS' own settings name.

    Parameters
    ----------
    name
        Of the project, and of all that is made for it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        with told():
            self.functions = boto3.client("lambda")
            self.images = boto3.client("ecr")
            self.logs = boto3.client("logs")
            self.roles = boto3.client("iam")
        self.region = str(self.functions.meta.region_name)

    @property
    def tags(self) -> dict[str, str]:
        """What marks all that is ours."""
        return {TAG: self.name}

    def check(self, what: str, tags: Mapping[str, str]) -> None:
        """Refuse to touch what others have made.

        Raises
        ------
        NotOursError
            If the tag is missing.
        """
        if tags.get(TAG) != self.name:
            raise NotOursError(
                f"{what} is there already, and was not made by make deploy: it has no tag "
                f"{TAG}={self.name}; remove it, or give the project another name (pyproject.toml)"
            )


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
    except NoCredentialsError:
        raise UserError("no credentials for AWS: aws configure, or set AWS_PROFILE") from None
    except NoRegionError:
        raise UserError("no region of AWS: aws configure, or set AWS_DEFAULT_REGION") from None
    except ClientError as error:
        about = error.response.get("Error", {})
        said = " ".join(str(about.get("Message", "")).split())
        raise UserError(f"AWS: {error.operation_name}: {about.get('Code')}: {said}") from None
    except WaiterError as error:
        last = error.last_response
        about = last.get("Configuration", last)
        why = about.get("StateReason") or about.get("LastUpdateStatusReason") or error
        raise UserError(f"AWS: the function does not come up: {why}") from None
    except BotoCoreError as error:
        raise UserError(f"AWS: {' '.join(str(error).split())}") from None


@contextlib.contextmanager
def expecting(*codes: str) -> Iterator[None]:
    """Take it as done where AWS answers that it is so already, or that there is no such thing."""
    try:
        yield
    except ClientError as error:
        if code(error) not in codes:
            raise


def code(error: ClientError) -> str:
    """What AWS calls an error."""
    return str(error.response["Error"]["Code"])


def pairs(tags: list[dict[str, Any]]) -> dict[str, str]:
    """Tags as a mapping; some services list them."""
    return {tag["Key"]: tag["Value"] for tag in tags}
