"""A provider of machines for the tests: moto's AWS, whose instances are containers with sshd.

    python provider.py --skypilot 0.14.1

It prints one line of JSON when it is ready: `public`, the address of its API for this computer and
for the machines alike, and `behind`, where the same API answers whatever faults are set, and where
faults are set. It ends at SIGTERM, and leaves nothing behind.

    POST /testbed/faults [{"call": "ec2:RunInstances", "error": ..., ...}, ...]    see faults.py
    GET  /testbed/calls                                  the calls: what, when and by whom
    POST /testbed/away true | false                      whether the public address is closed
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TextIO

import boto3
from catalogue import ZONES
from faults import Faults, StartResponse
from image import build
from machines import GATEWAY, NETWORK, RANGE, Machines, clear, docker, make_networks
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import BaseWSGIServer, make_server

# Whatever the person's own is: none of this leaves the computer.
ACCOUNT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_EC2_METADATA_DISABLED": "true",
    "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",
}
PROFILE = "skypilot-v1"  # SkyPilot makes it, and then waits long until AWS knows it everywhere


def alone() -> TextIO:
    """Wait until no other provider runs on this computer: they would share names and addresses.

    Returns
    -------
    What holds the lock for as long as it is open.
    """
    lock = Path(tempfile.gettempdir(), f"{NETWORK}.lock").open("w")  # noqa: SIM115
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def make_profile(endpoint: str) -> None:
    """Make the profile that SkyPilot makes for its machines when it rents the first."""
    iam = boto3.client("iam", region_name="us-east-1", endpoint_url=endpoint)
    iam.create_role(RoleName=PROFILE, AssumeRolePolicyDocument="{}")
    iam.create_instance_profile(InstanceProfileName=PROFILE)
    iam.add_role_to_instance_profile(InstanceProfileName=PROFILE, RoleName=PROFILE)


class Quiet(MotoRequestHandler):
    """Writes no line for each request: there are the calls."""

    def log_request(self, *_: Any) -> None:
        pass


def serve(address: str, port: int, application: Any) -> BaseWSGIServer:
    """Serve an application from a thread."""
    server = make_server(address, port, application, threaded=True, request_handler=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class Provider:
    """The provider's API, as all see it, and what is behind it."""

    def __init__(self) -> None:
        self.moto: Callable[..., Iterable[bytes]] = DomainDispatcherApplication(create_backend_app)
        self.faults = Faults(self.moto)
        self.front: BaseWSGIServer | None = serve(GATEWAY, 0, self.faults)
        self.port = self.front.server_port
        self.behind = serve("127.0.0.1", 0, self.answer)

    @property
    def addresses(self) -> dict[str, str]:
        """Where it is."""
        return {
            "public": f"http://{GATEWAY}:{self.port}",
            "behind": f"http://127.0.0.1:{self.behind.server_port}",
        }

    def answer(self, environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        """Respond to the tests: to calls of the API, and to settings of faults."""
        path = environ["PATH_INFO"]
        if not path.startswith("/testbed/"):
            return self.moto(environ, start)
        length = int(environ.get("CONTENT_LENGTH") or 0)
        value = json.loads(environ["wsgi.input"].read(length) or "null")
        if path == "/testbed/faults":
            self.faults.set(value)
        elif path == "/testbed/away":
            self.close() if value else self.open()
        start("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(self.faults.written() if path == "/testbed/calls" else None).encode()]

    def close(self) -> None:
        """Refuse connections."""
        if self.front:
            self.front.shutdown()
            self.front.server_close()
            self.front = None

    def open(self) -> None:
        """Accept connections again, at the same address."""
        if self.front is None:
            self.front = serve(GATEWAY, self.port, self.faults)


def main() -> None:
    """Start, wait for the end, clear away."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--skypilot", required=True, help="version that machines are prepared for")
    arguments = parser.parse_args()
    os.environ.update(ACCOUNT)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    image = build(arguments.skypilot)
    lock = alone()
    clear()
    docker("network", "create", "--subnet", RANGE, "--gateway", GATEWAY, NETWORK)
    try:
        provider = Provider()
        public, behind = provider.addresses["public"], provider.addresses["behind"]
        make_networks(ZONES, behind)
        make_profile(behind)
        machines = Machines(list(ZONES), behind, public, image)
        machines.start()
        print(json.dumps(provider.addresses), flush=True)
        while not ended.wait(1):  # a signal that another thread has got does not wake this one
            pass
        machines.stopped.set()
        machines.join()
    finally:
        clear()
        lock.close()


if __name__ == "__main__":
    main()
