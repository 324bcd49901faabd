"""The smoke test of an image: it must respond before it is tagged as the latest."""

from __future__ import annotations

import time

from docker.errors import APIError, DockerException, ImageNotFound

from coldstart.errors import UserError
from coldstart.images._hosts import local_engine

TIMEOUT = 180  # seconds; an idle machine needs one
SERVE = [
    *("serve", "--serving.host", "0.0.0.0", "--serving.port", "8000"),
    *("--serving.canary", "0", "--no-serving.shadow"),
]
"""Arguments of an image. It holds the champion only, whatever its config.yaml says."""
# For the test, without files that only the host of a deployment has.
SMOKE_TEST = [
    *SERVE,
    *("--serving.keys", "null", "--serving.record.folder", "null", "--no-serving.telemetry"),
]


def smoke_test(image: str) -> tuple[int, float]:
    """Run an image as compose.yaml does, until its health check succeeds.

    Return its size in bytes, and the seconds from its start to the first response.

    Raises
    ------
    UserError
        If it ends or does not respond; with the last line that it printed.
    """
    client = local_engine()
    try:
        details = client.images.get(image).attrs
    except ImageNotFound:
        raise UserError(
            f"{image} was built, but the engine does not have it: docker buildx use default"
        ) from None
    check = details["Config"]["Healthcheck"]["Test"][1:]
    start = time.monotonic()
    try:
        container = client.containers.run(
            image,
            SMOKE_TEST,
            detach=True,
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges:true"],
            network_mode="none",
        )
    except DockerException as error:
        raise UserError(f"{image} was built, but cannot be run: {error}") from None
    try:
        while time.monotonic() < start + TIMEOUT:
            try:
                if container.exec_run(check).exit_code == 0:
                    return int(details["Size"]), time.monotonic() - start
            except APIError:  # it has ended, or is not there yet
                container.reload()
                if container.status in ("exited", "dead"):
                    break
            time.sleep(0.05)
        lines = container.logs().decode(errors="replace").strip().splitlines()
        last = lines[-1] if lines else "nothing"
        raise UserError(f"{image} was built, but does not respond; its last output: {last}")
    finally:
        container.remove(force=True)


def add_tag(image: str, tag: str) -> None:
    """Give an image a second tag."""
    local_engine().images.get(image).tag(image.rpartition(":")[0], tag)
