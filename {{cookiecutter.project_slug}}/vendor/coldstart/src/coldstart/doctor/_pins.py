"""constraints.txt: the version of each package, and the hashes of its files."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

from packaging.requirements import Requirement

from coldstart._provenance import ENGINE
from coldstart.errors import UserError

FILE = Path("constraints.txt")
OLDEST_PYTHON = "3.11"
MIN_AGE = "7 days"  # a malicious version is usually found and removed within days
# pip installs what an image serves with, and hatchling builds the engine and the project.
INSTALLERS = "hatchling\npip\n"
# CUDA's packages come with the torch build that infra/environment.py chooses.
WITH_TORCH = re.compile(r"nvidia|cuda|triton")
NO_DATES = re.compile(r"is missing an upload date")


def read_requirements(text: str, extra: str = "") -> Iterator[Requirement]:
    """Yield requirements that hold for this platform and extra, without their hashes."""
    for line in text.splitlines():
        written = line.partition("#")[0].rstrip(" \\").strip()
        if written and not written.startswith("--hash"):
            one = Requirement(written)
            if one.marker is None or one.marker.evaluate({"extra": extra}):
                yield one


def update_pins(now: Sequence[str] = ()) -> None:
    """Write the newest versions that fit and are at least a week old to constraints.txt.

    Parameters
    ----------
    now : sequence of str
        Packages whose newest version is taken however new it is, as for a fix.

    Raises
    ------
    UserError
        If no versions fit together, or the package index cannot be reached.
    """
    project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]["name"]
    command = [sys.executable, "-m", "uv", "pip", "compile", "--upgrade", "--universal"]
    command += ["--python-version", OLDEST_PYTHON, "--all-extras", "--group", "notebook"]
    command += ["--generate-hashes", "--no-header", "--no-annotate", "--no-sources-package=torch"]
    command += [f"--no-emit-package={name}" for name in (ENGINE, project)]
    command += ["pyproject.toml", "vendor/coldstart/pyproject.toml", "-"]
    exceptions = [f"--exclude-newer-package={name}=false" for name in now]
    found = compile_pins([*command, f"--exclude-newer={MIN_AGE}", *exceptions])
    if found.returncode and NO_DATES.search(found.stderr):
        print(
            "warning: the package index serves no upload dates: versions younger than "
            f"{MIN_AGE} were accepted"
        )
        found = compile_pins(command)
    if found.returncode:
        raise UserError(f"no versions were found, and {FILE} is as it was:\n{found.stderr.strip()}")
    blocks = re.findall(r"^\S.*\n(?: .*\n)*", found.stdout, re.MULTILINE)
    FILE.write_text("".join(one for one in blocks if not WITH_TORCH.match(one)), encoding="utf-8")


def compile_pins(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run uv, without a folder of wheels: what is there is not what an index has."""
    environment = {k: v for k, v in os.environ.items() if k != "UV_FIND_LINKS"}
    return subprocess.run(
        command,
        input=INSTALLERS,
        env=environment | {"UV_SYSTEM_CERTS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
