"""The image: built here, and pushed to the account's repository."""

from __future__ import annotations

import base64
from typing import NamedTuple

from coldstart.deploy.on_aws._account import Account
from coldstart.images._building import build
from coldstart.images._pushing import Login, inspect, push

ARCHITECTURES = {"amd64": "x86_64", "arm64": "arm64"}  # as docker and as Lambda call them


class Image(NamedTuple):
    """An image that was pushed: its address by digest, and what it runs on."""

    uri: str
    architecture: str

    @property
    def digest(self) -> str:
        """What tells it from all others."""
        return self.uri.partition("@")[2]


def bring(account: Account, repository: str, version: str) -> Image:
    """Build the image of the champion, and push it.

    Raises
    ------
    UserError
        If docker is missing, or something fails.
    """
    local = f"{account.name}:lambda"
    build("lambda", local, None, VERSION=version)
    given = account.images.get_authorization_token()["authorizationData"][0]
    user, _, password = base64.b64decode(given["authorizationToken"]).decode().partition(":")
    uri = push(local, f"{repository}:{version}", Login(given["proxyEndpoint"], user, password))
    return Image(uri, ARCHITECTURES[inspect(local)["Architecture"]])
