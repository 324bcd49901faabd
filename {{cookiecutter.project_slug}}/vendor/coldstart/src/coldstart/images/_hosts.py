"""Docker hosts: reaching one, and bringing images there."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, DockerException, ImageNotFound
from docker.tls import TLSConfig
from tqdm import tqdm

from coldstart.errors import UserError
from coldstart.images._smoke import engine


def connect(host: str) -> docker.DockerClient:
    """Connect to a host by its address; `local` is the engine that builds.

    Raises
    ------
    UserError
        If no engine answers there.
    """
    try:
        if host == "local":
            client = engine()
        else:
            client = docker.DockerClient(base_url=reach(host), tls=tls(host))
        client.ping()
    except (DockerException, OSError) as error:
        reason = str(error).strip().splitlines()[-1][:200]
        raise UserError(
            f"no Docker engine answers at {host}; start it, and try again ({reason})"
        ) from None
    return client


@functools.cache
def reach(host: str) -> str:
    """The address by which a host's engine is reached from here, as long as this process runs."""
    return tunnel(host) if host.startswith("ssh://") else host


def tls(host: str) -> TLSConfig | bool:
    """Certificates for a host over TCP, from the folder in DOCKER_CERT_PATH.

    Raises
    ------
    UserError
        If there are none: whoever reaches an open engine is root on its host.
    """
    if not host.startswith("tcp://"):
        return False
    folder = Path(os.environ.get("DOCKER_CERT_PATH", "~/.docker")).expanduser()
    names = [folder / name for name in ("ca.pem", "cert.pem", "key.pem")]
    if absent := [str(path) for path in names if not path.is_file()]:
        raise UserError(f"{host} needs TLS: there is no {absent[0]}; set DOCKER_CERT_PATH")
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # requests would prefer these to ours
        os.environ.pop(variable, None)
    authority, certificate, key = map(str, names)
    return TLSConfig(client_cert=(certificate, key), ca_cert=authority, verify=True)


def tunnel(host: str) -> str:
    """Forward a host's engine over ssh as long as this process runs; tell the address here.

    The SDK has a way of its own, which breaks where a command is run in a container.

    Raises
    ------
    UserError
        If the host is not reached.
    """
    ssh = ["ssh", "-o", "ConnectTimeout=10"]
    ask = [*ssh, host, "echo ${DOCKER_HOST:-unix:///var/run/docker.sock}"]
    asked = subprocess.run(ask, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if asked.returncode:
        reason = (asked.stderr.strip().splitlines() or ["ssh failed"])[-1]
        raise UserError(f"{host} is not reached: {reason}; does this work: ssh {host} docker ps")
    folder = tempfile.mkdtemp()
    there, here = asked.stdout.strip().removeprefix("unix://"), f"{folder}/docker.sock"
    forward = [*ssh, "-nNT", "-o", "ExitOnForwardFailure=yes", "-L", f"{here}:{there}", host]
    # Ctrl-C is meant for this process alone.
    process = subprocess.Popen(forward, stdin=subprocess.DEVNULL, start_new_session=True)

    def end() -> None:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)

    atexit.register(end)
    while not Path(here).exists():
        if process.poll() is not None:
            raise UserError(f"{host} does not forward {there}: sshd's AllowStreamLocalForwarding")
        time.sleep(0.05)
    return f"unix://{here}"


def pull(address: str, image: str, client: docker.DockerClient) -> str:
    """Have an image on the host that a registry has.

    The login that docker keeps here goes with the request, and stays nowhere on the host.

    Parameters
    ----------
    address
        Of the image, by digest.
    image
        What it is called here, and then there.

    Returns
    -------
    str
        The image's id.
    """
    print(f"pulling {address}", flush=True)
    with told(f"{address} could not be pulled by the host"):
        found = client.images.pull(address)
        found.tag(*image.split(":"))
        return str(found.id)


def copy(image: str, client: docker.DockerClient) -> str:
    """Have an image on the host that the local engine has.

    Returns
    -------
    str
        The image's id.
    """
    local = engine().images.get(image)
    with told(f"{image} could not be brought to the host"):
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
def told(what: str) -> Iterator[None]:
    """Tell what the engine refuses in a line.

    Raises
    ------
    UserError
        If it refuses something.
    """
    try:
        yield
    except (APIError, ImageNotFound) as error:
        raise UserError(f"{what}: {error.explanation or error}") from None
    except DockerException as error:
        raise UserError(f"{what}: {error}") from None


def run(container: Any, *command: str) -> str:
    """Output of a command in a container; empty if it fails."""
    with contextlib.suppress(APIError):  # it has ended
        code, output = container.exec_run(list(command))
        if code == 0:
            return str(output.decode(errors="replace"))
    return ""
