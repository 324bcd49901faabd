"""Pushing an image to a registry, with the docker command line and its login."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from coldstart._locking import lock
from coldstart.errors import UserError

PROJECT = Path("pyproject.toml")


class Login(NamedTuple):
    """A login that is for one push alone."""

    registry: str
    user: str
    password: str


def push(local: str, remote: str, login: Login | None = None) -> str:
    """Push an image of the engine's.

    Parameters
    ----------
    local
        What it is called here.
    remote
        Where it goes: `REGISTRY/NAME:TAG`.
    login
        By default the person's own, as `docker login` keeps it.

    Returns
    -------
    str
        Its address by digest, which stays this image's whatever else is pushed.

    Raises
    ------
    UserError
        If docker is missing, or the registry refuses it.
    """
    repository = remote.rpartition(":")[0]
    with lock(PROJECT, wait="waiting for another push"):  # which would take the name away
        docker("tag", local, remote)
        try:
            print(f"pushing {remote}", flush=True)
            push_as(login, remote) if login else push_as_person(remote)
            digests = inspect(remote)["RepoDigests"]
        finally:
            docker("image", "rm", remote)  # the name; the image keeps its other one
    (found,) = (one for one in digests if one.startswith(f"{repository}@"))
    return str(found)


def push_as(login: Login, remote: str) -> None:
    """Push with a login that goes into a folder of its own, and with it."""
    with tempfile.TemporaryDirectory() as own:  # `docker login` would leave it on disk
        given = ["--username", login.user, "--password-stdin", login.registry]
        docker("login", *given, own=own, stdin=login.password)
        docker("push", "--quiet", remote, own=own)


def push_as_person(remote: str) -> None:
    """Push with the login that docker keeps for the person, or with none."""
    try:
        docker("push", "--quiet", remote)
    except UserError as error:
        ask = f"docker login {remote.partition('/')[0]}"
        raise UserError(f"{error} (if it asks for a login: {ask})") from None


def inspect(image: str) -> dict[str, Any]:
    """What the engine knows of an image."""
    return dict(json.loads(docker("image", "inspect", image))[0])


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
