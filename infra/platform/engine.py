"""What the commands ask of Docker, of the running platform, and of its .env."""

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
# Names it is asked under, with commas between, if not localhost or a private address.
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
    """What was wrong and what to do, in a line."""


def settings() -> dict[str, str]:
    """Return what .env says.

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
        If the data of a platform is there, whose passwords are others.
    """
    if docker("volume", "ls", "--quiet", "--filter", f"name=^{NAME}_database$"):
        raise PlatformError(
            f"the data of a platform is here (volume {NAME}_database), but .env with its passwords "
            "is not: bring it back, or make wipe"
        )
    made = [secrets.token_hex(16) for _ in range(5)]
    text = SETTINGS.format(*made, name=NAME, port=os.environ.get("PORT", "5001"))
    with os.fdopen(os.open(ENV, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def docker(*arguments: str) -> str:
    """Output of a docker command.

    Raises
    ------
    PlatformError
        If it fails, with the last line of what it said.
    """
    if not shutil.which("docker"):
        raise PlatformError("docker is not installed: see https://docs.docker.com/get-docker")
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or ["it says nothing"]
        raise PlatformError(f"docker {arguments[0]}: {said[0]}")
    return done.stdout.strip()


def compose(*arguments: str) -> None:
    """Run a command of docker compose; it shows what it does.

    Raises
    ------
    PlatformError
        If it fails; it has said why.
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
        If it fails; docker has said why.
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
        If it fails; it has said why.
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
    """Where the platform answers on this machine."""
    return f"http://127.0.0.1:{settings()['PORT']}"


def ask(method: str, path: str, **content: Any) -> None:
    """Ask MLflow's API as the administrator.

    Raises
    ------
    PlatformError
        If it does not answer, or refuses.
    """
    env = settings()
    login = base64.b64encode(f"{env['ADMIN_USERNAME']}:{env['ADMIN_PASSWORD']}".encode()).decode()
    request = urllib.request.Request(
        f"{address()}/api/2.0/mlflow/{path}",
        json.dumps(content).encode(),
        {"Content-Type": "application/json", "Authorization": f"Basic {login}"},
        method=method,
    )
    try:
        urllib.request.urlopen(request, timeout=60).close()
    except urllib.error.HTTPError as error:
        said = error.read().decode(errors="replace")
        try:
            # Behind the first sentence stands what the database said, password hashes included.
            said = json.loads(said)["message"].partition(" Error:")[0]
        except (ValueError, KeyError, TypeError):
            said = f"{error.code} {said[:200]}"
        raise PlatformError(f"MLflow says: {said}") from None
    except OSError as error:
        raise PlatformError(f"MLflow does not answer at {address()}: make up ({error})") from None
