"""Training in a container of a Docker engine, on this computer or over ssh."""

from __future__ import annotations

import datetime as dt
import io
import json
import re
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

import docker
from docker.models.containers import Container
from docker.types import DeviceRequest

from coldstart._provenance import project_name
from coldstart.cloud import _job as labels
from coldstart.cloud._job import Job, tracking_environment
from coldstart.cloud._launchers import Machine
from coldstart.cloud._packing import pack
from coldstart.cloud._plan import Offer, Plan
from coldstart.cloud._request import LaunchRequest
from coldstart.cloud._snapshots import KEPT
from coldstart.cloud.worker import STATUS
from coldstart.errors import UserError
from coldstart.images._building import build_train
from coldstart.images._hosts import connect, open_archive, translate_errors

USER = 10001  # the image's
WORK = "/work"
PRICE = "train-price"
ENDS = "the container ends itself at the hard stop, whatever becomes of this computer"
KILLED = 137
# Exit codes of a container whose engine or machine was shut down.
INTERRUPTED = (137, 143, 255)


class DockerLauncher:
    """A Docker engine, and one container for each job. The host is ``local`` or an address."""

    def __init__(self, host: str) -> None:
        self.host, self.client = host, connect(host)
        self.description = "this machine" if host == "local" else host

    def plan(self, request: LaunchRequest) -> Plan:
        """Return the plan. Only the user knows what the machine costs."""
        if request.nodes > 1:
            raise UserError("a Docker engine is one machine: NODES=... needs another provider")
        gpus = count_gpus(self.client, request.gpu)
        info = self.client.info()
        machine = (
            f"{self.description}: {info['NCPU']} cores, {info['MemTotal'] / 2**30:.0f} GiB, "
            + (f"{gpus} GPUs" if gpus > 0 else "all GPUs" if gpus else "no GPU")
        )
        return Plan(
            Offer(machine, request.price),
            1,
            request.hours,
            "an image, built there from infra/Dockerfile",
            notes=[ENDS if request.price is None else f"{ENDS}; return the machine yourself"],
            needs_confirmation=request.price is not None,
        )

    def prepare(self, request: LaunchRequest) -> None:
        """Build the image on the machine, so that packages need not pass through here."""
        build_train(None, self.host, gpu=bool(count_gpus(self.client, request.gpu)))

    def start(self, request: LaunchRequest, job: Job) -> None:
        """Create the container, copy the inputs into it, and start it."""
        gpus = count_gpus(self.client, request.gpu)
        devices = [DeviceRequest(count=gpus, capabilities=[["gpu"]])] if gpus else []
        package = request.settings.project.package
        with translate_errors(f"no container could be created on {self.description}"):
            container = self.client.containers.create(
                f"{project_name()}:train",
                job.command,
                entrypoint=["python", "-m", "coldstart.cloud.worker", package],
                labels=job.labels() | {PRICE: str(request.price or "")},
                environment=job.environment()
                | tracking_environment(request.settings)
                | {"GPUS": str(gpus if request.gpu else 0)},  # without GPU=... it may use them
                extra_hosts={"host.docker.internal": "host-gateway"},
                device_requests=devices,
                init=True,
                shm_size="1g",
            )
        with (
            translate_errors(f"the container on {self.description} does not start"),
            tempfile.TemporaryDirectory() as at,
        ):
            container.put_archive("/", archive_of_folder(WORK.lstrip("/")))
            pack(request.settings, packed := Path(at, "inputs"), USER)
            with packed.open("rb") as archive:
                container.put_archive(WORK, archive)
            container.start()

    def find(self, job: str) -> Container | None:
        """Return the container of a job, or None."""
        found = self.client.containers.list(all=True, filters={"label": f"{labels.JOB}={job}"})
        return found[0] if found else None

    def follow(self, job: str) -> None:
        """Print the log until the container ends."""
        container = self.find(job)
        if container is None:
            raise UserError(f"{self.description} has no container of job {job[:8]}: see make cloud")
        if container.status == "exited" and "code" not in self.status(container):
            container.start()  # the engine or the machine was restarted: continue
        for piece in container.logs(stream=True, follow=True):
            print(piece.decode(errors="replace"), end="", flush=True)

    def download(self, job: str, folder: Path) -> dict[str, Any]:
        """Copy the results out of the container, and return the worker's status."""
        container = self.find(job)
        if container is None:
            return {}
        for kept in KEPT:
            copy_out(container, kept, folder)
        return self.status(container)

    def status(self, container: Container) -> dict[str, Any]:
        """Return the worker's status, completed by what the engine knows of the container."""
        with tempfile.TemporaryDirectory() as at:
            copy_out(container, STATUS.name, Path(at))
            file = Path(at, STATUS)
            status: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
        state = container.attrs["State"]
        if state["OOMKilled"]:
            status |= {"code": KILLED, "reason": "the engine ended it, because memory ran out"}
        elif "code" not in status and state["ExitCode"] not in INTERRUPTED:
            status["code"] = state["ExitCode"]
        return status

    def cost(self, job: str) -> float | None:
        """Return the cost so far, by the price that the user gave."""
        container = self.find(job)
        if container is None or not (price := container.labels[PRICE]):
            return None
        state = container.attrs["State"]
        end = time.time() if state["Running"] else read_time(state["FinishedAt"])
        return float(price) * (end - read_time(container.attrs["Created"])) / 3600

    def stop(self, job: str, keep: bool = False) -> None:
        """Remove the container. It has no volumes, and the image serves the next job, too."""
        if container := self.find(job):
            with translate_errors("the container could not be removed"):
                container.stop() if keep else container.remove(force=True, v=True)

    def machines(self, project: str) -> list[Machine]:
        """Return the containers of a project's jobs, those that have ended included."""
        found = self.client.containers.list(
            all=True, filters={"label": f"{labels.PROJECT}={project}"}
        )
        return [
            Machine(
                one.labels[labels.JOB],
                self.description,
                one.status,
                read_time(one.attrs["Created"]),
            )
            for one in found
        ]


def count_gpus(client: docker.DockerClient, gpu: str | None) -> int:
    """Return how many GPUs a job gets, of a request such as ``L4:2``, ``none`` or ``2``.

    Without a request all that there are (-1), or 0.

    Raises
    ------
    UserError
        If GPUs are requested where there are none.
    """
    info = client.info()
    devices = [one["ID"] for one in info.get("DiscoveredDevices") or []]
    available = "nvidia" in info.get("Runtimes", {}) or any(
        "nvidia.com/gpu" in one for one in devices
    )
    if gpu is None:
        return -1 if available else 0
    if gpu == "none":
        return 0
    count = int(found[1]) if (found := re.search(r"(\d+)$", gpu)) else 1
    if count and not available:
        raise UserError(
            "this Docker engine has no GPUs. Without GPU=... it trains on the CPU; NVIDIA's GPUs "
            "need the NVIDIA Container Toolkit on the machine"
        )
    return count


def copy_out(container: Container, name: str, into: Path) -> None:
    """Copy a file or a folder out of a container, if it exists."""
    with open_archive(container, f"{WORK}/{name}") as tar:
        if tar:
            tar.extractall(into, filter="data")


def archive_of_folder(name: str) -> bytes:
    """Return a tar archive of an empty folder that the image's user owns."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, 0o755, USER, USER
        tar.addfile(entry)
    return archive.getvalue()


def read_time(text: str) -> float:
    """Return seconds since 1970 from a time as the engine writes it."""
    return dt.datetime.fromisoformat(text[:19] + "+00:00").timestamp()
