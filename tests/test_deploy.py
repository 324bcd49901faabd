"""`make deploy ON=docker`: on a real Docker engine, under load, with images that are broken."""

from __future__ import annotations

import http.client
import json
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import BakedProject
from test_baked import ask, free_port
from test_images import ROWS, docker, engine

pytestmark = pytest.mark.slow
__all__ = ["engine"]  # the fixture: it skips these tests where no engine answers


class Load:
    """Asks again and again, over connections that stay and over new ones."""

    def __init__(self, port: int) -> None:
        self.port, self.ended = port, threading.Event()
        self.versions: list[str] = []
        self.failures: list[str] = []
        self.threads = [
            threading.Thread(target=self.run, args=[stays]) for stays in (True, True, False)
        ]

    def run(self, stays: bool) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        while not self.ended.is_set():
            try:
                headers = {"Content-Type": "application/json"}
                connection.request("POST", "/predict", json.dumps(ROWS), headers)
                answer = connection.getresponse()
                content = answer.read()
                if answer.status == 200:
                    self.versions.append(json.loads(content)["model_version"])
                else:
                    self.failures.append(f"{answer.status} {content!r}")
            except OSError as error:
                self.failures.append(repr(error))
            if not stays:
                connection.close()

    def __enter__(self) -> Load:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        time.sleep(1)
        self.ended.set()
        for thread in self.threads:
            thread.join()


@pytest.fixture(scope="module")
def project(
    trained: BakedProject, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BakedProject]:
    """A copy of the trained project, under a name of its own; afterwards nothing of it is left."""
    path = tmp_path_factory.mktemp("deployed") / trained.path.name
    shutil.copytree(trained.path, path, ignore=shutil.ignore_patterns(".venv"))
    (path / ".venv").symlink_to(trained.path / ".venv")
    about = path / "pyproject.toml"
    about.write_text(about.read_text().replace('name = "bird-strikes"', 'name = "deployed-birds"'))
    yield BakedProject(path)
    names = docker("ps", "--all", "--quiet", "--filter", "label=deploy.project=deployed-birds")
    if names:
        docker("rm", "--force", *names.split())
    if made := docker("image", "ls", "--quiet", "deployed-birds").split():
        docker("image", "rm", "--force", *set(made))


def deploy(project: BakedProject, *arguments: Any) -> Any:
    """Run the command, from the copy's own sources."""
    return project.command("deploy", *arguments, PYTHONPATH="src")


def left() -> str:
    """What there is of the project at the engine, but images."""
    mark = ("--filter", "name=deployed-birds", "--quiet")
    listed = [docker("ps", "--all", *mark), docker("network", "ls", *mark)]
    return "".join([*listed, docker("volume", "ls", *mark)])


def as_version(project: BakedProject, version: str) -> None:
    """Call the champion another version."""
    path = project.path / "bundles/champion/version.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": version}))


def test_versions_are_deployed_rolled_back_and_removed_and_no_request_fails(
    project: BakedProject,
) -> None:
    port = str(free_port())
    as_version(project, "1")
    done = deploy(project, "--port", port)
    assert done.returncode == 0, done.stderr
    assert "version 1 answers at" in done.stdout
    url = f"http://127.0.0.1:{port}"
    assert ask(f"{url}/predict", ROWS)["model_version"] == "1"

    as_version(project, "2")
    with Load(int(port)) as load:
        done = deploy(project, "--port", port)
    assert done.returncode == 0, done.stderr
    assert not load.failures
    assert load.versions[0] == "1"
    assert load.versions[-1] == "2"
    status = deploy(project, "--port", port, "--status").stdout
    assert "version 2" in status
    assert "for ROLLBACK=1" in status

    broken = project.path / "src" / project.package / "serving" / "app.py"
    sound = broken.read_text()
    broken.write_text(sound + "\nraise SystemExit('no luck')\n")
    as_version(project, "3")
    with Load(int(port)) as load:
        done = deploy(project, "--port", port)
    assert done.returncode == 2
    assert "no luck" in done.stderr
    assert not load.failures
    assert set(load.versions) == {"2"}
    broken.write_text(sound)

    with Load(int(port)) as load:
        done = deploy(project, "--port", port, "--rollback")
    assert done.returncode == 0, done.stderr
    assert not load.failures
    assert load.versions[-1] == "1"

    assert deploy(project, "--port", port, "--down").returncode == 0
    assert left() == ""


def test_an_engine_or_a_port_that_cannot_be_had_is_told_in_a_line(
    project: BakedProject, tmp_path: Path
) -> None:
    for host in (f"unix://{tmp_path}/none.sock", "ssh://nobody@127.0.0.1:1", "tcp://127.0.0.1:1"):
        done = deploy(project, "--host", host)
        assert done.returncode == 2
        assert done.stderr.splitlines()[-1].startswith("error: ")
        assert "Traceback" not in done.stderr
    assert "is not deployed at local" in deploy(project, "--status").stdout
