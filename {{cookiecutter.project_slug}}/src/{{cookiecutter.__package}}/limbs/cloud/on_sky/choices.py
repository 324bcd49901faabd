"""What a person has written into infra/train.sky.yaml, and what a job adds to it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ....errors import UserError
from ....settings import PACKAGE
from ...skypilot import tasks
from ..commands import Rent
from ..job import Job, tracking_environment
from .deadline import guarded

FILE = Path("infra/train.sky.yaml")
# Where a machine is a container already, SkyPilot starts the image.
CONTAINERS = ("kubernetes", "k8s", "runpod", "vast")
# What SkyPilot tells of the machines of a job.
OF_SKYPILOT = ("SKYPILOT_NODE_IPS", "SKYPILOT_NODE_RANK", "SKYPILOT_NUM_GPUS_PER_NODE")
ANY = "sky"  # whatever is cheapest of all that there are credentials for


def read() -> dict[str, Any]:
    """Read the file, with what is null in it from the environment.

    Raises
    ------
    UserError
        If it is not YAML, or what a job needs is not in it.
    """
    task = tasks.load(FILE, "a task of SkyPilot's: resources, envs, run")
    given = task.get("envs") or {}
    for name, what in (("IMAGE", "registry"), ("STORE", "bucket")):
        if "YOU" in str(given.get(name, "YOU")):
            raise UserError(f"{FILE}: put your {what} into envs.{name}, now {given.get(name)}")
    if not re.fullmatch(tasks.ADDRESS, given["IMAGE"]):
        raise UserError(
            f"{FILE}: envs.IMAGE should be REGISTRY/NAME in small letters and without a version, "
            f"not {given['IMAGE']!r}"
        )
    tasks.fill(task, FILE)
    task["envs"]["STORE"] = task["envs"]["STORE"].rstrip("/")
    return task


def chosen(task: dict[str, Any], asked: Rent) -> dict[str, Any]:
    """The task with what the command line says, which wins."""
    resources = dict(task.get("resources") or {})
    if asked.on != ANY:
        resources["infra"] = asked.on
    if asked.gpu == "none":
        resources.pop("accelerators", None)
    elif asked.gpu:
        resources["accelerators"] = asked.gpu
    if asked.spot is not None:
        resources["use_spot"] = asked.spot
    if asked.dollars:
        resources["max_hourly_cost"] = asked.dollars / asked.hours / asked.rented
    if asked.on.partition("/")[0] in CONTAINERS:
        resources["image_id"] = f"docker:{task['envs']['IMAGE']}"
    return {**task, "resources": resources, "num_nodes": asked.nodes}


def compose(task: dict[str, Any], asked: Rent, job: Job, image: str, inputs: str) -> dict[str, Any]:
    """What SkyPilot is given for one job.

    Parameters
    ----------
    image
        Address of the image, by digest.
    inputs
        Address of what was packed.
    """
    worker = " ".join([f"{PACKAGE}.limbs.cloud.worker", *job.command])
    told = job.environment() | {"STORE": folder_of(task, job.id), "INPUTS": inputs}
    if job.group:
        told["SHARED"] = shared_of(task, job.group)
    track = tracking_environment(asked)
    secrets = {name: value for name, value in track.items() if name != "MLFLOW_TRACKING_URI"}
    envs = {**task["envs"], **told, **{n: v for n, v in track.items() if n not in secrets}}
    hidden = {**(task.get("secrets") or {}), **secrets}
    passed = " ".join(f"--env {name}" for name in [*envs, *hidden, *OF_SKYPILOT])
    resources = {**task["resources"], "labels": job.labels()}
    if "image_id" in resources:
        resources["image_id"] = f"docker:{image}"
    return {
        **task,
        "name": name_of(job.project, job.id),
        "resources": resources,
        "envs": {**envs, "IMAGE": image, "WORKER": worker, "PASSED": passed},
        **({"secrets": hidden} if hidden else {}),
        "setup": guarded(task.get("setup") or "", job.deadline),
        "run": guarded(task["run"], job.deadline, last=True),
    }


def folder_of(task: dict[str, Any], job: str) -> str:
    """Address of a job's folder in the store."""
    return f"{task['envs']['STORE']}/jobs/{job}"


def shared_of(task: dict[str, Any], group: str) -> str:
    """Address of what jobs that belong together share."""
    return f"{task['envs']['STORE']}/shared/{group}"


def name_of(project: str, job: str) -> str:
    """What SkyPilot calls a job: it is found again by that."""
    return f"{project}-{job[:8]}"
