"""Deployment to a Docker host, in steps that may fail and leave the old version serving."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import sys
from functools import cached_property, partial
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import docker
from docker.errors import NotFound
from pydantic import Field, IPvAnyAddress

from coldstart._provenance import project_name
from coldstart.bundle._bundle import registered_version
from coldstart.deploy._choices import TargetChoices
from coldstart.deploy._smoke import check_prediction
from coldstart.deploy._targets import DeployRequest
from coldstart.deploy.on_docker._container import (
    PREDICTION_LOG,
    archive_of_file,
    download_prediction_log,
    post,
    wait_until_ready,
)
from coldstart.deploy.on_docker._front import COLORS, TIMEOUT, Front
from coldstart.errors import UserError
from coldstart.images._building import CHAMPION, build, build_serve
from coldstart.images._hosts import connect, copy, pull, translate_errors
from coldstart.images._pushing import push
from coldstart.images._smoke import SERVE

CHOICES = Path("infra/deploy/docker.yaml")
NAME = r"^[a-z0-9-]+(\.[a-z0-9-]+)*$"
REGISTRY = r"^[a-z0-9.-]+(:\d+)?(/[a-z0-9._-]+)*$"


class Choices(TargetChoices):
    """Content of infra/deploy/docker.yaml."""

    host: str = "local"
    registry: str | None = Field(None, pattern=REGISTRY)
    address: IPvAnyAddress = IPv4Address("127.0.0.1")
    port: int = 8000
    tls: str | None = Field(None, pattern=NAME)
    proxy: bool = False
    memory: str = "512m"


class DeployTarget:
    """A Docker host. Two containers, blue and green, take turns behind a front."""

    def __init__(self, request: DeployRequest) -> None:
        given = {"host": request.host, "port": request.port, "tls": request.tls}
        self.choices = Choices.load(CHOICES, **given, proxy=request.proxy or None)
        self.request, self.name = request, project_name()
        self.serving, self.address = request.settings.serving, str(self.choices.address)

    @cached_property
    def client(self) -> docker.DockerClient:
        """The host's engine."""
        return connect(self.choices.host)

    @cached_property
    def front(self) -> Front:
        """The front of the API."""
        return Front(self.client, self.name)

    @property
    def url(self) -> str:
        """Address of the API."""
        if self.choices.tls:
            return f"https://{self.choices.tls}"
        address = f"[{self.address}]" if self.choices.address.version == 6 else self.address
        return f"http://{address}:{self.choices.port} of {self.choices.host}"

    def containers(self) -> dict[str, Any]:
        """Return the containers of the API, by color."""
        found = {color: self.front.find(f"{self.name}-{color}") for color in COLORS}
        return {color: container for color, container in found.items() if container is not None}

    def active(self) -> str:
        """Return the color of the container that serves; an empty string if there is none."""
        if self.front.container is None:
            return ""
        up = [color for color, state in self.front.servers().items() if state["status"] == "UP"]
        return up[0] if up else ""

    def deploy(self) -> None:
        """Test the champion's image beside the version that serves now, and let it take over."""
        self.check_access()
        version = registered_version(CHAMPION).get("version", "unregistered")
        if self.request.dry_run:
            print(f"would deploy version {version} at {self.url}")
            return
        self.front  # noqa: B018 (a host that does not respond is reported before a build)
        build_serve(None)
        images = [version, "front", *(["tls"] if self.choices.tls else [])]
        for stage in images[1:]:
            build(stage, f"{self.name}:{stage}", None)
        image, front, *tls = (self.transfer(f"{self.name}:{tag}") for tag in images)
        with self.front.lock():
            self.listen(front, *tls)
            old = self.active()
            new = COLORS[old == COLORS[0]]
            self.front.discard(f"{self.name}-{new}")
            self.front.close(new)
            try:
                container = self.start(new, image, version)
                self.take_over(container, new, old)
            except BaseException:
                self.front.close(new)
                self.front.discard(f"{self.name}-{new}")
                raise
        print(f"version {version} serves at {self.url}")
        if self.choices.tls:
            print(f"the first certificate takes a minute: docker logs {self.front.tls}")

    def listen(self, front: str, tls: str = "") -> None:
        """Start the front, by the ids of its images."""
        if not tls:
            self.front.discard(self.front.tls)  # its certificates stay
            self.front.ensure(front, self.address, self.choices.port, self.choices.proxy)
            return
        self.front.ensure(front, "127.0.0.1", self.choices.port, False)
        self.front.ensure_tls(tls, self.address, str(self.choices.tls))

    def transfer(self, image: str) -> str:
        """Transfer an image to the host, through the registry if there is one; return its id."""
        if self.choices.registry is None:
            return copy(image, self.client)
        return pull(push(image, f"{self.choices.registry}/{image}"), image, self.client)

    def rollback(self) -> None:
        """Let the container that served before serve again."""
        with self.front.lock():
            old = self.active()
            new = COLORS[old == COLORS[0]]
            container = self.containers().get(new)
            if not old or container is None:
                raise UserError("there is no version before this one; make deploy brings one")
            with translate_errors("the container before this one could not be started"):
                container.start()
            self.take_over(container, new, old)
        print(f"version {container.labels['deploy.version']} serves at {self.url} again")

    def status(self) -> None:
        """Print the versions on the host."""
        active = self.active()
        if not active:
            print(f"{self.name} is not deployed at {self.choices.host}")
        for color, container in sorted(self.containers().items()):
            labels, state = container.labels, container.status
            what = f"serves at {self.url}" if color == active else f"{state}, for ROLLBACK=1"
            print(f"version {labels['deploy.version']} of {labels['deploy.at']}: {what}")

    def fetch(self) -> None:
        """Download the prediction log."""
        containers = [*self.containers().values()]  # they share a volume
        if not containers:
            raise UserError(f"{self.name} is not deployed at {self.choices.host}: see HOST")
        folder = self.serving.record.folder or Path("served")
        count = download_prediction_log(containers[0], folder)
        print(f"{count} new files of the prediction log in {folder}")

    def down(self) -> None:
        """Remove the containers, the front and their volume; the prediction log is downloaded."""
        for container in self.containers().values():
            with translate_errors(f"{container.name} could not be stopped"):
                container.stop(timeout=TIMEOUT)  # it writes the rest of the prediction log
        if self.containers():
            self.fetch()
        for color in COLORS:
            self.front.discard(f"{self.name}-{color}")
        self.front.remove()
        with translate_errors("the volume could not be removed"), contextlib.suppress(NotFound):
            self.client.volumes.get(f"{self.name}-state").remove()
        print(f"nothing of {self.name} is left at {self.choices.host}, except its images")

    def start(self, color: str, image: str, version: str) -> Any:
        """Start a container, which gets no requests yet."""
        at = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        arguments, serving = [*SERVE], self.serving
        if serving.keys:
            arguments += ["--serving.keys", f"/app/state/{serving.keys.name}"]
        if serving.record.folder:
            arguments += ["--serving.record.folder", PREDICTION_LOG]
        traces = {name: value for name, value in os.environ.items() if name.startswith("OTEL_")}
        with translate_errors(f"{self.name}-{color} could not be started"):
            container = self.client.containers.create(
                image,
                arguments,
                name=f"{self.name}-{color}",
                labels={**self.front.labels, "deploy.version": version, "deploy.at": at},
                network=self.front.name,
                networking_config={
                    self.front.name: self.client.api.create_endpoint_config(aliases=[color])
                },
                environment={"FORWARDED_ALLOW_IPS": "*", **traces},  # only the front reaches it
                volumes={f"{self.name}-state": {"bind": "/app/state", "mode": "rw"}},
                read_only=True,
                tmpfs={"/tmp": ""},
                cap_drop=["ALL"],
                security_opt=["no-new-privileges:true"],
                restart_policy={"Name": "unless-stopped"},
                mem_limit=self.choices.memory,
            )
            if serving.keys:
                container.put_archive("/app/state", archive_of_file(serving.keys))
            container.start()
        return container

    def take_over(self, container: Any, new: str, old: str) -> None:
        """Switch to a container once it predicts, and back if it then does not.

        Raises
        ------
        UserError
            If it does not predict as the bundle does.
        """
        self.front.close(new)
        wait_until_ready(container)
        self.check(container, "127.0.0.1")
        self.front.switch(new, old)
        try:
            self.check(container, self.front.name)
        except UserError:
            if old:
                self.front.switch(old, new)
            raise
        if old and (before := self.containers().get(old)):
            with translate_errors(f"{before.name} could not be stopped"):
                before.stop(timeout=TIMEOUT)  # it finishes its requests

    def check(self, container: Any, host: str) -> None:
        """Test a version of the API from inside its container.

        Raises
        ------
        UserError
            If it does not predict as the bundle does.
        """
        send = partial(post, container, f"http://{host}:8000/predict")
        check_prediction(container.labels["deploy.version"], send, bool(self.serving.keys))

    def check_access(self) -> None:
        """Refuse to have API keys sent unencrypted; warn if other computers need none.

        Raises
        ------
        UserError
            If keys are required at an address that is not loopback or private, without TLS.
        """
        address, tls = self.choices.address, self.choices.tls
        if tls and self.choices.proxy:
            raise UserError("TLS= and PROXY=yes are two places where TLS ends: choose one")
        if tls and tls != "localhost" and address.is_loopback:
            raise UserError(
                f"TLS={tls} needs an address that the internet reaches, for the certificate: write "
                f"`address: 0.0.0.0` into {CHOICES}"
            )
        public = address.is_unspecified or address.is_global
        if self.serving.keys and public and not (tls or self.choices.proxy):
            raise UserError(
                f"API keys would be sent to {address} unencrypted: TLS=models.example.org gets a "
                "certificate for that name; PROXY=yes says that TLS ends before it"
            )
        if not address.is_loopback and not self.serving.keys:
            print(
                f"WARNING: other computers can use the API at {address} without a key. To require "
                "keys, run make key NAME=..., and set serving.keys in config.yaml",
                file=sys.stderr,
            )
