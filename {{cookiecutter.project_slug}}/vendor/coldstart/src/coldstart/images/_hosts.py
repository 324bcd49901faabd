"""Docker hosts: connecting to one, and copying images to it."""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.tls import TLSConfig
from tqdm import tqdm

from coldstart.errors import UserError


def connect(host: str) -> docker.DockerClient:
    """Connect to the engine of a host: ``ssh://me@host``, ``tcp://host:2376``, or ``local``.

    Raises
    ------
    UserError
        If no engine responds there.
    """
    try:
        if host == "local":
            client = local_engine()
        else:
            client = docker.DockerClient(base_url=reach(host), tls=tls(host))
        client.ping()
    except (DockerException, OSError) as error:
        reason = str(error).strip().splitlines()[-1][:200]
        raise UserError(
            f"no Docker engine responds at {host}; start it, and try again ({reason})"
        ) from None
    return client


def local_engine() -> docker.DockerClient:
    """Connect to the engine that the docker command line uses: Docker's SDK knows no contexts."""
    own = {**os.environ, "DOCKER_HOST": engine_address()}
    return docker.from_env(use_ssh_client=True, environment=own)


def engine_address() -> str:
    """Return the address of the engine that the docker command line uses."""
    (context,) = json.loads(run_docker("context", "inspect"))
    return str(context["Endpoints"]["docker"]["Host"])


def run_docker(*arguments: str, stdin: str | None = None, **environment: str) -> str:
    """Return the output of a docker command, which gets environment variables.

    Raises
    ------
    UserError
        If it fails; with the last line that it printed.
    """
    command, own = ["docker", *arguments], os.environ | environment
    done = subprocess.run(
        command, env=own, input=stdin, capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines()[-1:] or ["it prints nothing"]
        raise UserError(f"docker {arguments[0]} failed: {lines[0]}")
    return done.stdout


@functools.cache
def reach(host: str) -> str:
    """Return the address of a host's engine on this computer, valid while this process runs."""
    return open_tunnel(host) if host.startswith("ssh://") else host


def tls(host: str) -> TLSConfig | bool:
    """Return the certificates for a host over TCP, from the folder in DOCKER_CERT_PATH.

    Raises
    ------
    UserError
        If there are none. An engine without TLS gives root access to everyone who reaches it.
    """
    if not host.startswith("tcp://"):
        return False
    folder = Path(os.environ.get("DOCKER_CERT_PATH", "~/.docker")).expanduser()
    names = [folder / name for name in ("ca.pem", "cert.pem", "key.pem")]
    if missing := [str(path) for path in names if not path.is_file()]:
        raise UserError(f"{host} needs TLS: there is no {missing[0]}; set DOCKER_CERT_PATH")
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # requests would prefer these
        os.environ.pop(variable, None)
    authority, certificate, key = map(str, names)
    return TLSConfig(client_cert=(certificate, key), ca_cert=authority, verify=True)


def open_tunnel(host: str) -> str:
    """Forward a host's engine over ssh while this process runs, and return its address here.

    Docker's SDK can do that, too, but then running a command in a container fails.

    Raises
    ------
    UserError
        If the host cannot be reached.
    """
    ssh = ["ssh", "-o", "ConnectTimeout=10"]
    query = [*ssh, host, "echo ${DOCKER_HOST:-unix:///var/run/docker.sock}"]
    done = subprocess.run(query, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["ssh failed"])[-1]
        raise UserError(
            f"{host} cannot be reached: {reason}; see whether this works: ssh {host} docker ps"
        )
    folder = tempfile.mkdtemp()
    remote, local = done.stdout.strip().removeprefix("unix://"), f"{folder}/docker.sock"
    forward = [*ssh, "-nNT", "-o", "ExitOnForwardFailure=yes", "-L", f"{local}:{remote}", host]
    # Ctrl-C is for this process alone.
    process = subprocess.Popen(forward, stdin=subprocess.DEVNULL, start_new_session=True)

    def end() -> None:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)

    atexit.register(end)
    while not Path(local).exists():
        if process.poll() is not None:
            raise UserError(f"{host} does not forward {remote}: sshd's AllowStreamLocalForwarding")
        time.sleep(0.05)
    return f"unix://{local}"


def pull(address: str, image: str, client: docker.DockerClient) -> str:
    """Pull an image by digest on a host, give it a name and tag, and return its id.

    The login that docker has stored here goes with the request, and is not stored on the host.
    """
    print(f"pulling {address}", flush=True)
    with translate_errors(f"{address} could not be pulled by the host"):
        found = client.images.pull(address)
        found.tag(*image.split(":"))
        return str(found.id)


def copy(image: str, client: docker.DockerClient) -> str:
    """Copy an image from the local engine to a host, unless the host has it, and return its id."""
    local = local_engine().images.get(image)
    with translate_errors(f"{image} could not be copied to the host"):
        try:
            return str(client.images.get(local.id).id)
        except ImageNotFound:
            pass
        size = int(local.attrs["Size"])
        with tqdm(total=size, unit="B", unit_scale=True, desc=image, disable=None) as bar:

            def pieces() -> Iterator[bytes]:
                for piece in local.save(named=True):
                    bar.update(len(piece))
                    yield piece

            client.api.load_image(pieces())
        return str(client.images.get(local.id).id)


@contextlib.contextmanager
def translate_errors(failure: str) -> Iterator[None]:
    """Raise errors of the engine as `UserError` with one line of text.

    Raises
    ------
    UserError
        If the engine refuses a request, or does not respond.
    """
    try:
        yield
    except (APIError, ImageNotFound) as error:
        raise UserError(f"{failure}: {error.explanation or error}") from None
    except DockerException as error:
        raise UserError(f"{failure}: {error}") from None


@contextlib.contextmanager
def open_archive(container: Any, path: str) -> Iterator[tarfile.TarFile | None]:
    """Download what is at a path of a container, as an archive; None if there is nothing."""
    with tempfile.TemporaryFile() as packed:
        try:
            packed.writelines(container.get_archive(path)[0])
        except NotFound:
            yield None
            return
        packed.seek(0)
        with tarfile.open(fileobj=packed) as tar:
            yield tar


def run(container: Any, *command: str) -> str:
    """Return the output of a command in a container; empty if it fails."""
    with contextlib.suppress(APIError):  # it has ended
        code, output = container.exec_run(list(command))
        if code == 0:
            return str(output.decode(errors="replace"))
    return ""
