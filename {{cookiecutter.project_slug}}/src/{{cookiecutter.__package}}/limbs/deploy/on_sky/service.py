"""What SkyPilot is asked about a service. This runs in its environment, not in the project's."""

from __future__ import annotations

import time
from typing import Any

import sky
from sky import exceptions, serve
from sky.serve import serve_utils
from sky.utils import controller_utils, resources_utils, yaml_utils

from ...skypilot.answering import answer
from ...skypilot.machines import cheapest

PATIENCE = 900  # seconds until machines have gone
GONE = "FAILED_CLEANUP"


def load(config: dict[str, Any]) -> sky.Task:
    """Read a service, as `sky serve up` does."""
    task = sky.Task.from_yaml_config(config)
    if task.service is None:
        raise ValueError("there is no section `service`")
    for resources in task.resources:
        ports = resources_utils.port_ranges_to_set(resources.ports) if resources.ports else set()
        if len(ports) != 1:
            raise ValueError("resources.ports must be the one port that the API listens at")
        task.service.set_ports(str(*ports))
    serve_utils.validate_service_task(task, pool=False)
    return task


def plan(config: dict[str, Any], clouds: list[str]) -> dict[str, Any]:
    """Check a service, and tell what machines it would get; no account is needed.

    Returns
    -------
    dict
        `least` and `most` replicas, and of `replica` and `controller` what they are, and the price
        an hour in dollars: None where there is none, as on Kubernetes.
    """
    task = load(config)
    policy = task.service
    controller = controller_utils.get_controller_resources(
        controller_utils.Controllers.SKY_SERVE_CONTROLLER, task.resources
    )
    alone = not serve_utils.is_consolidation_mode()
    return {
        "least": policy.min_replicas,
        "most": policy.max_replicas or policy.min_replicas,
        "replica": cheapest(task.resources, clouds),
        "controller": cheapest(controller, clouds) if alone else None,
    }


def status() -> list[dict[str, Any]]:
    """Tell of all services that there are."""
    try:
        services = sky.stream_and_get(serve.status(None))
    except exceptions.ClusterNotUpError:
        return []  # there is no controller
    return [
        {
            "name": one["name"],
            "status": one["status"].value,
            "version": one["version"],
            "endpoint": one["endpoint"],
            "config": yaml_utils.safe_load(one["yaml_content"] or "{}"),
            "replicas": [
                {"version": replica["version"], "status": replica["status"].value}
                for replica in one.get("replica_info", [])
            ],
        }
        for one in services
    ]


def up(config: dict[str, Any], name: str) -> None:
    """Make a service."""
    sky.stream_and_get(serve.up(load(config), name))


def update(config: dict[str, Any], name: str) -> None:
    """Let a service go over to another version, replica by replica."""
    mode = serve_utils.UpdateMode.ROLLING
    sky.stream_and_get(serve.update(load(config), name, mode))


def down(name: str) -> None:
    """Remove a service, and its controller too if there is no other service."""
    deadline = time.monotonic() + PATIENCE
    asked = False
    while ours := [one for one in status() if one["name"] == name]:
        if not asked:
            sky.stream_and_get(serve.down([name]))
            asked = True
        if ours[0]["status"] == GONE or time.monotonic() > deadline:
            raise RuntimeError(
                f"{name} is {ours[0]['status']}: look for machines of it that are left, then "
                f".sky/bin/sky serve down --purge {name}"
            )
        time.sleep(2)
    if not status() and not serve_utils.is_consolidation_mode():
        controller = controller_utils.Controllers.SKY_SERVE_CONTROLLER.value.cluster_name
        try:
            sky.stream_and_get(sky.down(controller))
        except exceptions.ClusterDoesNotExist:
            return


if __name__ == "__main__":
    answer(plan, status, up, update, down)
