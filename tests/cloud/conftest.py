"""Fixtures: a provider of machines, and SkyPilot on it, with a home and a server of its own.

Nothing here has a way to a real account.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest
from conftest import ROOT, BakedProject, free_port
from test_images import docker, engine
from test_lambda import wait_for

from .project import NAME, TASK, Rented
from .rented import Cloud
from .skypilot import CONFIG, WANTED, install, surroundings

__all__ = ["engine"]  # the fixture: it skips the tests that ask for it where no engine answers

TESTBED = ROOT / "infra/testbed/cloud"


@pytest.fixture(scope="session")
def session_cloud(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """The provider and SkyPilot, from the first test that wants them to the last."""
    folder = install()
    version = re.search(r"^skypilot.*==(\S+)", WANTED.read_text(), re.MULTILINE)
    assert version
    home = tmp_path_factory.mktemp("sky")
    (home / ".sky").mkdir()
    (home / ".sky/config.yaml").write_text(CONFIG)
    subprocess.run([sys.executable, TESTBED / "catalogue.py", home], check=True)
    command = [sys.executable, str(TESTBED / "provider.py"), "--skypilot", version[1]]
    log = home / "provider.log"
    with (
        log.open("w") as stderr,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True) as process,
    ):
        try:
            assert process.stdout
            first = process.stdout.readline()
            assert first, log.read_text()
            addresses = json.loads(first)
            with surroundings(home, addresses) as settings:
                cloud = Cloud(home, folder, **addresses, environment=settings)
                try:
                    yield cloud
                finally:
                    cloud.kill()
        finally:
            process.terminate()
            process.wait(timeout=60)


@pytest.fixture
def cloud(session_cloud: Cloud) -> Iterator[Cloud]:
    """The same, without faults; the test must leave nothing that bills."""
    session_cloud.heal()
    yield session_cloud
    session_cloud.heal()
    left = session_cloud.live()
    for machine in session_cloud.instances():  # they are not the next test's concern
        session_cloud.preempt(machine["InstanceId"])
    assert left == []


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a registry that is open to everybody here."""
    if not shutil.which("docker-registry"):
        tell = pytest.fail if os.environ.get("NEED_DOCKER") else pytest.skip
        tell("there is no docker-registry; on Debian: apt install docker-registry")
    folder, port = tmp_path_factory.mktemp("registry"), free_port()
    settings = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(folder / "images")}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    (folder / "registry.yml").write_text(json.dumps(settings))  # which is YAML as well
    quiet = subprocess.DEVNULL
    command = ["docker-registry", "serve", str(folder / "registry.yml")]
    with subprocess.Popen(command, stdout=quiet, stderr=quiet) as server:
        wait_for(port)
        yield f"127.0.0.1:{port}"
        server.terminate()


@pytest.fixture(scope="session")
def rented(
    trained: BakedProject,
    session_cloud: Cloud,
    images: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Rented]:
    """A copy of the trained project, with what `make cloud-bootstrap` makes."""
    path = tmp_path_factory.mktemp("cloud") / trained.path.name
    project = trained.copy(path, ".sky", "mlruns", "mlflow.db", "bundles")
    (path / ".sky").symlink_to(session_cloud.sky_folder)
    (session_cloud.sky_folder / "made").write_text((path / "infra/sky.txt").read_text())
    for name in ("pyproject.toml", "infra/sky.config.yaml"):
        text = (path / name).read_text()
        (path / name).write_text(text.replace("bird-strikes", NAME))
    here = Rented(project, session_cloud)
    done = here.command("cloud-bootstrap", "--email", "me@here.org", "--dollars", "20")
    assert done.returncode == 0, done.stdout + done.stderr
    (store,) = re.findall(r"STORE: (\S+)", done.stdout)
    task = (path / TASK).read_text()
    task = task.replace("ghcr.io/YOU/bird-strikes", f"{images}/birds")
    (path / TASK).write_text(task.replace("s3://YOU/bird-strikes", store))
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--message", "Rented")
    yield here
    docker("image", "rm", "--force", f"{NAME}:train")
