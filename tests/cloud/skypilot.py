"""SkyPilot for the tests: as the generated project pins it, unmodified except for one line."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conftest import ROOT, clean_environment, free_port
from filelock import FileLock

WANTED = ROOT / "{{cookiecutter.project_slug}}/infra/sky.txt"
RESERVED = Path("/proc/sys/net/ipv4/ip_local_reserved_ports")
# Added to the project's settings of SkyPilot.
SETTINGS = {"vpc_name": "testbed", "use_internal_ips": True, "ssh_proxy_command": "nc %h %p"}


def patch(environment: Path) -> None:
    """Let SkyPilot check at the testbed whether the network is up, not at two public addresses.

    Without a network it would replace no machine.
    """
    (module,) = environment.glob("lib/python*/site-packages/sky/backends/backend_utils.py")
    # It is copied to machines, where the variable is not set.
    asked = r"_TEST_IP_LIST = os.environ.get('SKYPILOT_TESTBED_PROBE', '').split() or \1"
    text, changed = re.subn(r"^_TEST_IP_LIST = (.*)", asked, module.read_text(), flags=re.MULTILINE)
    assert changed == 1
    # The file may be a link to uv's cache: it must be replaced, not written to.
    module.unlink()
    module.write_text(text)


def install() -> Path:
    """Install SkyPilot as the generated project pins it, once, in a folder that is kept."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    kept = Path(os.environ.get("TESTBED", cache / "coldstart-testbed"))
    wanted = WANTED.read_text() + inspect.getsource(patch)
    folder = kept / f"sky-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    kept.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):  # of the processes that run tests, one installs it
        if (folder / "made").is_file():
            return folder
        uv = [sys.executable, "-m", "uv", "--quiet"]
        settings = clean_environment() | {"UV_SYSTEM_CERTS": "1"}
        subprocess.run(
            [*uv, "venv", "--clear", "--python", sys.executable, str(folder)],
            env=settings,
            check=True,
        )
        packages = ["pip", "install", "--python", str(folder), "--requirements", str(WANTED)]
        subprocess.run([*uv, *packages], env=settings, check=True)
        patch(folder)
        (folder / "made").touch()
    return folder


def link(installed: Path, project: Path) -> None:
    """Let a project have SkyPilot, as if it had installed it, and the home of it to itself."""
    (project / ".sky").mkdir()
    for path in installed.iterdir():
        if path.name != "made":
            (project / ".sky" / path.name).symlink_to(path)
    (project / ".sky/made").write_text((project / "infra/sky.txt").read_text())


def queue_port(port: int) -> int:
    """Return the port of the queue of SkyPilot's server, beside its own."""
    return 50_000 + (port - 46_569) % 10_000


def free_ports() -> tuple[int, int]:
    """Return a port for SkyPilot's server such that its queue's is free as well, and that."""
    while True:
        port = free_port()
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", queue_port(port)))
            return port, queue_port(port)


@contextmanager
def reserved(*ports: int) -> Iterator[None]:
    """Keep ports from being given to connections while a server is started anew.

    A connection holds its port for a minute after its end, and other tests make thousands.
    """
    try:
        before = RESERVED.read_text()
        RESERVED.write_text(",".join([*before.split(), *map(str, ports)]))
    except OSError:  # not Linux, or not root: now and then a server will not start
        yield
        return
    try:
        yield
    finally:
        RESERVED.write_text(before)


@contextmanager
def surroundings(home: Path, addresses: dict[str, str]) -> Iterator[dict[str, str]]:
    """Yield the environment of a user, whose own home is beside that of SkyPilot."""
    (home / "user").mkdir(parents=True, exist_ok=True)
    cache = Path("~/.cache/uv").expanduser()
    port, queue = free_ports()
    settings = {
        "HOME": str(home / "user"),
        "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", str(cache)),
        "AWS_ENDPOINT_URL": addresses["public"],
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "SKYPILOT_API_SERVER_LOCAL_PORT": str(port),
        "SKYPILOT_DISABLE_USAGE_COLLECTION": "1",
        "SKYPILOT_SKIP_CLOUD_IDENTITY_CHECK": "1",
        "SKYPILOT_POD_MEMORY_GB_LIMIT": "4",  # else it starts a dozen controllers
        "SKYPILOT_TESTBED_PROBE": f"{addresses['behind']}/moto-api/",
    }
    with reserved(port, queue):
        yield settings
