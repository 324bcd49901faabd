"""The screenshot of the demo's page, by the browser that is there."""

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

SHOT = Path("docs/demo.png")
BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
SIZE = "1200,900"
SECONDS = 60  # that the API may take to start, and the browser to draw


def take(project: Project) -> None:
    """Serve the champion, and take a picture of the page at `/`.

    Raises
    ------
    UserError
        If there is no browser or no such page; an older picture is then still there.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not browser:
        raise UserError(f"no browser was found for {SHOT}: install Chromium or Chrome")
    unfinished = SHOT.with_name(f".{SHOT.name}")
    command = [browser, "--headless", "--disable-gpu", "--hide-scrollbars", f"--window-size={SIZE}"]
    command += [f"--screenshot={unfinished.resolve()}", "--virtual-time-budget=5000"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--no-sandbox")  # which root has none of
    with served(project) as url:
        if "text/html" not in kind(url):
            raise UserError(
                "the API has no page at / to take a picture of: see serving.docs in config.yaml"
            )
        SHOT.parent.mkdir(exist_ok=True)
        done = subprocess.run([*command, url], capture_output=True, text=True, timeout=SECONDS)
    if not unfinished.is_file():
        raise UserError(f"{browser} took no picture: {(done.stderr.splitlines() or [''])[-1]}")
    unfinished.replace(SHOT)


@contextmanager
def served(project: Project) -> Iterator[str]:
    """The API's address, while it runs."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = project.command("serve", "--serving.port", str(port))
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        url = f"http://127.0.0.1:{port}/"
        try:
            end = time.monotonic() + SECONDS
            while not kind(f"{url}health/ready"):
                if process.poll() is not None or time.monotonic() > end:
                    raise UserError("the API does not start: see make serve")
                time.sleep(0.1)
            yield url
        finally:
            process.terminate()


def kind(url: str) -> str:
    """Type of what is at an address; empty if there is nothing."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return str(answer.headers.get_content_type())
    except (OSError, urllib.error.URLError):
        return ""
