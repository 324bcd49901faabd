"""The task that SkyPilot gets: infra/train.sky.yaml, and what a job adds to it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from coldstart.cloud._job import Job, tracking_environment
from coldstart.cloud._request import LaunchRequest
from coldstart.cloud.skypilot import _environment as skypilot
from coldstart.cloud.skypilot._deadline import end_at_deadline, limit
from coldstart.errors import UserError

WORKER = "coldstart.cloud.worker"
FILE = Path("infra/train.sky.yaml")
ANY = skypilot.ANY
# Before gigabytes are downloaded. The worker looks again, by a step on the GPU.
CHECK_GPU = """\
nvidia-smi || { echo "error: the GPU that is paid for cannot be used: nvidia-smi fails"; exit 1; }
"""


def read_task() -> dict[str, Any]:
    """Read infra/train.sky.yaml, and fill in values that are null from the environment.

    Returns
    -------
    dict
        The task. `envs.STORE` does not end in a slash.

    Raises
    ------
    UserError
        If the file is missing or is not a task, or a value is missing.
    """
    try:
        task = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{FILE}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{FILE} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(task, dict):
        raise UserError(f"{FILE} should hold a SkyPilot task: resources, envs, run")
    store = (task.get("envs") or {}).get("STORE", "s3://YOU")
    if "YOU" in str(store):
        raise UserError(f"{FILE}: put your bucket into envs.STORE, now {store}")
    for section in ("envs", "secrets"):
        for key, value in (task.get(section) or {}).items():
            if value is None and key not in os.environ:
                raise UserError(f"{FILE}: {section}.{key} is null, and not in the environment")
            task[section][key] = os.environ[key] if value is None else str(value)
    task["envs"]["STORE"] = task["envs"]["STORE"].rstrip("/")
    return task


def apply_request(task: dict[str, Any], request: LaunchRequest) -> dict[str, Any]:
    """Return the task with what the command line says, which overrides the file."""
    resources = dict(task.get("resources") or {})
    if request.on != ANY:
        resources["infra"] = request.on
    if request.gpu == "none":
        resources.pop("accelerators", None)
    elif request.gpu:
        resources["accelerators"] = request.gpu
    if request.spot is not None:
        resources["use_spot"] = request.spot
    if request.dollars:
        resources["max_hourly_cost"] = request.dollars / request.hours / request.nodes
    return {**task, "resources": resources, "num_nodes": request.nodes}


def compose(
    task: dict[str, Any], request: LaunchRequest, job: Job, inputs: str, code: str
) -> dict[str, Any]:
    """Return the task of one job.

    Parameters
    ----------
    task : dict
        What `apply_request` returned.
    request : LaunchRequest
        The request.
    job : Job
        The job.
    inputs : str
        Address of the packed inputs in the object store.
    code : str
        Link to the packed code. It is a secret: it gives access without a key.

    Returns
    -------
    dict
        A task for SkyPilot.
    """
    worker = " ".join([WORKER, request.settings.project.package, *job.command])
    tracking = tracking_environment(request.settings, yours=request.on.partition("/")[0] == "slurm")
    public = {key: value for key, value in tracking.items() if key == "MLFLOW_TRACKING_URI"}
    secrets = {key: value for key, value in tracking.items() if key not in public}
    gpus = str(task["resources"].get("accelerators") or "tpu").lower()
    check = "" if "tpu" in gpus else CHECK_GPU
    if torch := os.environ.get("TORCH"):
        public["TORCH"] = torch  # the build of torch, as for `make setup`
    return {
        **task,
        "name": task_name(job.project, job.id),
        "resources": {**task["resources"], "labels": job.labels()},
        "envs": {
            **task["envs"],
            **job.environment(),
            **public,
            "STORE": job_folder(task, job.id),
            "INPUTS": inputs,
            "WORKER": worker,
        },
        "secrets": {**(task.get("secrets") or {}), **secrets, "CODE": code},
        "config": limit(task.get("config") or {}, job.deadline),
        "setup": end_at_deadline(check + (task.get("setup") or ""), job.deadline),
        "run": end_at_deadline(task["run"], job.deadline, last=True),
    }


def job_folder(task: dict[str, Any], job: str) -> str:
    """Return the address of a job's folder in the object store."""
    return f"{task['envs']['STORE']}/jobs/{job}"


def task_name(project: str, job: str) -> str:
    """Return SkyPilot's name of a job, by which it is found again."""
    return f"{project}-{job[:8]}"
