"""Checks of the machine: room, ports, and the clock."""

from __future__ import annotations

import errno
import shutil
import socket
from urllib.parse import urlsplit

from coldstart._diagnostics import Finding, clock, note, ok, wrong

LEAST, ROOM = 1, 10  # GB: what a training may write; what an image with torch takes as well
PRIVILEGED = 1024  # ports below are the administrator's


def disk() -> Finding:
    """Whether there is room for runs and bundles, and for the image that trains."""
    about, free = "disk", shutil.disk_usage(".").free / 1e9
    if free < LEAST:
        said = f"{free:.1f} GB are free: a training may find it full"
        return wrong(about, said, "du -shc .[!.]* *, and delete or move what is not needed")
    if free < ROOM:
        said = f"{free:.1f} GB are free: an image with torch takes several"
        return note(about, said, "docker system prune")
    return ok(about, f"{free:.0f} GB are free")


def port(host: str, number: int, command: str) -> Finding:
    """Whether a command can listen where it would."""
    about = f"port {number}"
    trouble = refused(host, number)
    if not trouble:
        return ok(about, f"free for {command}")
    if trouble.errno not in (errno.EADDRINUSE, errno.EACCES):
        mend = "in config.yaml, below serving: 'host: 127.0.0.1'"
        return wrong(about, f"cannot listen on {host}: {trouble.strerror}", mend)
    numbers = range(max(number + 1, PRIVILEGED), 65536)
    other = next((one for one in numbers if not refused(host, one)), 0)
    mend = f"{command} PORT={other}"
    if trouble.errno == errno.EACCES:
        return wrong(about, f"only an administrator may listen there, so {command} cannot", mend)
    return note(about, f"in use; unless that is {command}, choose another", mend)


def refused(host: str, number: int) -> OSError | None:
    """Why nothing can listen there, or None if something can."""
    try:
        socket.create_server((host, number)).close()
    except OSError as error:
        return error
    return None


def tracking(address: str) -> Finding:
    """Whether the tracking server answers, and has the same time: runs are told apart by it."""
    import requests  # the other checks are there to tell if it is missing

    server = urlsplit(address).netloc.rpartition("@")[2]  # without a password
    try:
        answer = requests.get(address, timeout=10)
    except requests.RequestException as error:
        said = f"{server} does not answer ({type(error).__name__})"
        return wrong("tracking", said, "start it, or mend tracking_uri (MLFLOW_TRACKING_URI)")
    if "date" not in answer.headers:
        return note("clock", f"not compared: {server} tells no time")
    return clock(answer.headers["date"], f"{server}'s")
