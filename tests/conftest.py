"""Baking, and running what was baked."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cookiecutter.main import cookiecutter

ROOT = Path(__file__).resolve().parent.parent
OURS = (
    "VIRTUAL_ENV",
    "MAKEFLAGS",
    "MAKELEVEL",
    "MFLAGS",
    "MLFLOW_TRACKING_URI",
    "PYTHONDONTWRITEBYTECODE",
)

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
class BakedProject:
    """A project made from the template."""

    path: Path

    @property
    def package(self) -> str:
        """Name of its package."""
        return self.path.name.replace("-", "_")

    @property
    def python(self) -> Path:
        """Its own interpreter; `make setup` makes it."""
        return self.path / ".venv" / "bin" / "python"

    def run(self, *command: Any, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command in its folder, with what it prints captured."""
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

    def files(self) -> set[str]:
        """What git would keep, as paths relative to it."""
        listed = self.run("git", "ls-files", "--cached", "--others", "--exclude-standard")
        return set(listed.stdout.splitlines())


def clean_environment() -> dict[str, str]:
    """The environment without what belongs to the template's own make and tests."""
    return {name: value for name, value in os.environ.items() if name not in OURS}


@pytest.fixture(scope="session", autouse=True)
def _git_identity() -> Iterator[None]:
    """Give git a name to commit under, on machines where it has none."""
    with pytest.MonkeyPatch.context() as patch:
        for role in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{role}_NAME", "Tester")
            patch.setenv(f"GIT_{role}_EMAIL", "tester@example.com")
        yield


@pytest.fixture(scope="session")
def bake(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., BakedProject]:
    """`bake(**answers)`: a project in a folder of its own."""

    def make(**answers: str) -> BakedProject:
        folder = tmp_path_factory.mktemp("baked")
        path = cookiecutter(str(ROOT), no_input=True, output_dir=str(folder), extra_context=answers)
        return BakedProject(Path(path))

    return make


@pytest.fixture(scope="session")
def installed(bake: Callable[..., BakedProject]) -> BakedProject:
    """The default project with its environment. Tests must not change its files."""
    project = bake()
    project.make("setup")
    return project


@pytest.fixture(scope="session")
def trained(installed: BakedProject) -> BakedProject:
    """The default project after `make train`. Tests must not change its files."""
    installed.make("train")
    return installed


@pytest.fixture
def copied(installed: BakedProject, tmp_path: Path) -> BakedProject:
    """A copy of the installed project that may be changed; it runs its own source."""
    path = tmp_path / installed.path.name
    shutil.copytree(
        installed.path,
        path,
        ignore=shutil.ignore_patterns(".venv", "mlruns", "mlflow.db", "bundles"),
    )
    (path / ".venv").symlink_to(installed.path / ".venv")
    return BakedProject(path)


@pytest.fixture(scope="session")
def cookiecutter_command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """`cookiecutter_command(*arguments, **env)`: the command as a person types it."""

    def run(*arguments: Any, **env: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name("cookiecutter")), *map(str, arguments)]
        return subprocess.run(
            command, env=clean_environment() | env, capture_output=True, text=True
        )

    return run
