"""The screenshot of the demo page, taken by an installed browser."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from coldstart._project import Project
from coldstart.errors import UserError

SCREENSHOT = Path("docs/demo.png")
BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
SIZE = "1200,900"
TIMEOUT = 60  # seconds for the API to start, and for the browser to draw


def take_screenshot(project: Project) -> None:
    """Serve the champion, and take a screenshot of the page at `/`.

    Parameters
    ----------
    project : Project
        The project, whose command `serve` is run.

    Raises
    ------
    UserError
        If there is no browser or no such page; an older picture is then still there.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not browser:
        raise UserError(f"no browser was found for {SCREENSHOT}: install Chromium or Chrome")
    unfinished = SCREENSHOT.with_name(f".{SCREENSHOT.name}")
    command = [browser, "--headless", "--disable-gpu", "--hide-scrollbars", f"--window-size={SIZE}"]
    command += [f"--screenshot={unfinished.resolve()}", "--virtual-time-budget=5000"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--no-sandbox")  # Chromium's sandbox does not work as root
    with running_api(project) as url:
        if "text/html" not in content_type(url):
            raise UserError("the API has no page at /: see serving.docs in config.yaml")
        SCREENSHOT.parent.mkdir(exist_ok=True)
        done = subprocess.run([*command, url], capture_output=True, text=True, timeout=TIMEOUT)
    if not unfinished.is_file():
        reason = (done.stderr.splitlines() or [""])[-1]
        raise UserError(f"{browser} took no screenshot: {reason}")
    unfinished.replace(SCREENSHOT)


@contextmanager
def running_api(project: Project) -> Iterator[str]:
    """Yield the API's address, while it runs."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = project.command("serve", "--serving.port", str(port))
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        url = f"http://127.0.0.1:{port}/"
        try:
            end = time.monotonic() + TIMEOUT
            while not content_type(f"{url}health/ready"):
                if process.poll() is not None or time.monotonic() > end:
                    raise UserError("the API does not start: see make serve")
                time.sleep(0.1)
            yield url
        finally:
            process.terminate()


def content_type(url: str) -> str:
    """Return the content type of an address; empty if it does not respond."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return str(response.headers.get_content_type())
    except (OSError, urllib.error.URLError):
        return ""
