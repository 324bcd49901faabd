"""The steps of a deployment to a Docker host, each of which may fail and leave the old serving."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from docker.errors import NotFound
from pydantic import Field, ValidationError

from coldstart.bundle._bundle import registered_version
from coldstart.config._settings import Section
from coldstart.deploy._request import DeployRequest
from coldstart.deploy._smoke import check
from coldstart.deploy.on_docker import _predictions as predictions
from coldstart.deploy.on_docker._container import archive, ask, wait_until_ready
from coldstart.deploy.on_docker._front import COLOURS, PATIENCE, Front
from coldstart.errors import UserError, describe
from coldstart.images._building import CHAMPION, build, build_serve, name
from coldstart.images._hosts import connect, copy, pull, told
from coldstart.images._pushing import push
from coldstart.images._smoke import SERVE

CHOICES = Path("infra/deploy/docker.yaml")
REGISTRY = r"^[a-z0-9.-]+(:\d+)?(/[a-z0-9._-]+)*$"


class Choices(Section):
    """What infra/deploy/docker.yaml holds."""

    host: str = "local"
    registry: str | None = Field(None, pattern=REGISTRY)
    address: str = "127.0.0.1"
    port: int = 8000
    memory: str = "512m"


class DeployTarget:
    """A Docker host. Two containers, blue and green, take turns behind a front."""

    def __init__(self, asked: DeployRequest) -> None:
        try:
            content = yaml.safe_load(CHOICES.read_text()) if CHOICES.is_file() else {}
            chosen = {"host": asked.host, "port": asked.port}
            given = {key: value for key, value in chosen.items() if value is not None}
            self.choices = Choices.model_validate((content or {}) | given)
        except ValidationError as error:
            raise UserError(f"{CHOICES}: {describe(error, Choices.model_fields)}") from None
        except yaml.YAMLError as error:
            raise UserError(f"{CHOICES} is not YAML: {' '.join(str(error).split())}") from None
        self.asked, self.name = asked, name()
        self.client = connect(self.choices.host)
        self.front = Front(self.client, self.name)

    @property
    def url(self) -> str:
        """Where the front listens, as seen from the host."""
        return f"http://{self.choices.address}:{self.choices.port}"

    def containers(self) -> dict[str, Any]:
        """Containers of the API that there are, by colour."""
        found = {}
        for colour in COLOURS:
            with contextlib.suppress(NotFound):
                found[colour] = self.client.containers.get(f"{self.name}-{colour}")
        return found

    def active(self) -> str:
        """Colour of the container that answers; empty if there is none."""
        if self.front.container is None:
            return ""
        up = [colour for colour, state in self.front.servers().items() if state["status"] == "UP"]
        return up[0] if up else ""

    def deploy(self) -> None:
        """Try the champion's image beside what answers now, and let it take over."""
        version = registered_version(CHAMPION).get("version", "unregistered")
        if self.asked.dry_run:
            print(f"would put version {version} at {self.url} of {self.choices.host}")
            return
        self.warn()
        build_serve(None)
        build("front", f"{self.name}:front", None)
        image, front = (self.bring(f"{self.name}:{tag}") for tag in (version, "front"))
        with self.front.held():
            self.front.ensure(front, self.choices.address, self.choices.port)
            old = self.active()
            new = COLOURS[old == COLOURS[0]]
            self.remove(new)
            self.front.close(new)
            try:
                container = self.start(new, image, version)
                self.take_over(container, new, old)
            except BaseException:
                self.front.close(new)
                self.remove(new)
                raise
        print(f"version {version} answers at {self.url} of {self.choices.host}")

    def bring(self, image: str) -> str:
        """Have an image on the host, by the registry if there is one; return its id."""
        if self.choices.registry is None:
            return copy(image, self.client)
        return pull(push(image, f"{self.choices.registry}/{image}"), image, self.client)

    def rollback(self) -> None:
        """Let the container that answered before answer again."""
        with self.front.held():
            old = self.active()
            new = COLOURS[old == COLOURS[0]]
            container = self.containers().get(new)
            if not old or container is None:
                raise UserError("there is nothing to go back to: make deploy brings the champion")
            with told("the container before this one could not be started"):
                container.start()
            self.take_over(container, new, old)
        print(f"version {container.labels['deploy.version']} answers at {self.url} again")

    def status(self) -> None:
        """Tell what is there."""
        active = self.active()
        if not active:
            print(f"{self.name} is not deployed at {self.choices.host}")
        for colour, container in sorted(self.containers().items()):
            labels, state = container.labels, container.status
            does = f"answers at {self.url}" if colour == active else f"{state}, for ROLLBACK=1"
            print(f"version {labels['deploy.version']} of {labels['deploy.at']}: {does}")

    def fetch(self) -> None:
        """Bring the predictions that are kept there."""
        containers = [*self.containers().values()]  # they share what they keep
        if not containers:
            raise UserError(f"{self.name} is not deployed at {self.choices.host}: see HOST")
        folder = self.asked.serving.record.folder or Path("served")
        count = predictions.bring(containers[0], folder)
        print(f"{count} new files of predictions in {folder}")

    def down(self) -> None:
        """Remove the containers, the front, and what they kept; predictions are brought here."""
        for container in self.containers().values():
            with told(f"{container.name} could not be stopped"):
                container.stop(timeout=PATIENCE)  # which makes it write all that it keeps
        if self.containers():
            self.fetch()
        for colour in COLOURS:
            self.remove(colour)
        self.front.remove()
        with told("the volume could not be removed"), contextlib.suppress(NotFound):
            self.client.volumes.get(f"{self.name}-state").remove()
        print(f"nothing of {self.name} is left at {self.choices.host}, but its images")

    def start(self, colour: str, image: str, version: str) -> Any:
        """Start a container that nothing is sent to yet."""
        at = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        arguments, serving = [*SERVE], self.asked.serving
        if serving.keys:
            arguments += ["--serving.keys", f"/app/state/{serving.keys.name}"]
        if serving.record.folder:
            arguments += ["--serving.record.folder", predictions.THERE]
        traces = {name: value for name, value in os.environ.items() if name.startswith("OTEL_")}
        with told(f"{self.name}-{colour} could not be started"):
            container = self.client.containers.create(
                image,
                arguments,
                name=f"{self.name}-{colour}",
                labels={**self.front.labels, "deploy.version": version, "deploy.at": at},
                network=self.front.name,
                networking_config={
                    self.front.name: self.client.api.create_endpoint_config(aliases=[colour])
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
                container.put_archive("/app/state", archive(serving.keys))
            container.start()
        return container

    def take_over(self, container: Any, new: str, old: str) -> None:
        """Switch to a container once it has answered, and back if it then does not.

        Raises
        ------
        UserError
            If it does not answer as the bundle does.
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
            with told(f"{before.name} could not be stopped"):
                before.stop(timeout=PATIENCE)  # what it has begun it ends

    def check(self, container: Any, host: str) -> None:
        """Ask a version of the API from inside its container.

        Raises
        ------
        UserError
            If it does not answer as the bundle does.
        """
        post = partial(ask, container, f"http://{host}:8000/predict")
        check(container.labels["deploy.version"], post, bool(self.asked.serving.keys))

    def remove(self, colour: str) -> None:
        """Remove a container, if it is there."""
        if (container := self.containers().get(colour)) is not None:
            with told(f"{container.name} could not be removed"):
                container.remove(force=True)

    def warn(self) -> None:
        """Tell if everybody may ask."""
        if self.choices.address not in ("127.0.0.1", "::1") and not self.asked.serving.keys:
            print(
                f"WARNING: {self.choices.address} is open to others, and no key is needed: "
                "make key NAME=..., then serving.keys in config.yaml",
                file=sys.stderr,
            )
