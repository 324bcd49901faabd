"""The task that SkyPilot gets: infra/train.sky.yaml, and what a job adds to it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from coldstart._yaml import read_yaml
from coldstart.cloud._gpu import DRIVERS
from coldstart.cloud._job import Job, tracking_environment
from coldstart.cloud._request import LaunchRequest, provider_of
from coldstart.cloud.skypilot import _environment as skypilot
from coldstart.cloud.skypilot._deadline import end_at_deadline, limit
from coldstart.errors import UserError

WORKER = "coldstart.cloud.worker"
FILE = Path("infra/train.sky.yaml")
PROGRAMS = ("rsync", "ssh")  # that SkyPilot starts on this computer, and does not bring
ANY = skypilot.ANY
# Before gigabytes are downloaded. The worker looks again, by a step on the GPU. Without TORCH, uv
# takes the newest build of torch that the driver allows, and looks at the driver alone.
CHECK_GPU = """\
unusable() { echo "error: the GPU that is paid for cannot be used: $1"; exit 1; }
lowest() { nvidia-smi --query-gpu="$1" --format=csv,noheader | sort --version-sort | head -n 1; }
nvidia-smi || unusable "nvidia-smi fails"
driver=$(lowest driver_version)
[ "${driver%%.*}" -ge CUDA_12 ] ||
  unusable "driver $driver is too old for CUDA 12: CUDA_12 or newer is needed. Take another machine"
if [ "${driver%%.*}" -ge CUDA_13 ] && [ "${TORCH:-auto}" = auto ]; then
  capability=$(lowest compute_cap)
  [ "${capability/./}" -lt 75 ] && unusable "compute capability $capability is too low for CUDA 13:\
 7.5 is needed. TORCH=cu126 make train ON=..."
fi
""".replace("CUDA_12", str(DRIVERS[12])).replace("CUDA_13", str(DRIVERS[13]))


def missing_programs() -> list[str]:
    """Return the programs that SkyPilot starts and this computer lacks."""
    return [name for name in PROGRAMS if not shutil.which(name)]


def read_task(dry_run: bool = False) -> dict[str, Any]:
    """Read infra/train.sky.yaml, and fill in values that are null from the environment.

    With `dry_run`, for its price alone, values may be missing. `envs.STORE` ends in no slash.

    Raises
    ------
    UserError
        If the file is missing or is not a task, or a value is missing.
    """
    task = read_yaml(FILE)
    if not isinstance(task, dict):
        raise UserError(f"{FILE} should hold a SkyPilot task: resources, envs, run")
    store = (task.get("envs") or {}).get("STORE", "s3://YOU")
    if "YOU" in str(store) and not dry_run:
        raise UserError(f"{FILE}: put your bucket into envs.STORE, now {store}")
    for section in ("envs", "secrets"):
        for key, value in (task.get(section) or {}).items():
            if value is None and key not in os.environ and not dry_run:
                raise UserError(f"{FILE}: {section}.{key} is null, and not in the environment")
            task[section][key] = os.environ.get(key, "") if value is None else str(value)
    task["envs"] = {**(task.get("envs") or {}), "STORE": str(store).rstrip("/")}
    return task


def apply_request(task: dict[str, Any], request: LaunchRequest) -> dict[str, Any]:
    """Return the task with what the command line says, which overrides the file."""
    given: dict[str, Any] = {} if request.on == ANY else {"infra": request.on}
    if request.gpu == "none" or (request.gpu is None and not request.uses_gpu):
        given["accelerators"] = None
    elif request.gpu:
        given["accelerators"] = request.gpu
    if request.spot is not None:
        given["use_spot"] = request.spot
    resources = {**(task.get("resources") or {}), **given}
    for choice in {"any_of", "ordered"} & set(resources):
        kept = [{k: v for k, v in one.items() if k not in given} for one in resources[choice]]
        resources[choice] = kept
    resources = {key: value for key, value in resources.items() if value is not None}
    return {**task, "resources": resources, "num_nodes": request.nodes}


def gpu_choices(resources: dict[str, Any]) -> list[str]:
    """Return the GPUs of a machine that would do, such as ``L4:1``; none if one without would."""
    found: list[str] = []
    for one in resources.get("any_of") or resources.get("ordered") or [{}]:
        wanted = {**resources, **one}.get("accelerators")
        if not wanted:
            return []
        if isinstance(wanted, dict):
            found += [f"{name}:{count:g}" for name, count in wanted.items()]
        else:
            found += [wanted] if isinstance(wanted, str) else map(str, wanted)
    return found


def describe_gpu(request: LaunchRequest) -> list[str]:
    """Return notes about a GPU that no model type of a request uses."""
    if request.uses_gpu or request.gpu == "none":
        return []
    names = " and ".join(request.model_types)
    if request.gpu is None:
        return [f"without a GPU, which {names} would not use (uses_gpu in models.py)"]
    return [f"{names} will not use the GPU (uses_gpu in models.py): GPU=none is cheaper"]


def compose(
    task: dict[str, Any], request: LaunchRequest, job: Job, inputs: str, code: str
) -> dict[str, Any]:
    """Return the task of one job, for SkyPilot.

    The task is that of `apply_request`, the inputs are an address in the object store. The link to
    the code is a secret: it gives access without a key.
    """
    worker = " ".join([WORKER, request.settings.project.package, *job.command])
    tracking = tracking_environment(request.settings, yours=provider_of(request.on) == "slurm")
    public = {key: value for key, value in tracking.items() if key == "MLFLOW_TRACKING_URI"}
    secrets = {key: value for key, value in tracking.items() if key not in public}
    gpus = gpu_choices(task["resources"])
    check = CHECK_GPU if gpus and "tpu" not in str(gpus).lower() else ""
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
