"""Training in a container of a Docker engine, which is no more there when its results are home."""

from __future__ import annotations

import datetime as dt
import io
import json
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

from docker.errors import NotFound
from docker.models.containers import Container
from docker.types import DeviceRequest

from coldstart.cloud import _labels as labels
from coldstart.cloud._job import Job, tracking_environment
from coldstart.cloud._launchers import Machine
from coldstart.cloud._packing import pack
from coldstart.cloud._plan import Offer, Plan
from coldstart.cloud._request import LaunchRequest
from coldstart.cloud._snapshots import KEPT
from coldstart.cloud._store import Store
from coldstart.cloud.on_docker import _gpus as gpus
from coldstart.cloud.worker import ABOUT
from coldstart.errors import UserError
from coldstart.images._building import build_train, name
from coldstart.images._hosts import connect, told

USER = 10001  # the image's
WORK = "/work"
PRICE = "train-price"
KILLED = 137
LOST = (137, 143, 255)  # exit codes of a container whose engine or machine was shut down


class Docker:
    """An engine, and one container for each job."""

    def __init__(self, host: str) -> None:
        self.host, self.client = host, connect(host)
        self.where = "this machine" if host == "local" else host

    def plan(self, asked: LaunchRequest) -> Plan:
        """Tell it; what the machine costs, only the person knows."""
        if asked.rented > 1:
            raise UserError(
                "one engine is one machine: NODES=... and MACHINES=... are for SkyPilot's places"
            )
        wanted = gpus.wanted(self.client, asked.gpu)
        about = self.client.info()
        what = f"{self.where}: {about['NCPU']} cores, {about['MemTotal'] / 2**30:.0f} GiB, " + (
            f"{wanted} GPUs" if wanted else "no GPU"
        )
        return Plan(
            Offer(what, asked.price),
            1,
            asked.hours,
            "built there, from infra/Dockerfile",
            asks=bool(asked.price),
        )

    def prepare(self, asked: LaunchRequest) -> None:
        """Build the image where it will run: the packages then need not pass through here."""
        build_train(None, self.host, gpu=bool(gpus.wanted(self.client, asked.gpu)))

    def start(self, asked: LaunchRequest, job: Job) -> None:
        """Make the container, put the data into it, and let it go."""
        count = gpus.wanted(self.client, asked.gpu)
        devices = [DeviceRequest(count=count, capabilities=[["gpu"]])] if count else []
        with told(f"no container could be made on {self.where}"):
            container = self.client.containers.create(
                f"{name()}:train",
                job.command,
                entrypoint=["python", "-m", "coldstart.cloud.worker", asked.project.package],
                labels=job.labels() | {PRICE: str(asked.price or "")},
                environment=job.environment() | tracking_environment(asked),
                extra_hosts={"host.docker.internal": "host-gateway"},
                device_requests=devices,
                init=True,
                shm_size="1g",
            )
        with (
            told(f"the container on {self.where} does not start"),
            tempfile.TemporaryDirectory() as at,
        ):
            container.put_archive("/", folder(WORK.lstrip("/")))
            pack(asked, packed := Path(at, "inputs"), USER)
            with packed.open("rb") as archive:
                container.put_archive(WORK, archive)
            container.start()

    def find(self, job: str) -> Container | None:
        """The container of a job."""
        found = self.client.containers.list(all=True, filters={"label": f"{labels.JOB}={job}"})
        return found[0] if found else None

    def follow(self, job: str) -> None:
        """Show the log until the container ends."""
        container = self.find(job)
        if container is None:
            raise UserError(f"{self.where} has no container of job {job[:8]}: see make cloud")
        if container.status == "exited" and "code" not in self.about(container):
            container.start()  # the engine or the machine was restarted: it goes on
        for piece in container.logs(stream=True, follow=True):
            print(piece.decode(errors="replace"), end="", flush=True)

    def results(self, job: str, into: Path) -> dict[str, Any]:
        """Copy them out of the container."""
        container = self.find(job)
        if container is None:
            return {}
        for kept in KEPT:
            copy_out(container, kept, into)
        return self.about(container)

    def about(self, container: Container) -> dict[str, Any]:
        """What the worker told of itself, with how it ended if it could not say."""
        with tempfile.TemporaryDirectory() as at:
            copy_out(container, ABOUT.name, Path(at))
            written = Path(at, ABOUT)
            about: dict[str, Any] = json.loads(written.read_text()) if written.is_file() else {}
        state = container.attrs["State"]
        if state["OOMKilled"]:
            about |= {"code": KILLED, "why": "the engine ended it, since memory ran out"}
        elif "code" not in about and state["ExitCode"] not in LOST:
            about["code"] = state["ExitCode"]
        return about

    def shared(self, group: str) -> Store | None:
        """None: what the one container makes comes home with all else."""
        return None

    def cost(self, job: str) -> float | None:
        """By the price that the person gave."""
        container = self.find(job)
        if container is None or not (price := container.labels[PRICE]):
            return None
        state = container.attrs["State"]
        end = time.time() if state["Running"] else moment(state["FinishedAt"])
        return float(price) * (end - moment(container.attrs["Created"])) / 3600

    def stop(self, job: str) -> None:
        """Remove the container; it has no volumes, and the image is the next job's too."""
        if container := self.find(job):
            with told("the container could not be removed"):
                container.remove(force=True, v=True)

    def machines(self, project: str) -> list[Machine]:
        """The containers of a project's jobs, those that have ended too."""
        found = self.client.containers.list(
            all=True, filters={"label": f"{labels.PROJECT}={project}"}
        )
        return [
            Machine(
                one.labels[labels.JOB],
                self.where,
                one.status,
                moment(one.attrs["Created"]),
                float(one.labels[PRICE]) if one.labels[PRICE] else None,
            )
            for one in found
        ]


def copy_out(container: Container, name: str, into: Path) -> None:
    """Copy a file or a folder out of a container, if it is there."""
    with tempfile.TemporaryFile() as packed:
        try:
            for piece in container.get_archive(f"{WORK}/{name}")[0]:
                packed.write(piece)
        except NotFound:
            return
        packed.seek(0)
        with tarfile.open(fileobj=packed) as tar:
            tar.extractall(into, filter="data")


def folder(name: str) -> bytes:
    """A tar archive of an empty folder that the image's user owns."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, 0o755, USER, USER
        tar.addfile(entry)
    return archive.getvalue()


def moment(told: str) -> float:
    """Seconds since 1970, from the engine's own way to tell a time."""
    return dt.datetime.fromisoformat(told[:19] + "+00:00").timestamp()
