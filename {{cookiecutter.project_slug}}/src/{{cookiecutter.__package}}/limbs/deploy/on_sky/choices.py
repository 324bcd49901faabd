"""What a person has written into infra/deploy/sky.yaml, and what a deployment adds to it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ....errors import UserError
from ...skypilot import tasks

FILE = Path("infra/deploy/sky.yaml")
DOCKER = "docker:"
# What a deployment keeps with the service, so that whoever can ask for it can roll it back.
IMAGE, VERSION, BEFORE = "API_IMAGE", "API_VERSION", "API_BEFORE"


def read() -> dict[str, Any]:
    """Read the file, with what is null in it from the environment.

    Raises
    ------
    UserError
        If it is not YAML, or names no registry, or says that nobody need answer.
    """
    service = tasks.load(FILE, "a service of SkyPilot's: resources, service, run")
    image(service)
    policy = (service.get("service") or {}).get("replica_policy") or {}
    if policy.get("min_replicas") == 0:
        raise UserError(f"{FILE}: min_replicas must be 1 or more: a new version has to answer")
    tasks.fill(service, FILE)
    return service


def image(service: dict[str, Any]) -> str:
    """Return the address that images go to, without a version.

    Raises
    ------
    UserError
        If it cannot be one.
    """
    given = str((service.get("resources") or {}).get("image_id", ""))
    address = given.removeprefix(DOCKER)
    if "YOU" in address:
        raise UserError(f"{FILE}: put your registry into resources.image_id, now {given}")
    if not given.startswith(DOCKER) or not re.fullmatch(tasks.ADDRESS, address):
        raise UserError(
            f"{FILE}: resources.image_id should be docker:REGISTRY/NAME in small letters and "
            f"without a version, not {given!r}"
        )
    return address


def compose(
    service: dict[str, Any], address: str, version: str, old: dict[str, str], keys: dict[str, str]
) -> dict[str, Any]:
    """Return what SkyPilot is given for one version.

    Parameters
    ----------
    address
        Of the version's image, by digest: under one tag there can be two.
    old
        Variables of the service that is there, if there is one.
    keys
        Variables that bring the keys.
    """
    before = old.get(BEFORE, "")
    if old and old[IMAGE] != address:
        before = f"{old[VERSION]} {old[IMAGE]}"
    ours = {IMAGE: address, VERSION: version, BEFORE: before, **keys}
    return {
        **service,
        "resources": {**service["resources"], "image_id": DOCKER + address},
        "envs": {**service.get("envs", {}), **ours},
    }
