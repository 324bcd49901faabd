"""Environments for generated projects, each made in a second.

A project's `.venv` in the tests is a thin layer over the template's environment: an interpreter
of its own, whose path holds the project's `src`, its `vendor/coldstart/src`, and then the packages
of the template's environment. `tests/project/test_installing.py` makes real environments.
"""

from __future__ import annotations

import sys
import tomllib
import venv
from pathlib import Path

HERE = Path(sys.prefix)
NOT_SCRIPTS = ("python", "activate", "pip")


def make_environment(project: Path) -> None:
    """Make a project's `.venv`, which imports the project's own source and engine.

    Parameters
    ----------
    project : Path
        The generated project's folder.
    """
    folder = project / ".venv"
    venv.EnvBuilder(symlinks=True, clear=True).create(folder)
    (packages,) = folder.glob("lib/python3*/site-packages")
    (shared,) = HERE.glob("lib/python3*/site-packages")
    engine = project / "vendor" / "coldstart"
    # Nothing in `shared` is run from its .pth files: the template's own engine stays out.
    lines = [project / "src", engine / "src", shared]
    (packages / "project.pth").write_text("".join(f"{line}\n" for line in lines))
    for source in (project, engine):
        write_metadata(packages, source)
    write_scripts(folder / "bin", project)
    (folder / "ready").touch()


def write_metadata(packages: Path, source: Path) -> None:
    """Write what an editable installation of a source folder would say about itself."""
    about = tomllib.loads((source / "pyproject.toml").read_text())["project"]
    lines = [f"Name: {about['name']}", f"Version: {about['version']}"]
    lines += [f"Requires-Dist: {needed}" for needed in about["dependencies"]]
    for extra, wanted in about["optional-dependencies"].items():
        lines.append(f"Provides-Extra: {extra}")
        for needed in wanted:
            name, _, marker = needed.partition(";")
            marker = f"({marker.strip()}) and " if marker else ""
            lines.append(f"Requires-Dist: {name.strip()}; {marker}extra == '{extra}'")
    folder = packages / f"{about['name'].replace('-', '_')}-{about['version']}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("\n".join(["Metadata-Version: 2.4", *lines, ""]))
    groups = about.get("entry-points", {}) | {"console_scripts": about.get("scripts", {})}
    text = "".join(
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
        for group, entries in groups.items()
    )
    (folder / "entry_points.txt").write_text(text)


def write_scripts(folder: Path, project: Path) -> None:
    """Give the environment the commands of the template's, run by its own interpreter."""
    for script in (HERE / "bin").iterdir():
        if script.name.startswith(NOT_SCRIPTS) or (folder / script.name).exists():
            continue
        content = script.read_bytes()
        if not content.startswith(b"#!"):
            (folder / script.name).symlink_to(script)
            continue
        shebang = f"{HERE / 'bin'}/".encode()
        write_script(folder / script.name, content.replace(shebang, f"{folder}/".encode()))
    about = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    for name, target in about.get("scripts", {}).items():
        module, _, function = target.partition(":")
        text = f"#!{folder}/python\nfrom {module} import {function}\n\n{function}()\n"
        write_script(folder / name, text.encode())


def write_script(path: Path, content: bytes) -> None:
    """Write a file that can be run."""
    path.write_bytes(content)
    path.chmod(0o755)
