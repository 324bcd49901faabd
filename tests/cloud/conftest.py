"""Fixtures: a provider of machines, and SkyPilot on it, with a home and a server of its own.

Nothing here has a way to a real account.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from conftest import ROOT
from test_images import engine

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
            cloud = Cloud(home, folder, **addresses, environment=surroundings(home, addresses))
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
