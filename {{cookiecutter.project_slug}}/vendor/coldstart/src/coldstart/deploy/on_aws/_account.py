"""The AWS account of a deployment: its services, and what in it belongs to the project."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from botocore.exceptions import ClientError

from coldstart._aws import client, error_code
from coldstart.errors import UserError

TAG = "deploy.project"


class ForeignError(UserError):
    """Something has the name of a part of the deployment, and `make deploy` did not create it."""


class Account:
    """The services that a deployment needs, in the region of the AWS settings.

    Parameters
    ----------
    name : str
        Name of the project, and of all that is created for it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.functions = client("lambda")
        self.images = client("ecr")
        self.logs = client("logs")
        self.roles = client("iam")
        self.region = str(self.functions.meta.region_name)

    @property
    def tags(self) -> dict[str, str]:
        """Tags of all that belongs to the project."""
        return {TAG: self.name}

    def check_owner(self, what: str, tags: Mapping[str, str]) -> None:
        """Refuse to change what others have created.

        Raises
        ------
        ForeignError
            If the tag is missing.
        """
        if tags.get(TAG) != self.name:
            raise ForeignError(
                f"{what} exists, and make deploy did not create it: it has no tag "
                f"{TAG}={self.name}; remove it, or give the project another name (pyproject.toml)"
            )


@contextlib.contextmanager
def ignore_errors(*codes: str) -> Iterator[None]:
    """Ignore errors of AWS that say that something exists already, or does not exist.

    Parameters
    ----------
    *codes : str
        AWS' codes of these errors.
    """
    try:
        yield
    except ClientError as error:
        if error_code(error) not in codes:
            raise
