"""The demo: generate a project, train on real data, and request a prediction.

It stops every process that it starts, unless `--keep` is given.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".demo"


def main() -> int:
    """Run the demo and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", action="store_true", help="leave the API and MLflow running")
    keep = parser.parse_args().keep

    begin = time.perf_counter()
    project = generate()
    say(f"generated {project}")
    generated = time.perf_counter()
    run("make", "setup", folder=project)
    installed = time.perf_counter()
    run("make", "train", folder=project)

    servers: list[subprocess.Popen[bytes]] = []
    try:
        port = free_port(8000)
        servers.append(start("make", "serve", f"PORT={port}", folder=project))
        api = f"http://127.0.0.1:{port}"
        wait(f"{api}/health/ready", servers[-1])
        rows = get(f"{api}/openapi.json")["components"]["schemas"]["Rows"]["examples"][0]
        prediction = get(f"{api}/predict", rows)
        predicted = time.perf_counter()
        say("request", indent(rows), "response", indent(prediction))

        port = free_port(5001)
        servers.append(start("make", "ui", f"PORT={port}", folder=project))
        mlflow = f"http://127.0.0.1:{port}"
        wait(f"{mlflow}/health", servers[-1])
        run("make", "leaderboard", folder=project)
        seconds = predicted - begin
        say(
            f"from the template to a prediction: {seconds:.0f} s, "
            f"{seconds - (installed - generated):.0f} s without the environment",
            f"demo page   {api}/",
            f"API docs    {api}/docs",
            f"MLflow      {mlflow}",
            f"project     {project}",
        )
        if keep:
            pids = " ".join(str(server.pid) for server in servers)
            say(f"the servers keep running; to stop them: kill {pids}")
            servers.clear()
        else:
            say("the servers were stopped; to keep them running: make demo KEEP=1")
    finally:
        for server in servers:
            server.terminate()
        for server in servers:
            server.wait(timeout=30)
    return 0


def generate() -> Path:
    """Generate a project with the default answers, in place of an earlier demo's."""
    if FOLDER.exists():
        shutil.rmtree(FOLDER)
    cookiecutter = Path(sys.executable).with_name("cookiecutter")
    subprocess.run(
        [cookiecutter, "--no-input", "--output-dir", FOLDER, ROOT],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return next(FOLDER.iterdir())


def environment() -> dict[str, str]:
    """Return the process's environment without what belongs to the template's own make."""
    ours = ("VIRTUAL_ENV", "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "PYTHONDONTWRITEBYTECODE")
    return {name: value for name, value in os.environ.items() if name not in ours}


def run(*command: str, folder: Path) -> None:
    """Print a command, and run it."""
    say(f"$ {' '.join(command)}")
    done = subprocess.run(command, cwd=folder, env=environment(), check=False)
    if done.returncode:
        sys.exit(done.returncode)


def start(*command: str, folder: Path) -> subprocess.Popen[bytes]:
    """Start a command in the background; its output goes to a file beside the project."""
    say(f"$ {' '.join(command)} &")
    with (FOLDER / f"{command[1]}.log").open("wb") as log:
        return subprocess.Popen(command, cwd=folder, env=environment(), stdout=log, stderr=log)


def free_port(wanted: int) -> int:
    """Return the wanted port if nothing listens there, else any free one."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no port is free")


def wait(url: str, server: subprocess.Popen[bytes], seconds: float = 120) -> None:
    """Wait until a server responds."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end and server.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except (OSError, urllib.error.URLError):
            time.sleep(0.1)
        else:
            return
    sys.exit(f"error: {url} does not respond; see {FOLDER}/*.log")


def get(url: str, body: Any = None) -> Any:
    """Get JSON, or post some and get the response."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


def indent(value: Any) -> str:
    """Return JSON with line breaks."""
    return json.dumps(value, indent=2)


def say(*lines: str) -> None:
    """Print lines, with an empty one before them."""
    print("", *lines, sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
