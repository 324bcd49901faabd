"""The container of a version: what it is given, and what it answers, asked from inside."""

from __future__ import annotations

import io
import tarfile
import time
from pathlib import Path
from typing import Any

from coldstart.deploy.on_docker._front import PATIENCE
from coldstart.errors import UserError
from coldstart.images._hosts import run

READY = (
    "from urllib.request import urlopen; "
    "print(urlopen('http://127.0.0.1:8000/health/ready', timeout=5).read().decode())"
)
POST = """
import sys
from urllib.error import HTTPError
from urllib.request import Request, urlopen
asked = Request(sys.argv[1], sys.argv[2].encode(), {"Content-Type": "application/json"})
try:
    print(200, urlopen(asked, timeout=10).read().decode())
except HTTPError as error:
    print(error.code, error.read().decode())
"""


def wait_until_ready(container: Any) -> None:
    """Wait until the API in a container is ready.

    Raises
    ------
    UserError
        If it ends or takes too long; with what it said last.
    """
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        container.reload()
        if container.status == "running" and run(container, "python", "-c", READY):
            return
        if container.status in ("exited", "restarting", "dead"):
            break
        time.sleep(0.1)
    said = container.logs(tail=1).decode(errors="replace").strip() or "nothing"
    raise UserError(f"version {container.labels['deploy.version']} does not answer: {said}")


def ask(container: Any, url: str, body: str) -> tuple[int, str]:
    """Post a body; return the status and the answer."""
    code, _, said = run(container, "python", "-c", POST, url, body).partition(" ")
    return int(code or 0), said


def archive(path: Path) -> bytes:
    """Pack a file as the API's user may read it."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as packed:
        about = packed.gettarinfo(path, path.name)
        about.uid = about.gid = 10001
        about.mode = 0o400
        with path.open("rb") as content:
            packed.addfile(about, content)
    return file.getvalue()
