"""Checks of software: Python and its packages, git, Docker."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from coldstart._diagnostics import Finding, note, ok, wrong
from coldstart._provenance import ENGINE
from coldstart.doctor._pins import FILE, read_requirements

LISTED = 3  # packages that a finding names
GIT = {
    "apt": "sudo apt install git",
    "dnf": "sudo dnf install git",
    "brew": "brew install git",
    "winget": "winget install Git.Git",
}


def python() -> Finding:
    """Check that the project supports the environment's version of Python."""
    project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
    supported, have = SpecifierSet(project["requires-python"]), platform.python_version()
    if not supported.contains(have, prereleases=True):
        hint = "rm -r .venv && make setup PYTHON=python3.12 (or another that fits)"
        return wrong("python", f"{have}, and the project needs {supported}", hint)
    return ok("python", have)


def environment() -> Finding:
    """Check that all packages are installed, in the versions of constraints.txt."""
    hint = "python3 infra/environment.py"
    pins = list(read_requirements(FILE.read_text("utf-8")))
    missing = sorted({one.name for one in needed_packages() if not installed(one.name)})
    if missing:
        return wrong("environment", f"missing: {shorten(missing)}", hint)
    others = [
        f"{one.name} {have} instead of {one.specifier}"
        for one in pins
        if (have := installed(one.name)) and not one.specifier.contains(have, prereleases=True)
    ]
    if others:
        return wrong("environment", f"differs from constraints.txt: {shorten(others)}", hint)
    return ok("environment", "as in constraints.txt")


def needed_packages() -> Iterator[Requirement]:
    """Yield what infra/environment.py installs: the project's packages, and the engine's."""
    project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    listed = [*project["dependencies"], *extras["train"], *extras["dev"]]
    for one in read_requirements("\n".join(listed)):
        if one.name != project["name"]:  # which names its own extras
            yield one
        if one.name == ENGINE and installed(ENGINE):
            for extra in one.extras or {""}:
                yield from read_requirements("\n".join(requires(ENGINE) or []), extra)


def installed(name: str) -> str | None:
    """Return the version of a package, or None if it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def shorten(names: list[str]) -> str:
    """Return the first names, and how many more there are."""
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more" if more > 0 else "")


def git() -> Finding:
    """Check that runs record their commit, and that commits have an author."""
    if not shutil.which("git"):
        hint = next((GIT[tool] for tool in GIT if shutil.which(tool)), "https://git-scm.com")
        return note("git", "not installed: runs do not record their code", hint)
    if run("git", "rev-parse", "--is-inside-work-tree").returncode:
        hint = 'git init && git add --all && git commit -m "First commit"'
        return note("git", "this folder has no repository: runs do not record their code", hint)
    # Without guesses from the names of this computer and its user, which git would warn about.
    author = run("git", "-c", "user.useConfigOnly=true", "var", "GIT_AUTHOR_IDENT")
    if author.returncode:
        hint = 'git config --global user.name "Ann" && git config --global user.email ann@mail.org'
        return wrong("git", "your name or address is not set, and commits need both", hint)
    return ok("git", f"commits are by {author.stdout.rpartition('>')[0]}>")


def docker() -> Finding:
    """Check that Docker can build images. Without it the other commands work."""
    if not shutil.which("docker"):
        message = "not installed: make image, make deploy and make train ON=docker need it"
        return note("docker", message, "https://docs.docker.com/get-docker")
    start = "open -a Docker" if sys.platform == "darwin" else "sudo systemctl start docker"
    try:
        done = run("docker", "version", timeout=30)
    except subprocess.TimeoutExpired:
        restart = start.replace("start", "restart")
        return note("docker", "its engine does not respond for 30 s", restart)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it prints nothing"])[-1]
        if "permission denied" in reason:
            hint = 'sudo usermod -aG docker "$USER", then log in again'
            return note("docker", "you may not use its engine", hint)
        return note("docker", f"its engine does not respond ({reason})", start)
    return ok("docker", "its engine responds")


def run(*command: str, timeout: float | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program, and capture what it prints."""
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
