"""constraints.txt: the version of each package, and the hashes of its files."""

from __future__ import annotations

import difflib
import os
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

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
    """Write the newest versions that fit and are at least a week old, and print what changed.

    Parameters
    ----------
    now : sequence of str
        Packages whose newest version is taken however new it is, as for a fix.

    Raises
    ------
    UserError
        If one of `now` is not a package of the project, no versions fit together, or the package
        index cannot be reached.
    """
    about = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
    project, text = about["name"], FILE.read_text("utf-8") if FILE.is_file() else ""
    before = read_versions(text)
    # One that was just added is in pyproject.toml alone.
    direct = [Requirement(one).name for one in about.get("dependencies", [])]
    check_names(now, {*before, *map(canonicalize_name, direct)} - {ENGINE})
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
    new = "".join(one for one in blocks if not WITH_TORCH.match(one))
    if new != text:  # else make would install everything anew
        FILE.write_text(new, encoding="utf-8")
    changes = list(describe_changes(before, read_versions(new)))
    if not changes:
        print(f"all versions in {FILE} are as they were")
        return
    print(*changes, sep="\n")
    number = f"{len(changes)} package{'s' * (len(changes) > 1)}"
    print(f"{number} changed in {FILE}; the next make command installs them")


def read_versions(text: str) -> dict[str, list[Version]]:
    """Return the versions of each package: several if they depend on Python or the platform."""
    found = defaultdict(list)
    for name, version in re.findall(r"^([\w.-]+)==([^\s;]+)", text, re.MULTILINE):
        found[canonicalize_name(name)].append(Version(version))
    return {name: sorted(versions) for name, versions in found.items()}


def check_names(names: Sequence[str], known: Iterable[str]) -> None:
    """Refuse a name that is not one of the known packages, with the nearest one."""
    known = sorted(known)
    for name in names:
        if canonicalize_name(name) not in known:
            near = difflib.get_close_matches(canonicalize_name(name), known, 1)
            hint = (
                f"did you mean {near[0]}?"
                if near
                else "write names of packages in that file, or of dependencies in pyproject.toml"
            )
            raise UserError(f"NOW={name} is not a package in {FILE}: {hint}")


def describe_changes(
    before: Mapping[str, list[Version]], now: Mapping[str, list[Version]]
) -> Iterator[str]:
    """Yield a line for each package whose versions are others than before."""
    for name in sorted({*before, *now}):
        old, new = before.get(name, []), now.get(name, [])
        if old != new:
            shown = [", ".join(map(str, versions)) for versions in (old, new)]
            older = " (older)" if old and new and new[-1] < old[-1] else ""
            yield f"{name}: {shown[0] or 'new'} -> {shown[1] or 'removed'}{older}"


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
