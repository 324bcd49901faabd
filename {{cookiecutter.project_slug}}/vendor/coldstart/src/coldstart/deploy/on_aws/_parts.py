"""What the function needs: its image in a repository, its log group, and its role."""

from __future__ import annotations

import base64
import json
from typing import Any, NamedTuple, Protocol

from coldstart._aws import tags_as_dict
from coldstart.deploy.on_aws._account import Account, ignore_errors
from coldstart.images._building import build
from coldstart.images._pushing import Login, inspect, push

DELETE_BATCH = 100  # images that one call can delete
ARCHITECTURES = {"amd64": "x86_64", "arm64": "arm64"}  # as docker and as Lambda call them


class Part(Protocol):
    """A part of the deployment in the account."""

    name: str

    def find(self) -> Any:
        """Return AWS' description of it, or None. Raise `ForeignError` if it is another's."""

    def remove(self) -> None:
        """Remove it, with all that it holds. It may not exist."""


class Image(NamedTuple):
    """An image in the repository: its address by digest, and its architecture."""

    uri: str
    architecture: str

    @property
    def digest(self) -> str:
        """Digest of the image."""
        return self.uri.partition("@")[2]


def push_image(account: Account, repository: str, version: str) -> Image:
    """Build the champion's image for Lambda, and push it.

    Parameters
    ----------
    account : Account
        The account.
    repository : str
        Address of the repository.
    version : str
        Version of the model, which becomes the image's tag.

    Returns
    -------
    Image
        The image.

    Raises
    ------
    UserError
        If docker is missing, or a step fails.
    """
    local = f"{account.name}:lambda"
    build("lambda", local, None, VERSION=version)
    given = account.images.get_authorization_token()["authorizationData"][0]
    user, _, password = base64.b64decode(given["authorizationToken"]).decode().partition(":")
    uri = push(local, f"{repository}:{version}", Login(given["proxyEndpoint"], user, password))
    return Image(uri, ARCHITECTURES[inspect(local)["Architecture"]])


class Repository:
    """The repository of the function's images.

    Parameters
    ----------
    account : Account
        The account.
    """

    def __init__(self, account: Account) -> None:
        self.account, self.client = account, account.images
        self.name = f"repository {account.name}"

    def find(self) -> dict[str, Any] | None:
        """Return AWS' description of it, or None."""
        with ignore_errors("RepositoryNotFoundException"):
            names = [self.account.name]
            (found,) = self.client.describe_repositories(repositoryNames=names)["repositories"]
            tags = self.client.list_tags_for_resource(resourceArn=found["repositoryArn"])["tags"]
            self.account.check_owner(self.name, tags_as_dict(tags))
            return dict(found)
        return None

    def ensure(self) -> str:
        """Create it if it does not exist, and return its address."""
        name = self.account.name
        if self.find() is None:
            tags = [{"Key": key, "Value": value} for key, value in self.account.tags.items()]
            with ignore_errors("RepositoryAlreadyExistsException"):
                self.client.create_repository(repositoryName=name, tags=tags)
        found = self.find()
        assert found is not None
        return str(found["repositoryUri"])

    def delete_unused(self, needed: set[str]) -> None:
        """Delete images that are not needed.

        A lifecycle rule would also count images that were pushed and then failed the smoke test,
        and in the end delete the one that is live.

        Parameters
        ----------
        needed : set of str
            Digests of the images to keep.
        """
        name = self.account.name
        pages = self.client.get_paginator("list_images").paginate(repositoryName=name)
        stored = {one["imageDigest"] for page in pages for one in page["imageIds"]}
        if not needed <= stored:
            return  # some have other digests here: keeping too many is safe, too few is not
        old = [{"imageDigest": digest} for digest in sorted(stored - needed)]
        for start in range(0, len(old), DELETE_BATCH):
            batch = old[start : start + DELETE_BATCH]
            self.client.batch_delete_image(repositoryName=name, imageIds=batch)

    def remove(self) -> None:
        """Delete it with all that it holds. It may not exist."""
        with ignore_errors("RepositoryNotFoundException"):
            self.client.delete_repository(repositoryName=self.account.name, force=True)


class Log:
    """The log group of the function.

    Parameters
    ----------
    account : Account
        The account.
    days : int
        Days that logs are kept.
    """

    def __init__(self, account: Account, days: int) -> None:
        self.account, self.client, self.days = account, account.logs, days
        self.group = f"/aws/lambda/{account.name}"
        self.name = f"log group {self.group}"

    def find(self) -> dict[str, Any] | None:
        """Return AWS' description of it, or None."""
        pages = self.client.get_paginator("describe_log_groups")
        for page in pages.paginate(logGroupNamePrefix=self.group):
            for found in page["logGroups"]:
                if found["logGroupName"] == self.group:
                    arn = found["arn"].removesuffix(":*")
                    tags = self.client.list_tags_for_resource(resourceArn=arn)["tags"]
                    self.account.check_owner(self.name, tags)
                    return {**found, "arn": arn}
        return None

    def ensure(self) -> str:
        """Create it if it does not exist, and return its ARN."""
        if self.find() is None:
            with ignore_errors("ResourceAlreadyExistsException"):
                self.client.create_log_group(logGroupName=self.group, tags=self.account.tags)
        self.client.put_retention_policy(logGroupName=self.group, retentionInDays=self.days)
        found = self.find()
        assert found is not None
        return str(found["arn"])

    def remove(self) -> None:
        """Delete it with all that it holds. It may not exist."""
        with ignore_errors("ResourceNotFoundException"):
            self.client.delete_log_group(logGroupName=self.group)


class Role:
    """The role of the function, which may write to its own log group only.

    Parameters
    ----------
    account : Account
        The account.
    """

    TRUST = {  # noqa: RUF012 (not changed)
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
        },
    }

    def __init__(self, account: Account) -> None:
        self.account, self.client = account, account.roles
        self.role = f"{account.name}-{account.region}"  # a role exists in all regions
        self.name = f"role {self.role}"

    def find(self) -> dict[str, Any] | None:
        """Return AWS' description of it, or None."""
        with ignore_errors("NoSuchEntity"):
            found = self.client.get_role(RoleName=self.role)["Role"]
            self.account.check_owner(self.name, tags_as_dict(found.get("Tags", [])))
            return dict(found)
        return None

    def ensure(self, log: str) -> str:
        """Create it if it does not exist, and return its ARN.

        Parameters
        ----------
        log : str
            ARN of the log group. The role may not create log groups, so one that was deleted
            does not come back.
        """
        if self.find() is None:
            tags = [{"Key": key, "Value": value} for key, value in self.account.tags.items()]
            with ignore_errors("EntityAlreadyExists"):
                self.client.create_role(
                    RoleName=self.role, AssumeRolePolicyDocument=json.dumps(self.TRUST), Tags=tags
                )
        allowed = {
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": f"{log}:*",
        }
        policy = {"Version": "2012-10-17", "Statement": allowed}
        self.client.put_role_policy(
            RoleName=self.role, PolicyName="log", PolicyDocument=json.dumps(policy)
        )
        found = self.find()
        assert found is not None
        return str(found["Arn"])

    def remove(self) -> None:
        """Delete it with all that it holds. It may not exist."""
        with ignore_errors("NoSuchEntity"):
            self.client.delete_role_policy(RoleName=self.role, PolicyName="log")
        with ignore_errors("NoSuchEntity"):
            self.client.delete_role(RoleName=self.role)
