"""Print what an image installs: `python _requirements.py serve` or `train`, in a project's folder.

infra/Dockerfile runs this file alone, before anything is installed. The engine's own name is
replaced by its requirements, since an image gets the engine's code later than its packages.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

OWN, ENGINE = Path("pyproject.toml"), Path("vendor/coldstart/pyproject.toml")


def image_requirements(target: str) -> list[str]:
    """Return the requirements of an image as pip reads them, each once.

    Serving needs the project's dependencies, training those of the extra `train` as well.
    """
    projects = {one["name"]: one for one in (read_project(OWN), read_project(ENGINE))}
    own = next(iter(projects.values()))
    waiting = [*own["dependencies"], *(own["optional-dependencies"]["train"] * (target == "train"))]
    found: dict[str, None] = {}
    seen = set[str]()
    while waiting:
        line = waiting.pop(0)
        if line in seen:
            continue
        seen.add(line)
        named = re.match(r"([\w.-]+)(?:\[([^]]*)\])?", line)
        if named is None or named[1] not in projects:
            found[line] = None
            continue
        project = projects[named[1]]
        waiting += project["dependencies"]
        for extra in re.findall(r"[\w.-]+", named[2] or ""):
            waiting += project["optional-dependencies"][extra]
    return list(found)


def read_project(file: Path) -> dict[str, Any]:
    """Return the table `project` of a pyproject.toml."""
    project: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
    return project


if __name__ == "__main__":
    print(*image_requirements(sys.argv[1]), sep="\n")
