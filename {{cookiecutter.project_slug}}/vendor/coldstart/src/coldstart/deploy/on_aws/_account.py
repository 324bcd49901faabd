"""The AWS account of a deployment: clients, and the stack of what the function needs."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import NamedTuple

from coldstart._aws import client, ignore_errors
from coldstart.cloud.aws._stack import COMPLETE, Stack
from coldstart.images._building import build
from coldstart.images._pushing import Login, inspect, push

TAG = "deploy.project"
TEMPLATE = Path("infra/deploy/stack.yaml")
DELETE_BATCH = 100  # images that one call can delete
ARCHITECTURES = {"amd64": "x86_64", "arm64": "arm64"}  # as docker and as Lambda call them


class Image(NamedTuple):
    """An image in the repository: its address by digest, and its architecture."""

    uri: str
    architecture: str


class Account:
    """The services that a deployment needs, in the region of the AWS settings."""

    def __init__(self, name: str) -> None:
        self.name, self.tags = name, {TAG: name}
        self.functions, self.images = client("lambda"), client("ecr")
        self.region = str(self.functions.meta.region_name)
        self.stack = Stack(f"{name}-deploy")

    def prepare(self, log_days: int) -> dict[str, str]:
        """Create or update the stack, if it is not as the template says; return its outputs.

        It is changed only if something in it has to: the role of GitHub may only read it.
        """
        template, found = TEMPLATE.read_text(encoding="utf-8"), self.stack.find() or {}
        before = {one["ParameterKey"]: one["ParameterValue"] for one in found.get("Parameters", ())}
        github = {key: before.get(key, "") for key in ("Repository", "Provider")}
        given = {"Project": self.name, "LogDays": str(log_days), **github}
        if not (
            found.get("StackStatus") in COMPLETE
            and given.items() <= before.items()
            and self.stack.template() == template
        ):
            with ignore_errors("AlreadyExistsException"):  # the response was lost, and sent again
                self.stack.apply(template, given, self.tags)
            self.stack.wait()
        return self.stack.outputs()

    def push_image(self, repository: str, version: str) -> Image:
        """Build the champion's image for Lambda, push it with the version as its tag; return it.

        Raises
        ------
        UserError
            If docker is missing, or a step fails.
        """
        local = f"{self.name}:lambda"
        build("lambda", local, None, VERSION=version)
        given = self.images.get_authorization_token()["authorizationData"][0]
        user, _, password = base64.b64decode(given["authorizationToken"]).decode().partition(":")
        uri = push(local, f"{repository}:{version}", Login(given["proxyEndpoint"], user, password))
        return Image(uri, ARCHITECTURES[inspect(local)["Architecture"]])

    def delete_images(self, needed: set[str]) -> None:
        """Delete images, except those with the digests that are needed.

        A lifecycle rule would also count images that were pushed and then failed the smoke test,
        and in the end delete the one that is live.
        """
        pages = self.images.get_paginator("list_images").paginate(repositoryName=self.name)
        stored = {one["imageDigest"] for page in pages for one in page["imageIds"]}
        if not needed <= stored:
            return  # some have other digests here: keeping too many is safe, too few is not
        old = [{"imageDigest": digest} for digest in sorted(stored - needed)]
        for start in range(0, len(old), DELETE_BATCH):
            batch = old[start : start + DELETE_BATCH]
            self.images.batch_delete_image(repositoryName=self.name, imageIds=batch)

    def remove(self) -> bool:
        """Delete the stack with all images; return whether there was one."""
        exists = self.stack.find() is not None
        with ignore_errors("RepositoryNotFoundException"):
            self.delete_images(set())
        self.stack.delete()
        return exists
