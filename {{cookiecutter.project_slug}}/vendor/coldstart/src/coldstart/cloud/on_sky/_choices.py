"""What a person has written into infra/train.sky.yaml, and what a job adds to it."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from coldstart.cloud._job import Job, tracking_environment
from coldstart.cloud._request import LaunchRequest
from coldstart.cloud.on_sky._deadline import guarded
from coldstart.cloud.skypilot import _tasks as tasks
from coldstart.errors import UserError

WORKER = "coldstart.cloud.worker"
FILE = Path("infra/train.sky.yaml")
# Where a machine is a container already, SkyPilot starts the image.
CONTAINERS = ("kubernetes", "k8s", "runpod", "vast")
# Where there are neither images nor docker, machines get the code.
BARE = ("slurm",)
# What SkyPilot tells of the machines of a job.
OF_SKYPILOT = ("SKYPILOT_NODE_IPS", "SKYPILOT_NODE_RANK", "SKYPILOT_NUM_GPUS_PER_NODE")
ANY = "sky"  # whatever is cheapest of all that there are credentials for


def read(on: str = "") -> dict[str, Any]:
    """Read the file, with what is null in it from the environment.

    Parameters
    ----------
    on
        The place: some need no image.

    Raises
    ------
    UserError
        If it is not YAML, or what a job needs is not in it.
    """
    task = tasks.load(FILE, "a task of SkyPilot's: resources, envs, run")
    given = task.get("envs") or {}
    images = [] if bare(on) else [("IMAGE", "registry")]
    for name, what in [*images, ("STORE", "bucket")]:
        if "YOU" in str(given.get(name, "YOU")):
            raise UserError(f"{FILE}: put your {what} into envs.{name}, now {given.get(name)}")
    if images and not re.fullmatch(tasks.ADDRESS, given["IMAGE"]):
        raise UserError(
            f"{FILE}: envs.IMAGE should be REGISTRY/NAME in small letters and without a version, "
            f"not {given['IMAGE']!r}"
        )
    tasks.fill(task, FILE)
    task["envs"]["STORE"] = task["envs"]["STORE"].rstrip("/")
    return task


def bare(on: str) -> bool:
    """Whether machines of a place get the code, and no image."""
    return on.partition("/")[0] in BARE


def chosen(task: dict[str, Any], asked: LaunchRequest) -> dict[str, Any]:
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


def compose(
    task: dict[str, Any], asked: LaunchRequest, job: Job, image: str, inputs: str, code: str = ""
) -> dict[str, Any]:
    """What SkyPilot is given for one job.

    Parameters
    ----------
    image
        Address of the image, by digest.
    inputs
        Address of what was packed.
    code
        Address of the code, which is all that is needed to read it.
    """
    worker = " ".join([WORKER, asked.project.package, *job.command])
    told = job.environment() | {"STORE": folder_of(task, job.id), "INPUTS": inputs}
    if job.group:
        told["SHARED"] = shared_of(task, job.group)
    track = tracking_environment(asked)
    secrets = {name: value for name, value in track.items() if name != "MLFLOW_TRACKING_URI"}
    envs = {**task["envs"], **told, **{n: v for n, v in track.items() if n not in secrets}}
    hidden = {**(task.get("secrets") or {}), **secrets}
    if code:
        hidden["CODE"] = code
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
        **({"config": limited(task, job.deadline)} if bare(asked.on) else {}),
        "setup": guarded(task.get("setup") or "", job.deadline),
        "run": guarded(task["run"], job.deadline, last=True),
    }


def limited(task: dict[str, Any], deadline: int) -> dict[str, Any]:
    """The task's settings of SkyPilot, with a limit that Slurm keeps from the job's start on."""
    config = task.get("config") or {}
    slurm = config.get("slurm") or {}
    minutes = max(1, int(deadline - time.time()) // 60)
    options = {**(slurm.get("sbatch_options") or {}), "time": minutes}
    return {**config, "slurm": {**slurm, "sbatch_options": options}}


def folder_of(task: dict[str, Any], job: str) -> str:
    """Address of a job's folder in the store."""
    return f"{task['envs']['STORE']}/jobs/{job}"


def shared_of(task: dict[str, Any], group: str) -> str:
    """Address of what jobs that belong together share."""
    return f"{task['envs']['STORE']}/shared/{group}"


def name_of(project: str, job: str) -> str:
    """What SkyPilot calls a job: it is found again by that."""
    return f"{project}-{job[:8]}"
