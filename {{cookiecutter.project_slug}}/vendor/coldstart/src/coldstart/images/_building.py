"""Building an image, with the docker command line: the SDK cannot build with BuildKit."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from coldstart._progress import StageTimer
from coldstart.bundle._bundle import registered_version, verify_bundle
from coldstart.errors import UserError
from coldstart.images._hosts import reach
from coldstart.images._smoke import answers, tag
from coldstart._provenance import git

CHAMPION = Path("bundles/champion")
TOLD = 30  # lines of a build that failed

log = logging.getLogger(__name__)

# Where pip and uv keep what a person has set; the first that is there counts.
SETTINGS = {
    "pip.conf": ("~/.config/pip/pip.conf", "~/.pip/pip.conf", "/etc/pip.conf"),
    "uv.toml": ("~/.config/uv/uv.toml", "/etc/uv/uv.toml"),
}
VARIABLES = {
    "pip.conf": "PIP_CONFIG_FILE",
    "uv.toml": "UV_CONFIG_FILE",
    "certificates": "SSL_CERT_FILE",
}


def build_serve(base: str | None) -> None:
    """Build the champion's API, try it, and call it the latest if it answers.

    Raises
    ------
    UserError
        If there is no champion, no engine, or the image fails to build or to answer.
    """
    verify_bundle(CHAMPION)
    version = registered_version(CHAMPION).get("version", "unregistered")
    image = f"{name()}:{version}"
    build("serve", image, base, VERSION=version)
    size, seconds = answers(image)
    tag(image, "latest")
    print(f"{image} (and {name()}:latest): {size / 2**20:.0f} MiB, ready after {seconds:.1f} s")


def build_train(base: str | None, host: str = "local", gpu: bool = False) -> str:
    """Build the whole environment; TORCH chooses torch's build as in `make setup`.

    Parameters
    ----------
    gpu
        Whether PyPI's build of torch, which brings CUDA, is the default.

    Returns
    -------
    str
        The image's name.

    Raises
    ------
    UserError
        If there is no engine, or the image fails to build.
    """
    image = f"{name()}:train"
    build("train", image, base, host, TORCH=os.environ.get("TORCH", "pypi" if gpu else ""))
    return image


def name() -> str:
    """Return the project's name, which is the images' too."""
    about = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    return str(about["project"]["name"])


def build(target: str, image: str, base: str | None, host: str = "local", **arguments: str) -> None:
    """Build one target of infra/Dockerfile, on the engine that is to have it.

    Raises
    ------
    UserError
        If docker is missing, no engine answers, or the build fails.
    """
    engine = address(host)
    check_docker(engine)
    commit = git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    arguments["REVISION"] = commit or "unknown"
    if base:
        arguments["BASE"] = base
    command = ["docker", "build", "--file", "infra/Dockerfile", "--target", target, "--tag", image]
    for key, value in arguments.items():
        command += ["--build-arg", f"{key}={value}"]
    for key, path in secrets().items():
        command += ["--secret", f"id={key},src={path}"]
    # AWS Lambda takes no image that comes with an attestation.
    settings = {"DOCKER_BUILDKIT": "1", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
    # In a terminal BuildKit draws its progress; elsewhere it tells a line for each of many steps.
    shown = sys.stderr.isatty() or log.isEnabledFor(logging.INFO)
    stages = StageTimer()
    done = subprocess.run(
        [*command, "."],
        env=os.environ | engine | settings,
        stdout=None if shown else subprocess.PIPE,
        stderr=None if shown else subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        print(*(done.stdout or "").splitlines()[-TOLD:], sep="\n", file=sys.stderr)
        raise UserError(f"{image} was not built: see above")
    stages.done(f"built {image}")


def secrets() -> dict[str, Path]:
    """Files that installing may need and no layer may hold, by the names the Dockerfile uses."""
    found = {}
    for key, variable in VARIABLES.items():
        places = [os.environ.get(variable, ""), *SETTINGS.get(key, ())]
        paths = [Path(place).expanduser() for place in places if place]
        if path := next((path for path in paths if path.is_file()), None):
            found[key] = path
    return found


def address(host: str) -> dict[str, str]:
    """Variables by which the docker command line asks a host's engine; by default its own."""
    if host == "local":
        return {}
    secure = {"DOCKER_TLS_VERIFY": "1"} if host.startswith("tcp://") else {}
    return {"DOCKER_HOST": reach(host), **secure}


def check_docker(engine: dict[str, str]) -> None:
    """Tell what is missing before anything is done.

    Raises
    ------
    UserError
        If docker is not installed, or its engine does not answer.
    """
    if not shutil.which("docker"):
        raise UserError("docker is not installed: see https://docs.docker.com/get-docker")
    done = subprocess.run(
        ["docker", "version"], env=os.environ | engine, capture_output=True, text=True, check=False
    )
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or ["it says nothing"]
        raise UserError(f"docker's engine does not answer; start it, and try again ({reason[0]})")
