"""The image: built here, and pushed to the account's repository."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import tempfile
from typing import NamedTuple

from ....errors import UserError
from ...images.building import build
from .account import Account

ARCHITECTURES = {"amd64": "x86_64", "arm64": "arm64"}  # as docker and as Lambda call them


class Image(NamedTuple):
    """An image that was pushed: its address by digest, and what it runs on."""

    uri: str
    architecture: str

    @property
    def digest(self) -> str:
        """What tells it from all others."""
        return self.uri.partition("@")[2]


def push(account: Account, repository: str, version: str) -> Image:
    """Build the image of the champion, and push it.

    Raises
    ------
    UserError
        If docker is missing, or something fails.
    """
    local, remote = f"{account.name}:lambda", f"{repository}:{version}"
    build("lambda", local, None, VERSION=version)
    given = account.images.get_authorization_token()["authorizationData"][0]
    user, _, password = base64.b64decode(given["authorizationToken"]).decode().partition(":")
    # The token goes into a folder of its own, and with it: `docker login` would leave it on disk.
    with tempfile.TemporaryDirectory() as own:
        login = ["login", "--username", user, "--password-stdin", given["proxyEndpoint"]]
        docker(*login, own=own, stdin=password)
        docker("tag", local, remote)
        try:
            print(f"pushing {remote}", flush=True)
            docker("push", "--quiet", remote, own=own)
            about = json.loads(docker("image", "inspect", remote))[0]
        finally:
            docker("image", "rm", remote)  # the name; the image keeps its other one
    (uri,) = (one for one in about["RepoDigests"] if one.startswith(f"{repository}@"))
    return Image(uri, ARCHITECTURES[about["Architecture"]])


def docker(*arguments: str, own: str | None = None, stdin: str | None = None) -> str:
    """Output of a docker command; with `own`, its settings are in that folder.

    Raises
    ------
    UserError
        If it fails; with the last line that it said.
    """
    environment = os.environ | ({"DOCKER_CONFIG": own, "DOCKER_HOST": host()} if own else {})
    command = ["docker", *arguments]
    done = subprocess.run(
        command, env=environment, input=stdin, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or ["it says nothing"]
        raise UserError(f"docker {arguments[0]} failed: {said[0]}")
    return done.stdout


def host() -> str:
    """Address of the engine that is in use; its name is in the settings that are left aside."""
    (context,) = json.loads(docker("context", "inspect"))
    return str(context["Endpoints"]["docker"]["Host"])
