"""Generating projects, and running what was generated."""

from __future__ import annotations

import compileall
import fcntl
import gzip
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest
from cookiecutter.main import cookiecutter
from overlay import make_environment
from playwright.sync_api import Browser, sync_playwright
from xdist.scheduler import LoadScopeScheduling

# Who starts the tests in the background lets them and their processes ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = ROOT / "{{cookiecutter.project_slug}}"
OURS = (
    "VIRTUAL_ENV",
    "MAKEFLAGS",
    "MAKELEVEL",
    "MFLAGS",
    "JOBS",
    "MLFLOW_TRACKING_URI",
    "PYTHONDONTWRITEBYTECODE",
    "PYTEST_XDIST_WORKER",
    "PYTEST_XDIST_WORKER_COUNT",
    "PYTEST_XDIST_TESTRUNUID",
)

TRAINING = ("mlruns", "mlflow.db*", "bundles", "checkpoints", "prepared")
"""What a training leaves in a project."""

LONGEST = (
    "cloud",
    "project/test_way.py",  # trains by itself, while the first trains what all others share
    "test_rent.py",
    "test_dirty.py",
    "test_page.py",
    "test_platform.py",
    "test_images.py",
    "engine/test_neural.py",
    "test_pages.py",
    "test_bench.py",
    "test_deploy.py",
    "project/test_own_tests.py",
    "project/test_make_it_yours.py",
    "project/test_installing.py",
    "project/test_demo.py",
    "engine/test_training.py",
    "engine/test_disks.py",
    "test_report.py",
    "engine/data/test_late.py",
)
"""Tests that take minutes, longest first: one that begins late keeps the others waiting."""

TOGETHER = ("cloud",)
"""Folders whose tests run in one process, since they share machines; elsewhere a file's do."""

COMBINATIONS: dict[str, dict[str, str]] = {
    "default": {},
    "no license": {"license": "none", "project_name": "Churn", "author": "Ann O'Hara"},
    "bsd and odd texts": {
        "license": "BSD-3-Clause",
        "project_name": 'Prédiction "d\'été" 🐦',
        "author": "Zoë \\ 李",
        "description": 'What\'s "new", 50 % off, C:\\temp',
    },
    "short name": {"project_name": "ab", "project_slug": "x"},
    "longest name": {"project_slug": "a" + "-bcde" * 5 + "-xyz"},
    "underscores": {"project_slug": "my_own_project"},
}


@dataclass(frozen=True)
class GeneratedProject:
    """A project generated from the template."""

    path: Path

    @property
    def package(self) -> str:
        """Name of its package."""
        return self.path.name.replace("-", "_")

    @property
    def python(self) -> Path:
        """Its own interpreter."""
        return self.path / ".venv" / "bin" / "python"

    def run(self, *command: Any, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command in its folder, with its output captured."""
        return subprocess.run(
            [str(part) for part in command],
            cwd=self.path,
            env=clean_environment() | env,
            capture_output=True,
            text=True,
        )

    def command(self, *arguments: Any, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command of its package."""
        return self.run(self.python, "-m", self.package, *arguments, **env)

    def make(self, *arguments: Any, **env: str) -> subprocess.CompletedProcess[str]:
        """Run make, which must succeed."""
        done = self.run("make", *arguments, **env)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def copy(self, path: Path, *left_out: str) -> GeneratedProject:
        """Copy it, without what tools leave; the copy may be changed, and runs its own source."""
        ignored = shutil.ignore_patterns(".venv", ".*_cache", *left_out)
        shutil.copytree(self.path, path, ignore=ignored)
        make_environment(path)
        return GeneratedProject(path)

    def thin(self, every: int) -> None:
        """Keep one of so many rows of the demo's table, for trainings that only need to happen."""
        table = self.path / "data/raw/strikes.csv.gz"
        with gzip.open(table, "rt", encoding="utf-8", newline="") as file:
            head, *rows = file.readlines()
        with gzip.open(table, "wt", encoding="utf-8", newline="") as file:
            file.writelines([head, *rows[::every]])

    def files(self) -> set[str]:
        """Return the files that git keeps, or would, as paths relative to it."""
        listed = self.run("git", "ls-files", "--cached", "--others", "--exclude-standard")
        return set(listed.stdout.splitlines())


def lack(what: str) -> NoReturn:
    """Skip a test for the lack of something, or fail it where NEED_ALL says that all is there."""
    tell = pytest.fail if os.environ.get("NEED_ALL") else pytest.skip
    tell(what)
    raise AssertionError


def needs(there: object, what: str) -> pytest.MarkDecorator:
    """Mark tests that are skipped for the lack of something, unless NEED_ALL is set."""
    return pytest.mark.skipif(not (there or os.environ.get("NEED_ALL")), reason=what)


def kept(folder: Path = ROOT) -> list[Path]:
    """Return the files below a folder of this repository that git keeps, or would."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", str(folder)]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = [ROOT / name for name in filter(None, names.split("\0"))]
    return [path for path in paths if path.is_file()]


def clean_environment() -> dict[str, str]:
    """Return the environment without what belongs to the template's own make and tests."""
    return {name: value for name, value in os.environ.items() if name not in OURS}


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(url: str, body: Any = None, key: str = "") -> Any:
    """Get JSON from a server, or post some."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} | ({"X-API-Key": key} if key else {})
    request = urllib.request.Request(url, data, headers)
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


def wait_for(url: str, server: subprocess.Popen[bytes], seconds: float) -> None:
    """Wait until a server answers."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert server.poll() is None, "the server ended"
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except (OSError, urllib.error.URLError):
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"{url} did not answer in {seconds} s")


def targets(*makefiles: Path) -> set[str]:
    """Return the targets that Makefiles offer; by default the template's and a project's."""
    files = makefiles or (ROOT / "Makefile", TEMPLATE / "Makefile")
    text = "".join(path.read_text() for path in files)
    return set(re.findall(r"^([a-z-]+):.*## ", text, re.MULTILINE))


class Apart(LoadScopeScheduling):
    """Runs the tests of a file in one process, since they share fixtures."""

    def _split_scope(self, nodeid: str) -> str:
        return part_of(nodeid)


def part_of(nodeid: str) -> str:
    """Return the file that a test is in, below this folder, or the folder in `TOGETHER`."""
    file = nodeid.partition("::")[0].removeprefix("tests/")
    folder = file.partition("/")[0]
    return folder if folder in TOGETHER else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Apart:
    """Let pytest-xdist share the tests out by that."""
    return Apart(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest."""
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(part_of(item.nodeid), len(LONGEST)))


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., GeneratedProject]:
    """`once(name, make)`: a project that the processes of one run share; the first makes it."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent

    def get(name: str, make: Callable[[], GeneratedProject]) -> GeneratedProject:
        made = folder / name
        with (folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not made.exists():
                made.write_text(str(make().path))
        return GeneratedProject(Path(made.read_text()))

    return get


@pytest.fixture(scope="session", autouse=True)
def _git_identity() -> Iterator[None]:
    """Give git a name to commit under, on machines where it has none."""
    with pytest.MonkeyPatch.context() as patch:
        for role in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{role}_NAME", "Tester")
            patch.setenv(f"GIT_{role}_EMAIL", "tester@example.com")
        yield


@pytest.fixture(scope="session")
def generate(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., GeneratedProject]:
    """`generate(**answers)`: generate a project in a folder of its own, without an environment."""

    def make(**answers: str) -> GeneratedProject:
        folder = tmp_path_factory.mktemp("generated")
        path = cookiecutter(str(ROOT), no_input=True, output_dir=str(folder), extra_context=answers)
        return GeneratedProject(Path(path))

    return make


@pytest.fixture(scope="session")
def installed(
    generate: Callable[..., GeneratedProject], once: Callable[..., Any]
) -> GeneratedProject:
    """The default project with an environment. Tests must not change its files."""

    def make() -> GeneratedProject:
        project = generate()
        make_environment(project.path)
        # Copies bring the compiled modules along, and so does what runs at the same time.
        for folder in ("src", "vendor"):
            assert compileall.compile_dir(project.path / folder, quiet=1)
        return project

    project: GeneratedProject = once("installed", make)
    return project


@pytest.fixture(scope="session")
def trained(installed: GeneratedProject, once: Callable[..., Any]) -> GeneratedProject:
    """The default project after `make train`. Tests must not change its files."""

    def make() -> GeneratedProject:
        installed.make("train")
        return installed

    project: GeneratedProject = once("trained", make)
    return project


@pytest.fixture
def copied(installed: GeneratedProject, tmp_path: Path) -> GeneratedProject:
    """A copy of the installed project that may be changed; it runs its own source."""
    return installed.copy(tmp_path / installed.path.name, *TRAINING)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; skip where there is none."""
    found = shutil.which("chromium")
    if not found:
        lack("chromium is not installed: apt install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def cookiecutter_command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """`cookiecutter_command(*arguments, **env)`: run the command in a process of its own."""

    def run(*arguments: Any, **env: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name("cookiecutter")), *map(str, arguments)]
        return subprocess.run(
            command, env=clean_environment() | env, capture_output=True, text=True
        )

    return run
