"""Docker, the running platform and its .env, as the commands use them."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO, Any

HERE = Path(__file__).resolve().parent
ENV = HERE / ".env"
NAME = os.environ.get("COMPOSE_PROJECT_NAME", "tracking")
DATABASE = "mlflow"  # its user is called so as well
# What a new platform's .env holds.
SETTINGS = """\
# The settings and secrets of this platform. `make up` wrote it; keep a copy beside the backups.
COMPOSE_PROJECT_NAME={name}
PORT={port}
WORKERS=1
# Host names of the platform, separated by commas, besides localhost and private addresses.
HOSTS=
ADMIN_USERNAME=admin
ADMIN_PASSWORD={}
POSTGRES_PASSWORD={}
FLASK_SECRET={}
# Where artifacts are. In a bucket at AWS: no profile, no endpoint, s3://BUCKET/FOLDER and its keys.
COMPOSE_PROFILES=store
S3_ENDPOINT=http://store:9000
ARTIFACTS=s3://mlflow
S3_REGION=us-east-1
S3_ACCESS_KEY_ID={}
S3_SECRET_ACCESS_KEY={}
"""
# Where pip's settings may be; a build may need them, and no image holds them.
PIP = ("~/.config/pip/pip.conf", "~/.pip/pip.conf", "/etc/pip.conf")


class PlatformError(Exception):
    """What was wrong and how to fix it, in a line."""


def settings() -> dict[str, str]:
    """Return the settings in .env.

    Raises
    ------
    PlatformError
        If there is none.
    """
    if not ENV.is_file():
        raise PlatformError("there is no platform here yet: make up")
    lines = (line.partition("=") for line in ENV.read_text().splitlines() if line[:1] != "#")
    return {key: value for key, _, value in lines if key}


def new_settings() -> None:
    """Write .env with new secrets, which only its owner can read.

    Raises
    ------
    PlatformError
        If there is the data of a platform with other passwords.
    """
    if docker("volume", "ls", "--quiet", "--filter", f"name=^{NAME}_database$"):
        raise PlatformError(
            f"there is the data of a platform (volume {NAME}_database), but no .env with its "
            "passwords: copy it here, or make wipe"
        )
    made = [secrets.token_hex(16) for _ in range(5)]
    text = SETTINGS.format(*made, name=NAME, port=os.environ.get("PORT", "5001"))
    with os.fdopen(os.open(ENV, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def docker(*arguments: str) -> str:
    """Return the output of a docker command.

    Raises
    ------
    PlatformError
        If it fails, with the last line that it printed.
    """
    if not shutil.which("docker"):
        raise PlatformError("docker is not installed: see https://docs.docker.com/get-docker")
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines()[-1:] or ["it prints nothing"]
        raise PlatformError(f"docker {arguments[0]}: {lines[0]}")
    return done.stdout.strip()


def compose(*arguments: str) -> None:
    """Run a command of docker compose, and show its output.

    Raises
    ------
    PlatformError
        If it fails; its output names the reason.
    """
    if subprocess.run(composed(*arguments), check=False).returncode:
        raise PlatformError(f"docker compose {arguments[0]} failed: see above")


def composed(*arguments: str) -> list[str]:
    """Return the whole command for docker compose."""
    return ["docker", "compose", "--project-directory", str(HERE), *arguments]


def build() -> None:
    """Build the server's image, with the settings of pip and the certificates of this machine.

    Raises
    ------
    PlatformError
        If it fails; docker's output names the reason.
    """
    command = ["docker", "build", "--tag", f"{settings()['COMPOSE_PROJECT_NAME']}-mlflow"]
    given = {"pip.conf": [os.environ.get("PIP_CONFIG_FILE", ""), *PIP]}
    given["certificates"] = [os.environ.get("SSL_CERT_FILE", "")]
    for secret, places in given.items():
        paths = [Path(place).expanduser() for place in places if place]
        if path := next((path for path in paths if path.is_file()), None):
            command += ["--secret", f"id={secret},src={path}"]
    environment = os.environ | {"DOCKER_BUILDKIT": "1"}
    if subprocess.run([*command, str(HERE)], env=environment, check=False).returncode:
        raise PlatformError("the image of the MLflow server was not built: see above")


def require_running(*services: str) -> None:
    """Tell if services do not run.

    Raises
    ------
    PlatformError
        If one does not.
    """
    settings()
    command = composed("ps", "--services", "--status", "running")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not set(services) <= set(done.stdout.split()):
        raise PlatformError("the platform is not running: make up")


def execute(
    *command: str, stdin: IO[bytes] | None = None, stdout: IO[bytes] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run a program beside the database, in its container.

    Raises
    ------
    PlatformError
        If it fails; its output names the reason.
    """
    full = composed("exec", "--no-TTY", "postgres", *command)
    pipe = subprocess.PIPE if stdout is None else stdout
    done = subprocess.run(full, stdin=stdin or subprocess.DEVNULL, stdout=pipe, check=False)
    if done.returncode:
        raise PlatformError(f"{command[0]} failed: see above")
    return done


def query(statement: str, database: str = DATABASE) -> str:
    """Answer of the database to a statement."""
    options = ("--quiet", "--no-align", "--tuples-only", "--set", "ON_ERROR_STOP=1")
    names = ("--username", DATABASE, "--dbname", database)
    return execute("psql", *options, *names, "--command", statement).stdout.decode().strip()


def in_server(*command: str) -> list[str]:
    """Return the command that runs Python in a new container of the server's image."""
    return composed("run", "--rm", "--no-deps", "--no-TTY", "mlflow", "python", *command)


def address() -> str:
    """Return the address of the platform on this machine."""
    return f"http://127.0.0.1:{settings()['PORT']}"


def request(method: str, path: str, **content: Any) -> None:
    """Send a request to MLflow's API as the administrator.

    Raises
    ------
    PlatformError
        If it does not respond, or refuses.
    """
    env = settings()
    login = base64.b64encode(f"{env['ADMIN_USERNAME']}:{env['ADMIN_PASSWORD']}".encode()).decode()
    prepared = urllib.request.Request(
        f"{address()}/api/2.0/mlflow/{path}",
        json.dumps(content).encode(),
        {"Content-Type": "application/json", "Authorization": f"Basic {login}"},
        method=method,
    )
    try:
        urllib.request.urlopen(prepared, timeout=60).close()
    except urllib.error.HTTPError as error:
        message = error.read().decode(errors="replace")
        try:
            # The first sentence is followed by the database's message, with password hashes in it.
            message = json.loads(message)["message"].partition(" Error:")[0]
        except (ValueError, KeyError, TypeError):
            message = f"{error.code} {message[:200]}"
        raise PlatformError(f"MLflow refuses: {message}") from None
    except OSError as error:
        raise PlatformError(f"MLflow does not respond at {address()}: make up ({error})") from None
