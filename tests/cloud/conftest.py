"""Fixtures: a provider of machines, and SkyPilot with a home and a server of its own.

Nothing here reaches a real account.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
import yaml
from conftest import ROOT, TRAINING, GeneratedProject
from test_images import engine

from .project import NAME, TASK, Rented
from .rented import Cloud
from .skypilot import SETTINGS, WANTED, install, link, surroundings

__all__ = ["engine"]  # the fixture: it skips these tests where no engine responds

TESTBED = ROOT / "infra/testbed/cloud"


@pytest.fixture(scope="session")
def session_cloud(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """The provider and SkyPilot, for all tests."""
    folder = install()
    version = re.search(r"^skypilot.*==(\S+)", WANTED.read_text(), re.MULTILINE)
    assert version
    home = tmp_path_factory.mktemp("sky")
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
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:  # else the end of `with` would wait for ever
                process.kill()
                raise


@pytest.fixture
def cloud(session_cloud: Cloud) -> Iterator[Cloud]:
    """The same, without faults; the test must leave nothing that costs money."""
    session_cloud.heal()
    yield session_cloud
    session_cloud.heal()
    left = session_cloud.live()
    for machine in session_cloud.instances():  # the next test must not find them
        session_cloud.preempt(machine["InstanceId"])
    assert left == []


@pytest.fixture(scope="session")
def rented(
    trained: GeneratedProject,
    session_cloud: Cloud,
    tmp_path_factory: pytest.TempPathFactory,
) -> Rented:
    """A copy of the trained project, with what `make cloud-bootstrap` makes."""
    path = tmp_path_factory.mktemp("cloud") / trained.path.name
    project = trained.copy(path, ".sky", *TRAINING)
    link(session_cloud.sky_folder, path)
    (path / ".sky/home").mkdir()
    (path / ".sky/home/aws").symlink_to(session_cloud.home)
    for name in ("pyproject.toml", "infra/sky.config.yaml"):
        text = (path / name).read_text()
        (path / name).write_text(text.replace("bird-strikes", NAME))
    config = yaml.safe_load((path / "infra/sky.config.yaml").read_text())
    config["aws"] |= SETTINGS
    (path / "infra/sky.config.yaml").write_text(yaml.safe_dump(config))
    here = Rented(project, session_cloud)
    done = here.command("cloud-bootstrap", "--email", "me@here.org", "--dollars", "20")
    assert done.returncode == 0, done.stdout + done.stderr
    (store,) = re.findall(r"STORE: (\S+)", done.stdout)
    task = (path / TASK).read_text()
    (path / TASK).write_text(task.replace("s3://YOU/bird-strikes", store))
    project.thin(4)
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--message", "Rented")
    return here
