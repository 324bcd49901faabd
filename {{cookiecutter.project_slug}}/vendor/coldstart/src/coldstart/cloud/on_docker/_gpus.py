"""GPUs of an engine's machine."""

from __future__ import annotations

import re

import docker

from coldstart.errors import UserError


def wanted(client: docker.DockerClient, asked: str | None) -> int:
    """Count of GPUs to give to a job: as asked, else all that there are (-1), or 0.

    Raises
    ------
    UserError
        If some are asked for where there are none.
    """
    about = client.info()
    devices = [one["ID"] for one in about.get("DiscoveredDevices") or []]
    there = "nvidia" in about.get("Runtimes", {}) or any("nvidia.com/gpu" in one for one in devices)
    if asked is None:
        return -1 if there else 0
    count = int(found[1]) if (found := re.search(r"(\d+)$", asked)) else 1
    if count and not there:
        raise UserError(
            "this engine has no GPUs: without GPU=... it trains on the processor; NVIDIA's need "
            "the NVIDIA Container Toolkit on the machine"
        )
    return count
