"""What the function needs beside it: the repository of its images, its log, and its role."""

from __future__ import annotations

import json
from typing import Any, Protocol

from coldstart.deploy.on_aws._account import Account, expecting, pairs

AT_ONCE = 100  # images that one call may delete


class Part(Protocol):
    """Something in the account that is ours."""

    name: str

    def find(self) -> Any:
        """What there is of it, or None; NotOursError if it is another's."""

    def remove(self) -> None:
        """Remove it, with all that it holds. It may be gone already."""


class Repository:
    """The images of the function's versions."""

    def __init__(self, account: Account) -> None:
        self.account, self.client = account, account.images
        self.name = f"repository {account.name}"

    def find(self) -> dict[str, Any] | None:
        with expecting("RepositoryNotFoundException"):
            asked = [self.account.name]
            (found,) = self.client.describe_repositories(repositoryNames=asked)["repositories"]
            tags = self.client.list_tags_for_resource(resourceArn=found["repositoryArn"])["tags"]
            self.account.check(self.name, pairs(tags))
            return dict(found)
        return None

    def ensure(self) -> str:
        """Have it; return its address."""
        name = self.account.name
        if self.find() is None:
            tags = [{"Key": key, "Value": value} for key, value in self.account.tags.items()]
            with expecting("RepositoryAlreadyExistsException"):
                self.client.create_repository(repositoryName=name, tags=tags)
        found = self.find()
        assert found is not None
        return str(found["repositoryUri"])

    def forget(self, needed: set[str]) -> None:
        """Delete the images but those that are needed.

        A rule of the repository's own would count images that were pushed and then refused too,
        and in the end delete the one that is live.

        Parameters
        ----------
        needed
            Their digests.
        """
        name = self.account.name
        pages = self.client.get_paginator("list_images").paginate(repositoryName=name)
        there = {one["imageDigest"] for page in pages for one in page["imageIds"]}
        if not needed <= there:
            return  # some are told of by other names: better too many are left than too few
        old = [{"imageDigest": digest} for digest in sorted(there - needed)]
        for start in range(0, len(old), AT_ONCE):
            few = old[start : start + AT_ONCE]
            self.client.batch_delete_image(repositoryName=name, imageIds=few)

    def remove(self) -> None:
        with expecting("RepositoryNotFoundException"):
            self.client.delete_repository(repositoryName=self.account.name, force=True)


class Log:
    """What the function tells, for some days.

    Parameters
    ----------
    days
        How long it is kept.
    """

    def __init__(self, account: Account, days: int) -> None:
        self.account, self.client, self.days = account, account.logs, days
        self.group = f"/aws/lambda/{account.name}"
        self.name = f"log group {self.group}"

    def find(self) -> dict[str, Any] | None:
        pages = self.client.get_paginator("describe_log_groups")
        for page in pages.paginate(logGroupNamePrefix=self.group):
            for found in page["logGroups"]:
                if found["logGroupName"] == self.group:
                    arn = found["arn"].removesuffix(":*")
                    tags = self.client.list_tags_for_resource(resourceArn=arn)["tags"]
                    self.account.check(self.name, tags)
                    return {**found, "arn": arn}
        return None

    def ensure(self) -> str:
        """Have it; return its ARN."""
        if self.find() is None:
            with expecting("ResourceAlreadyExistsException"):
                self.client.create_log_group(logGroupName=self.group, tags=self.account.tags)
        self.client.put_retention_policy(logGroupName=self.group, retentionInDays=self.days)
        found = self.find()
        assert found is not None
        return str(found["arn"])

    def remove(self) -> None:
        with expecting("ResourceNotFoundException"):
            self.client.delete_log_group(logGroupName=self.group)


class Role:
    """What the function may do: write to its own log, and nothing else."""

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
        self.role = f"{account.name}-{account.region}"  # roles are of all regions
        self.name = f"role {self.role}"

    def find(self) -> dict[str, Any] | None:
        with expecting("NoSuchEntity"):
            found = self.client.get_role(RoleName=self.role)["Role"]
            self.account.check(self.name, pairs(found.get("Tags", [])))
            return dict(found)
        return None

    def ensure(self, log: str) -> str:
        """Have it; return its ARN.

        Parameters
        ----------
        log
            ARN of the log group. It cannot make one: a log that is gone stays gone.
        """
        if self.find() is None:
            tags = [{"Key": key, "Value": value} for key, value in self.account.tags.items()]
            with expecting("EntityAlreadyExists"):
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
        with expecting("NoSuchEntity"):
            self.client.delete_role_policy(RoleName=self.role, PolicyName="log")
        with expecting("NoSuchEntity"):
            self.client.delete_role(RoleName=self.role)
