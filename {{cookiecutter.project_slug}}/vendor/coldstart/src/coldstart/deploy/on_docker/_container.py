"""The container of a version: the files in it, and requests from inside."""

from __future__ import annotations

import io
import tarfile
import time
from pathlib import Path
from typing import Any

from coldstart.errors import UserError
from coldstart.images._hosts import open_archive, run, translate_errors

PREDICTION_LOG = "/app/state/served"
START = 180  # seconds that a version has to become ready, on a host that does much else
READY = (
    "from urllib.request import urlopen; "
    "print(urlopen('http://127.0.0.1:8000/health/ready', timeout=5).read().decode())"
)
POST = """
import sys
from urllib.error import HTTPError
from urllib.request import Request, urlopen
request = Request(sys.argv[1], sys.argv[2].encode(), {"Content-Type": "application/json"})
try:
    print(200, urlopen(request, timeout=10).read().decode())
except HTTPError as error:
    print(error.code, error.read().decode())
"""


def wait_until_ready(container: Any) -> None:
    """Wait until the API in a container is ready.

    Raises
    ------
    UserError
        If it ends or takes too long; with the last line that it printed.
    """
    limit = time.monotonic() + START
    while time.monotonic() < limit:
        container.reload()
        if container.status == "running" and run(container, "python", "-c", READY):
            return
        if container.status in ("exited", "restarting", "dead"):
            break
        time.sleep(0.1)
    last = container.logs(tail=1).decode(errors="replace").strip() or "it prints nothing"
    raise UserError(f"version {container.labels['deploy.version']} does not respond: {last}")


def post(container: Any, url: str, body: str) -> tuple[int, str]:
    """Post JSON from inside a container; return status and body of the response."""
    code, _, text = run(container, "python", "-c", POST, url, body).partition(" ")
    return int(code or 0), text


def archive_of_file(path: Path) -> bytes:
    """Return a tar archive of a file that the API's user may read."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tar.gettarinfo(path, path.name)
        entry.uid = entry.gid = 10001
        entry.mode = 0o400
        with path.open("rb") as content:
            tar.addfile(entry, content)
    return archive.getvalue()


def download_prediction_log(container: Any, folder: Path) -> int:
    """Download files of the prediction log that are not here yet, and return how many.

    The container may have ended.
    """
    with (
        translate_errors(f"the prediction log of {container.name} could not be read"),
        open_archive(container, PREDICTION_LOG) as tar,
    ):
        return sum(extract_new(tar, member, folder) for member in tar) if tar else 0


def extract_new(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> bool:
    """Write one file as a whole, and return whether it was new."""
    name = Path(member.name).name
    content = tar.extractfile(member) if name.endswith(".parquet") else None
    if content is None or name.startswith(".") or (folder / name).exists():
        return False
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f".{name}"
    unfinished.write_bytes(content.read())
    unfinished.replace(folder / name)
    return True
