"""Building images, with the docker command line: Docker's SDK cannot build with BuildKit."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

from coldstart._progress import StageTimer
from coldstart._provenance import git, project_name
from coldstart.bundle._bundle import registered_version, verify_bundle
from coldstart.config._sections import ServingSettings
from coldstart.errors import UserError
from coldstart.images._hosts import reach, run_docker
from coldstart.images._smoke import add_tag, smoke_test

CHAMPION = Path("bundles/champion")
PRINTED_LINES = 30  # of a build that failed

log = logging.getLogger(__name__)

# Files that an installation may need: the variable that names one, and where pip and uv keep the
# user's settings. The first that exists counts.
SECRETS = {
    "pip.conf": ("PIP_CONFIG_FILE", "~/.config/pip/pip.conf", "~/.pip/pip.conf", "/etc/pip.conf"),
    "uv.toml": ("UV_CONFIG_FILE", "~/.config/uv/uv.toml", "/etc/uv/uv.toml"),
    "certificates": ("SSL_CERT_FILE",),
}


def build_serve(base: str | None) -> str:
    """Build the champion's API, test it, and tag it as the latest image.

    Parameters
    ----------
    base : str or None
        Base image. By default the Dockerfile's.

    Returns
    -------
    str
        Name of the image.

    Raises
    ------
    UserError
        If there is no champion or no engine, or if the image cannot be built or does not respond.
    """
    verify_bundle(CHAMPION)
    version = registered_version(CHAMPION).get("version", "unregistered")
    image = f"{project_name()}:{version}"
    build("serve", image, base, VERSION=version)
    size, seconds = smoke_test(image)
    add_tag(image, "latest")
    latest = f"{project_name()}:latest"
    print(f"{image} (and {latest}): {size / 2**20:.0f} MiB, ready after {seconds:.1f} s")
    return image


def build_train(base: str | None, host: str = "local", gpu: bool = False) -> str:
    """Build the training environment. TORCH chooses the build of torch, as for `make setup`.

    Parameters
    ----------
    base : str or None
        Base image. By default the Dockerfile's.
    host : str, default="local"
        Address of the engine that builds the image.
    gpu : bool, default=False
        Whether torch with CUDA, from PyPI, is the default.

    Returns
    -------
    str
        Name of the image.

    Raises
    ------
    UserError
        If there is no engine, or the image cannot be built.
    """
    image = f"{project_name()}:train"
    build("train", image, base, host, TORCH=os.environ.get("TORCH", "pypi" if gpu else ""))
    return image


def describe_mounts(image: str, serving: ServingSettings) -> str:
    """Return how to run an image with the files that config.yaml names and no image holds.

    Empty if there are no such files.
    """
    files = {
        "serving.keys": (serving.keys, ":ro"),
        "serving.record.folder": (serving.record.folder, ""),
    }
    named, volumes = [], []
    for name, (path, options) in files.items():
        if path is not None:
            named.append(name)
            volumes.append(f'--volume "{"$PWD" / path}:{"/app" / path}{options}"')
    if not named:
        return ""
    folder = serving.record.folder
    first = f'mkdir -p "{folder}" && ' if folder else ""
    return (
        f"config.yaml sets {' and '.join(named)}, which the image does not hold; mount it, and run "
        f"the image as a user who may use it:\n{first}docker run --read-only --cap-drop ALL "
        f'--user "$(id -u):$(id -g)" {" ".join(volumes)} -p 127.0.0.1:8000:8000 {image}'
    )


def build(target: str, image: str, base: str | None, host: str = "local", **arguments: str) -> None:
    """Build a stage of infra/Dockerfile, with build arguments, at the engine of a host.

    Raises
    ------
    UserError
        If docker is missing, no engine responds, or the build fails.
    """
    engine = engine_environment(host)
    check_docker(engine)
    commit = git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    arguments["REVISION"] = commit or "unknown"
    if base:
        arguments["BASE"] = base
    command = ["docker", "build", "--file", "infra/Dockerfile", "--target", target, "--tag", image]
    for key, value in arguments.items():
        command += ["--build-arg", f"{key}={value}"]
    for key, path in find_secrets().items():
        command += ["--secret", f"id={key},src={path}"]
    # AWS Lambda accepts no image with an attestation.
    settings = {"DOCKER_BUILDKIT": "1", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
    # In a terminal BuildKit draws its progress. Elsewhere it would print a line for each step.
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
        print(*(done.stdout or "").splitlines()[-PRINTED_LINES:], sep="\n", file=sys.stderr)
        raise UserError(f"{image} was not built: see above")
    stages.done(f"built {image}")


def find_secrets() -> dict[str, Path]:
    """Return files that an installation may need and no layer may hold, by the secret's id."""
    found = {}
    for key, (variable, *places) in SECRETS.items():
        named = [os.environ.get(variable, ""), *places]
        paths = [Path(place).expanduser() for place in named if place]
        if path := next((path for path in paths if path.is_file()), None):
            found[key] = path
    return found


def engine_environment(host: str) -> dict[str, str]:
    """Return the variables by which the docker command line reaches an engine."""
    if host == "local":
        return {}
    secure = {"DOCKER_TLS_VERIFY": "1"} if host.startswith("tcp://") else {}
    return {"DOCKER_HOST": reach(host), **secure}


def check_docker(engine: dict[str, str]) -> None:
    """Check that docker is installed and its engine responds.

    Raises
    ------
    UserError
        If not.
    """
    if not shutil.which("docker"):
        raise UserError("docker is not installed: see https://docs.docker.com/get-docker")
    try:
        run_docker("version", **engine)
    except UserError as error:
        raise UserError(
            f"docker's engine does not respond; start it, and try again ({error})"
        ) from None
