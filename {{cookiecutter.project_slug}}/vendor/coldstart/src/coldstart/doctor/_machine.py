"""Checks of the computer: disk, ports, tracking server and clock."""

from __future__ import annotations

import errno
import shutil
import socket
from urllib.parse import urlsplit

from coldstart._diagnostics import Finding, check_clock, note, ok, wrong

# GB that a training may write, and that an image with torch takes as well.
TRAINING_GB, IMAGE_GB = 1, 10
FIRST_UNPRIVILEGED_PORT = 1024


def disk() -> Finding:
    """Check that there is room for runs and bundles, and for the image that trains."""
    free = shutil.disk_usage(".").free / 1e9
    if free < TRAINING_GB:
        message = f"{free:.1f} GB are free: a training may fill the disk"
        return wrong("disk", message, "du -shc .[!.]* *, and delete or move what is not needed")
    if free < IMAGE_GB:
        message = f"{free:.1f} GB are free: an image with torch takes several"
        return note("disk", message, "docker system prune")
    return ok("disk", f"{free:.0f} GB are free")


def port(host: str, number: int, command: str) -> Finding:
    """Check that a command can listen on its port.

    Parameters
    ----------
    host : str
        Address to listen on.
    number : int
        The port.
    command : str
        The command, such as ``make serve``.
    """
    subject = f"port {number}"
    error = listen_error(host, number)
    if not error:
        return ok(subject, f"free for {command}")
    if error.errno not in (errno.EADDRINUSE, errno.EACCES):
        hint = "in config.yaml, below serving: 'host: 127.0.0.1'"
        return wrong(subject, f"cannot listen on {host}: {error.strerror}", hint)
    numbers = range(max(number + 1, FIRST_UNPRIVILEGED_PORT), 65536)
    other = next((one for one in numbers if not listen_error(host, one)), 0)
    hint = f"{command} PORT={other}"
    if error.errno == errno.EACCES:
        message = f"only an administrator may listen on it, so {command} cannot"
        return wrong(subject, message, hint)
    return note(subject, f"in use; unless {command} uses it, choose another", hint)


def listen_error(host: str, number: int) -> OSError | None:
    """Return why no program can listen on a port, or None if one can."""
    try:
        socket.create_server((host, number)).close()
    except OSError as error:
        return error
    return None


def tracking(address: str) -> Finding:
    """Check that the tracking server responds, and that its clock agrees.

    Parameters
    ----------
    address : str
        The server's address. A password in it is not printed.
    """
    import requests  # the other checks report it if it is missing

    server = urlsplit(address).netloc.rpartition("@")[2]
    try:
        response = requests.get(address, timeout=10)
    except requests.RequestException as error:
        message = f"{server} does not respond ({type(error).__name__})"
        return wrong("tracking", message, "start it, or correct MLFLOW_TRACKING_URI")
    if "date" not in response.headers:
        return note("clock", f"not compared: the response of {server} holds no time")
    return check_clock(response.headers["date"], f"{server}'s")
