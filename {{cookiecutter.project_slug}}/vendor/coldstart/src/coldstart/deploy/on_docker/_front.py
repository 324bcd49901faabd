"""The front: HAProxy owns the port, and sends each request to the container that is to answer."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import docker
from docker.errors import APIError, NotFound

from coldstart.errors import UserError
from coldstart.images._hosts import run, told

COLOURS = ("blue", "green")
PATIENCE = 30  # seconds
ASK = (
    "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect('/sock/haproxy'); "
    "s.sendall(sys.argv[1].encode() + b'\\n'); s.shutdown(1); "
    "print(b''.join(iter(lambda: s.recv(65536), b'')).decode())"
)


class Front:
    """What stands before the API on a host.

    Parameters
    ----------
    name
        Of the project; the container is called `NAME-front`, and so is their network.
    """

    def __init__(self, client: docker.DockerClient, name: str) -> None:
        self.client, self.name = client, f"{name}-front"
        self.labels = {"deploy.project": name}

    @property
    def container(self) -> Any:
        """The container, or None."""
        try:
            return self.client.containers.get(self.name)
        except NotFound:
            return None

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the host, so that two deployments do not mix.

        Raises
        ------
        UserError
            If another one is under way.
        """
        project = self.labels["deploy.project"]
        lock = f"{project}-deploying"
        try:
            image = self.client.images.get(f"{project}:front").id
            held = self.client.containers.create(image, name=lock, labels=self.labels)
        except NotFound:
            raise UserError(f"{project} is not deployed there: make deploy does it") from None
        except APIError as error:
            if error.status_code != 409:
                raise UserError(f"the host cannot be held: {error.explanation}") from None
            raise UserError(
                f"another deployment is under way; if it was cut off: docker rm {lock}"
            ) from None
        try:
            yield
        finally:
            held.remove(force=True)

    def ensure(self, image: str, address: str, port: int) -> None:
        """Have it run, and listen there.

        Raises
        ------
        UserError
            If the port is taken, or it does not run.
        """
        with told("the network could not be made"):
            if not self.client.networks.list(names=[self.name]):
                self.client.networks.create(self.name, driver="bridge", labels=self.labels)
        found = self.container
        wanted = {"8000/tcp": [{"HostIp": address, "HostPort": str(port)}]}
        if found is not None:
            host = found.attrs["HostConfig"]
            if host["PortBindings"] == wanted and found.image.id == image:
                found.start()
                return
            found.remove(force=True)  # it is to listen elsewhere, or is another version
        with told(f"cannot listen on {address}:{port} of the host; choose another: PORT=..."):
            try:
                self.client.containers.run(
                    image,
                    name=self.name,
                    labels=self.labels,
                    network=self.name,
                    ports={"8000/tcp": (address, port)},
                    read_only=True,
                    tmpfs={"/sock": "mode=1777"},
                    cap_drop=["ALL"],
                    security_opt=["no-new-privileges:true"],
                    restart_policy={"Name": "unless-stopped"},
                    mem_limit="128m",
                    detach=True,
                )
            except APIError:
                if self.container is not None:
                    self.container.remove(force=True)
                raise
        self.wait(lambda: bool(self.ask("show info")), "HAProxy does not answer")

    def ask(self, command: str) -> str:
        """Answer of HAProxy to a command."""
        return run(self.container, "python3", "-c", ASK, command)

    def servers(self) -> dict[str, dict[str, str]]:
        """State of both servers, by colour."""
        lines = self.ask("show stat").lstrip("# ").splitlines()
        rows = [dict(zip(lines[0].split(","), line.split(","), strict=False)) for line in lines[1:]]
        return {row["svname"]: row for row in rows if row.get("svname") in COLOURS}

    def close(self, colour: str) -> None:
        """Send nothing to a container, whatever its health."""
        self.ask(f"set server api/{colour} state maint")

    def switch(self, new: str, old: str) -> None:
        """Send all new requests to a container, and wait for the end of those at the old one.

        Raises
        ------
        UserError
            If the new one is not reached; then the old one goes on.
        """
        self.ask(f"set server api/{new} state ready")
        try:
            self.wait(
                lambda: self.servers().get(new, {}).get("status") == "UP",
                "the front does not reach the new container",
            )
        except UserError:
            self.close(new)
            raise
        if not old:
            return
        self.ask(f"set server api/{old} state drain")
        limit = time.monotonic() + PATIENCE
        while time.monotonic() < limit and self.servers()[old]["scur"] not in ("", "0"):
            time.sleep(0.1)
        self.close(old)

    def wait(self, done: Any, why: str) -> None:
        """Wait until something is so.

        Raises
        ------
        UserError
            If it takes too long.
        """
        limit = time.monotonic() + PATIENCE
        while not done():
            if time.monotonic() > limit:
                raise UserError(why)
            time.sleep(0.1)

    def remove(self) -> None:
        """Remove the container and the network."""
        with told("the front could not be removed"):
            if (found := self.container) is not None:
                found.remove(force=True)
            for network in self.client.networks.list(names=[self.name]):
                network.remove()
