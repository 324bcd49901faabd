"""Trying an image: it must answer before it may be called the latest."""

from __future__ import annotations

import json
import os
import subprocess
import time

import docker
from docker.errors import APIError, DockerException, ImageNotFound

from coldstart.errors import UserError

PATIENCE = 60  # seconds; it takes one on a quiet machine
SERVE = [
    *("serve", "--serving.host", "0.0.0.0", "--serving.port", "8000"),
    *("--serving.canary", "0", "--no-serving.shadow"),
]
"""What an image is told: it holds the champion alone, whatever its config.yaml says."""
# For a trial, without what the place where it will run gives it.
TRIAL = [
    *SERVE,
    *("--serving.keys", "null", "--serving.record.folder", "null", "--no-serving.telemetry"),
]


def engine() -> docker.DockerClient:
    """Connect to the engine that the docker command line uses; the SDK knows no contexts."""
    shown = subprocess.run(["docker", "context", "inspect"], capture_output=True, check=True)
    host = json.loads(shown.stdout)[0]["Endpoints"]["docker"]["Host"]
    return docker.from_env(use_ssh_client=True, environment={**os.environ, "DOCKER_HOST": host})


def answers(image: str) -> tuple[int, float]:
    """Run an image as compose.yaml does, until its own health check passes.

    Returns
    -------
    int
        Size of the image in bytes.
    float
        Seconds from its start to the first answer.

    Raises
    ------
    UserError
        If it ends or does not answer; with the last line that it printed.
    """
    client = engine()
    try:
        about = client.images.get(image).attrs
    except ImageNotFound:
        raise UserError(
            f"{image} was built, but the engine does not have it: docker buildx use default"
        ) from None
    check = about["Config"]["Healthcheck"]["Test"][1:]
    start = time.monotonic()
    try:
        container = client.containers.run(
            image,
            TRIAL,
            detach=True,
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges:true"],
            network_mode="none",
        )
    except DockerException as error:
        raise UserError(f"{image} was built, but cannot be run: {error}") from None
    try:
        while time.monotonic() < start + PATIENCE:
            try:
                if container.exec_run(check).exit_code == 0:
                    return int(about["Size"]), time.monotonic() - start
            except APIError:  # it has ended
                break
            time.sleep(0.05)
        said = container.logs().decode(errors="replace").strip().splitlines()[-1:] or ["nothing"]
        raise UserError(f"{image} was built, but does not answer; it says: {said[0]}")
    finally:
        container.remove(force=True)


def tag(image: str, label: str) -> None:
    """Give an image a second tag."""
    engine().images.get(image).tag(image.rpartition(":")[0], label)
