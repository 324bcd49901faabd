"""Pushing an image to a registry, with the docker command line."""

from __future__ import annotations

import json
import tempfile
from typing import Any, NamedTuple

from coldstart.errors import UserError
from coldstart.images._hosts import engine_address, run_docker


class Login(NamedTuple):
    """A login for one push. It is not stored."""

    registry: str
    user: str
    password: str


def push(local: str, remote: str, login: Login | None = None) -> str:
    """Push an image from the local engine to ``REGISTRY/NAME:TAG``; return its address by digest.

    By default the login of `docker login` is used.

    Raises
    ------
    UserError
        If docker is missing, or the registry refuses it.
    """
    repository = remote.rpartition(":")[0]
    run_docker("tag", local, remote)
    try:
        print(f"pushing {remote}", flush=True)
        push_with(login, remote) if login else push_with_stored_login(remote)
        digests = inspect(remote)["RepoDigests"]
    finally:
        run_docker("image", "rm", remote)  # the second tag only
    (found,) = (one for one in digests if one.startswith(f"{repository}@"))
    return str(found)


def push_with(login: Login, remote: str) -> None:
    """Push with a login, in a temporary folder of settings: `docker login` would keep it."""
    with tempfile.TemporaryDirectory() as settings:
        given = ["--username", login.user, "--password-stdin", login.registry]
        own = {"DOCKER_CONFIG": settings, "DOCKER_HOST": engine_address()}  # it has no contexts
        run_docker("login", *given, stdin=login.password, **own)
        run_docker("push", "--quiet", remote, **own)


def push_with_stored_login(remote: str) -> None:
    """Push with the login that `docker login` has stored, or without one."""
    try:
        run_docker("push", "--quiet", remote)
    except UserError as error:
        login = f"docker login {remote.partition('/')[0]}"
        raise UserError(f"{error} (if it needs a login: {login})") from None


def inspect(image: str) -> dict[str, Any]:
    """Return what the engine knows of an image."""
    return dict(json.loads(run_docker("image", "inspect", image))[0])
