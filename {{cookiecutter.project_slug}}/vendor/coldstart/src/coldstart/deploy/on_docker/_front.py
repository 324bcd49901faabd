"""The front: HAProxy, which sends requests to one of two containers, and Caddy, for TLS here."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import docker
from docker.errors import APIError, NotFound

from coldstart.errors import UserError
from coldstart.images._hosts import run, translate_errors

COLORS = ("blue", "green")
TIMEOUT = 30  # seconds
COMMAND = (
    "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect('/sock/haproxy'); "
    "s.sendall(sys.argv[1].encode() + b'\\n'); s.shutdown(1); "
    "print(b''.join(iter(lambda: s.recv(65536), b'')).decode())"
)
LISTENS = "import socket; print(socket.create_connection(('127.0.0.1', 8443), 5))"


class Front:
    """The front of the API on a host.

    Container and network are called `NAME-front`, and Caddy's container and volume `NAME-tls`.
    """

    def __init__(self, client: docker.DockerClient, name: str) -> None:
        self.client, self.name, self.tls = client, f"{name}-front", f"{name}-tls"
        self.labels = {"deploy.project": name}

    @property
    def container(self) -> Any:
        """Container of HAProxy, or None."""
        return self.find(self.name)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the host against other deployments of the project.

        Raises
        ------
        UserError
            If another one is in progress.
        """
        project = self.labels["deploy.project"]
        name = f"{project}-deploying"
        try:
            image = self.client.images.get(f"{project}:front").id
            container = self.client.containers.create(image, name=name, labels=self.labels)
        except NotFound:
            raise UserError(f"{project} is not deployed there; make deploy deploys it") from None
        except APIError as error:
            if error.status_code != 409:
                raise UserError(f"the host cannot be locked: {error.explanation}") from None
            raise UserError(
                f"another deployment is in progress; if it was interrupted: docker rm {name}"
            ) from None
        try:
            yield
        finally:
            container.remove(force=True)

    def ensure(self, image: str, address: str, port: int, proxied: bool) -> None:
        """Start it, unless it runs and listens there.

        `proxied` says that a proxy before it names the client of a request.

        Raises
        ------
        UserError
            If the port is in use, or it does not run.
        """
        with translate_errors("the network could not be created"):
            if not self.client.networks.list(names=[self.name]):
                self.client.networks.create(self.name, driver="bridge", labels=self.labels)
        ports = {f"{8000 + proxied}/tcp": (address, port)}
        if self.keep(self.name, image, ports, tmpfs={"/sock": "mode=1777"}):
            self.wait(lambda: bool(self.send("show info")), "HAProxy does not respond")

    def ensure_tls(self, image: str, address: str, name: str) -> None:
        """Start Caddy before it, at an address' ports 80 and 443, unless it runs as it should.

        The name is that of the host on the internet.

        Raises
        ------
        UserError
            If a port is in use, or it does not run.
        """
        ports = {"8080/tcp": (address, 80), "8443/tcp": (address, 443)}
        settings = {"TLS": name, "FRONT": f"{self.name}:8001"}
        volumes = {self.tls: {"bind": "/data", "mode": "rw"}}
        self.keep(self.tls, image, ports, environment=settings, volumes=volumes, tmpfs={"/tmp": ""})
        self.wait(lambda: bool(run(self.find(self.tls), "python3", "-c", LISTENS)), "Caddy fails")

    def keep(self, name: str, image: str, ports: dict[str, Any], **more: Any) -> bool:
        """Start a container, unless it runs and is as it should be; return whether it was new."""
        found = self.find(name)
        settings = {"deploy.settings": json.dumps([ports, more])}
        if found is not None:
            if found.image.id == image and settings.items() <= found.labels.items():
                found.start()
                return False
            found.remove(force=True)  # it listens elsewhere, or is another version
        listen = " and ".join(f"{address}:{port}" for address, port in ports.values())
        with translate_errors(
            f"cannot listen on {listen} of the host; see infra/deploy/docker.yaml"
        ):
            try:
                self.client.containers.run(
                    image,
                    name=name,
                    labels=self.labels | settings,
                    network=self.name,
                    ports=ports,
                    read_only=True,
                    cap_drop=["ALL"],
                    security_opt=["no-new-privileges:true"],
                    restart_policy={"Name": "unless-stopped"},
                    mem_limit="128m",
                    detach=True,
                    **more,
                )
            except APIError:
                self.discard(name)
                raise
        return True

    def find(self, name: str) -> Any:
        """Return a container, or None."""
        try:
            return self.client.containers.get(name)
        except NotFound:
            return None

    def send(self, command: str) -> str:
        """Send a command to HAProxy, and return its output."""
        return run(self.container, "python3", "-c", COMMAND, command)

    def servers(self) -> dict[str, dict[str, str]]:
        """Return the state of both servers, by color."""
        lines = self.send("show stat").lstrip("# ").splitlines()
        rows = [dict(zip(lines[0].split(","), line.split(","), strict=False)) for line in lines[1:]]
        return {row["svname"]: row for row in rows if row.get("svname") in COLORS}

    def close(self, color: str) -> None:
        """Send no requests to a container, whatever its health."""
        self.send(f"set server api/{color} state maint")

    def switch(self, new: str, old: str) -> None:
        """Send all new requests to a container, and wait until the old one has finished its own.

        Both are colors; the old one may be an empty string.

        Raises
        ------
        UserError
            If the new one cannot be reached. The old one continues then.
        """
        self.send(f"set server api/{new} state ready")
        try:
            self.wait(
                lambda: self.servers().get(new, {}).get("status") == "UP",
                "the front cannot reach the new container",
            )
        except UserError:
            self.close(new)
            raise
        if not old:
            return
        self.send(f"set server api/{old} state drain")
        limit = time.monotonic() + TIMEOUT
        while time.monotonic() < limit and self.servers()[old]["scur"] not in ("", "0"):
            time.sleep(0.1)
        self.close(old)

    def wait(self, done: Callable[[], bool], failure: str) -> None:
        """Wait until a condition holds.

        Raises
        ------
        UserError
            If it takes too long.
        """
        limit = time.monotonic() + TIMEOUT
        while not done():
            if time.monotonic() > limit:
                raise UserError(failure)
            time.sleep(0.1)

    def discard(self, name: str) -> None:
        """Remove a container, if it exists."""
        if (found := self.find(name)) is not None:
            with translate_errors(f"{name} could not be removed"):
                found.remove(force=True)

    def remove(self) -> None:
        """Remove the containers, the network and the certificates."""
        with translate_errors("the front could not be removed"):
            self.discard(self.tls)
            self.discard(self.name)
            for network in self.client.networks.list(names=[self.name]):
                network.remove()
            with contextlib.suppress(NotFound):
                self.client.volumes.get(self.tls).remove()
