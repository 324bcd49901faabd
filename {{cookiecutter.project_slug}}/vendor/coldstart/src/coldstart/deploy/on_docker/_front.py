"""The front: HAProxy, which has the port, and sends requests to one of two containers."""

from __future__ import annotations

import contextlib
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


class Front:
    """The front of the API on a host.

    Parameters
    ----------
    client : DockerClient
        The host's engine.
    name : str
        Name of the project. Container and network are called `NAME-front`.
    """

    def __init__(self, client: docker.DockerClient, name: str) -> None:
        self.client, self.name = client, f"{name}-front"
        self.labels = {"deploy.project": name}

    @property
    def container(self) -> Any:
        """Container of HAProxy, or None."""
        try:
            return self.client.containers.get(self.name)
        except NotFound:
            return None

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

    def ensure(self, image: str, address: str, port: int) -> None:
        """Start it, unless it runs and listens there.

        Parameters
        ----------
        image : str
            Id of its image.
        address : str
            Address of the host to listen on.
        port : int
            The port.

        Raises
        ------
        UserError
            If the port is in use, or it does not run.
        """
        with translate_errors("the network could not be created"):
            if not self.client.networks.list(names=[self.name]):
                self.client.networks.create(self.name, driver="bridge", labels=self.labels)
        found = self.container
        wanted = {"8000/tcp": [{"HostIp": address, "HostPort": str(port)}]}
        if found is not None:
            host = found.attrs["HostConfig"]
            if host["PortBindings"] == wanted and found.image.id == image:
                found.start()
                return
            found.remove(force=True)  # it listens elsewhere, or is another version
        with translate_errors(
            f"cannot listen on {address}:{port} of the host; choose another port: PORT=..."
        ):
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
        self.wait(lambda: bool(self.send("show info")), "HAProxy does not respond")

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

        Parameters
        ----------
        new : str
            Color of the container.
        old : str
            Color of the one before it, or an empty string.

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

    def remove(self) -> None:
        """Remove the container and the network."""
        with translate_errors("the front could not be removed"):
            if (found := self.container) is not None:
                found.remove(force=True)
            for network in self.client.networks.list(names=[self.name]):
                network.remove()
