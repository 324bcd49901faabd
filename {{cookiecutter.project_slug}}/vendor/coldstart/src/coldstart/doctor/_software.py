"""Checks of programs: Python and its packages, git, Docker, and torch against the GPU's driver."""

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

SHOWN = 3  # packages that are named
# The oldest driver for each major version of CUDA, from NVIDIA's table of minor-version
# compatibility: https://docs.nvidia.com/deploy/cuda-compatibility/
DRIVERS = {11: 450, 12: 525, 13: 580}
PCI, NVIDIA = Path("/sys/bus/pci/devices"), "0x10de"
REBUILD = "rm -r .venv && TORCH=auto make setup"
GIT = {
    "apt": "sudo apt install git",
    "dnf": "sudo dnf install git",
    "brew": "brew install git",
    "winget": "winget install Git.Git",
}


def python() -> Finding:
    """Whether the environment's Python is one that the project is for."""
    project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
    wanted, have = SpecifierSet(project["requires-python"]), platform.python_version()
    if not wanted.contains(have, prereleases=True):
        mend = "rm -r .venv && make setup PYTHON=python3.12 (or another that suits)"
        return wrong("python", f"{have}, and the project wants {wanted}", mend)
    return ok("python", have)


def environment() -> Finding:
    """Whether all packages are there, in the versions of constraints.txt."""
    about, mend = "environment", "python3 infra/environment.py"
    pins = list(requirements(Path("constraints.txt").read_text("utf-8")))
    missing = sorted({one.name for one in needed() if not installed(one.name)})
    if missing:
        return wrong(about, f"missing: {some(missing)}", mend)
    others = [
        f"{one.name} {have} instead of {one.specifier}"
        for one in pins
        if (have := installed(one.name)) and not one.specifier.contains(have, prereleases=True)
    ]
    if others:
        return wrong(about, f"not as constraints.txt says: {some(others)}", mend)
    return ok(about, "as constraints.txt says")


def needed() -> Iterator[Requirement]:
    """Yield what infra/environment.py installs: the project's packages, and the engine's."""
    project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    listed = [*project["dependencies"], *extras["train"], *extras["dev"]]
    for one in requirements("\n".join(listed)):
        yield one
        if one.name == ENGINE and installed(ENGINE):
            for extra in one.extras or {""}:
                yield from requirements("\n".join(requires(ENGINE) or []), extra)


def requirements(text: str, extra: str = "") -> Iterator[Requirement]:
    """Read requirements, one a line, without those of other machines and other extras."""
    for line in text.splitlines():
        if written := line.partition("#")[0].strip():
            one = Requirement(written)
            if one.marker is None or one.marker.evaluate({"extra": extra}):
                yield one


def installed(name: str) -> str | None:
    """Version of a package, or None without it."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def some(names: list[str]) -> str:
    """The first of them, and how many more."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def git() -> Finding:
    """Whether runs will know their commit, and commits their author."""
    about = "git"
    if not shutil.which("git"):
        mend = next((GIT[tool] for tool in GIT if shutil.which(tool)), "https://git-scm.com")
        return note(about, "not installed: runs will not tell which code made them", mend)
    if run("git", "rev-parse", "--is-inside-work-tree").returncode:
        mend = 'git init && git add --all && git commit -m "First commit"'
        return note(about, "this folder has no repository: runs will not tell their code", mend)
    # Without guesses from the names of this machine and its user, which git would warn about.
    author = run("git", "-c", "user.useConfigOnly=true", "var", "GIT_AUTHOR_IDENT")
    if author.returncode:
        mend = 'git config --global user.name "Ann" && git config --global user.email ann@mail.org'
        return wrong(about, "your name or address is not set, and commits need both", mend)
    return ok(about, f"commits are by {author.stdout.rpartition('>')[0]}>")


def docker(needed: bool) -> Finding:
    """Whether docker can build images; what is on this machine alone can do without."""
    about, state = "docker", wrong if needed else note
    if not shutil.which("docker"):
        said = "not installed: make image and make deploy need it"
        return state(about, said, "https://docs.docker.com/get-docker")
    start = "open -a Docker" if sys.platform == "darwin" else "sudo systemctl start docker"
    try:
        done = run("docker", "version", timeout=30)
    except subprocess.TimeoutExpired:
        restart = start.replace("start", "restart")
        return state(about, "its engine does not answer for 30 s", restart)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        if "permission denied" in reason:
            mend = 'sudo usermod -aG docker "$USER", then log in again'
            return state(about, "you may not use its engine", mend)
        return state(about, f"its engine does not answer ({reason})", start)
    return ok(about, "its engine answers")


def gpu() -> Finding:
    """Whether torch is built for the GPU that is there, and its driver new enough for that."""
    about = "gpu"
    if not shutil.which("nvidia-smi"):
        if any(map(is_gpu, PCI.glob("*"))):
            said = "one of NVIDIA's is here, and its driver is not: the CPU would train"
            return wrong(about, said, "https://www.nvidia.com/drivers")
        return ok(about, "none of NVIDIA's")
    asked = run("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
    if asked.returncode or "," not in asked.stdout:
        reason = (asked.stdout + asked.stderr).strip().splitlines() or ["it says nothing"]
        mend = "sudo reboot; if that does not help, https://www.nvidia.com/drivers"
        return wrong(about, f"its driver does not answer ({reason[0]})", mend)
    name, driver = asked.stdout.splitlines()[0].rsplit(", ", 1)
    import torch  # takes seconds

    cuda = torch.version.cuda
    if not cuda:
        return wrong(about, f"{name} would not be used: torch is built for the CPU", REBUILD)
    least = DRIVERS.get(int(cuda.split(".")[0]), 0)
    if int(driver.split(".")[0]) < least:
        said = f"driver {driver} is too old for torch, built for CUDA {cuda}: {least} or newer"
        return wrong(about, said, f"{REBUILD} (takes a build that suits it), or renew the driver")
    if not torch.cuda.is_available():
        mend = '.venv/bin/python -c "import torch; torch.cuda.init()" says why'
        return wrong(about, f"torch does not reach {name}", mend)
    return ok(about, f"{name}, driver {driver}, torch built for CUDA {cuda}")


def is_gpu(device: Path) -> bool:
    """Whether a PCI device is a display or 3D controller of NVIDIA's."""
    vendor, kind = ((device / name).read_text().strip() for name in ("vendor", "class"))
    return vendor == NVIDIA and kind.startswith("0x03")


def run(*command: str, timeout: float | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program, and keep what it prints."""
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
