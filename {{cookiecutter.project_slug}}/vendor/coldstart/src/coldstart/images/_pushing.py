"""Pushing an image to a registry, with the docker command line."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from typing import Any, NamedTuple

from coldstart.errors import UserError


class Login(NamedTuple):
    """A login for one push. It is not stored."""

    registry: str
    user: str
    password: str


def push(local: str, remote: str, login: Login | None = None) -> str:
    """Push an image from the local engine.

    Parameters
    ----------
    local : str
        Name and tag of the image here.
    remote : str
        Where it goes: ``REGISTRY/NAME:TAG``.
    login : Login, optional
        By default the login of `docker login`.

    Returns
    -------
    str
        Address of the image by digest, which does not change with later pushes.

    Raises
    ------
    UserError
        If docker is missing, or the registry refuses it.
    """
    repository = remote.rpartition(":")[0]
    docker("tag", local, remote)
    try:
        print(f"pushing {remote}", flush=True)
        push_with(login, remote) if login else push_with_stored_login(remote)
        digests = inspect(remote)["RepoDigests"]
    finally:
        docker("image", "rm", remote)  # the second tag only
    (found,) = (one for one in digests if one.startswith(f"{repository}@"))
    return str(found)


def push_with(login: Login, remote: str) -> None:
    """Push with a login, in a temporary folder of settings: `docker login` would keep it."""
    with tempfile.TemporaryDirectory() as settings:
        given = ["--username", login.user, "--password-stdin", login.registry]
        docker("login", *given, settings=settings, stdin=login.password)
        docker("push", "--quiet", remote, settings=settings)


def push_with_stored_login(remote: str) -> None:
    """Push with the login that `docker login` has stored, or without one."""
    try:
        docker("push", "--quiet", remote)
    except UserError as error:
        login = f"docker login {remote.partition('/')[0]}"
        raise UserError(f"{error} (if it needs a login: {login})") from None


def inspect(image: str) -> dict[str, Any]:
    """Return what the engine knows of an image."""
    return dict(json.loads(docker("image", "inspect", image))[0])


def docker(*arguments: str, settings: str | None = None, stdin: str | None = None) -> str:
    """Return the output of a docker command.

    Parameters
    ----------
    *arguments : str
        Its arguments.
    settings : str, optional
        Another folder of docker's settings.
    stdin : str, optional
        What it reads.

    Raises
    ------
    UserError
        If it fails; with the last line that it printed.
    """
    own = {"DOCKER_CONFIG": settings, "DOCKER_HOST": engine_address()} if settings else {}
    command = ["docker", *arguments]
    done = subprocess.run(
        command, env=os.environ | own, input=stdin, capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines()[-1:] or ["it prints nothing"]
        raise UserError(f"docker {arguments[0]} failed: {lines[0]}")
    return done.stdout


def engine_address() -> str:
    """Return the address of the engine in use. Other settings would not know its context."""
    (context,) = json.loads(docker("context", "inspect"))
    return str(context["Endpoints"]["docker"]["Host"])
