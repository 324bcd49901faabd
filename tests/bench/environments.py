"""Environments beside the project's own: of its rivals, and of serving alone."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from project import Project, UserError, say

PINS = Path(__file__).resolve().parent / "rivals.txt"


@dataclass(frozen=True)
class Rivals:
    """The environment of BentoML and LitServe."""

    folder: Path

    def program(self, name: str) -> str:
        """Path of a program in it."""
        return str(self.folder / "bin" / name)


@dataclass(frozen=True)
class Packages:
    """Size of the packages that serving needs, in MB.

    Attributes
    ----------
    installed
        As they come.
    in_image
        After what the project's Dockerfile removes of them.
    """

    installed: float
    in_image: float


def find_rivals() -> Rivals:
    """Take the environment from the user's cache, or make it there; it is kept.

    Raises
    ------
    UserError
        If the packages cannot be installed.
    """
    seal = hashlib.sha256(PINS.read_bytes()).hexdigest()[:12]
    name = f"rivals-{sys.version_info.major}.{sys.version_info.minor}-{seal}"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "coldstart-bench" / name
    if not (folder / "ready").exists():
        say(f"installing BentoML and LitServe into {folder}")
        install(folder, "--requirements", str(PINS))
        (folder / "ready").touch()
    return Rivals(folder)


def install(folder: Path, *what: str) -> None:
    """Make an environment that holds the given packages.

    Raises
    ------
    UserError
        If they cannot be installed.
    """
    make = [sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder)]
    into = ["--python", str(folder / "bin/python")]
    fill = [sys.executable, "-m", "uv", "pip", "install", "--quiet", *into, *what]
    variables = os.environ | {"UV_SYSTEM_CERTS": "1"}
    for command in (make, fill):
        done = subprocess.run(command, env=variables, stdout=sys.stderr, check=False)
        if done.returncode:
            raise UserError(f"{' '.join(what)} could not be installed: see above")


def measure_packages(project: Project, folder: Path) -> Packages:
    """Install what the project needs to serve, and weigh it.

    Files are weighed without Python's compiled copies of them, which are made on first use.
    """
    say("installing what serving needs, alone")
    engine = project.folder / "vendor" / "coldstart" / "pyproject.toml"
    about = tomllib.loads(engine.read_text(encoding="utf-8"))
    constraints = ["--constraints", str(project.folder / "constraints.txt")]
    environment = folder / "serving-packages"
    install(environment, *constraints, *about["project"]["dependencies"])
    (packages,) = environment.glob("lib/python3*/site-packages")
    installed = megabytes(packages)
    recipe = (project.folder / "infra/Dockerfile").read_text(encoding="utf-8")
    removal = re.search(r"/site-packages \\\n +&& ((?:.*\\\n)*.*)\n", recipe)
    if not removal:
        raise UserError(
            "the Dockerfile no longer says what it removes after `cd .../site-packages`"
        )
    subprocess.run(["sh", "-ec", removal[1]], cwd=packages, check=True)
    return Packages(installed, megabytes(packages))


def megabytes(folder: Path) -> float:
    """Size of the files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
