"""The generated project that is measured, and what is taken out of it to measure with."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(__file__).resolve().parent / "programs"
ENGINE = Path("vendor/coldstart/src")


class UserError(Exception):
    """A mistake that you can fix, if you run the benchmark."""


@dataclass(frozen=True)
class Project:
    """A generated and trained project."""

    folder: Path

    @property
    def python(self) -> str:
        """Python of the project's own environment."""
        return str(self.folder / ".venv/bin/python")

    @property
    def package(self) -> str:
        """Name of its package."""
        return next(path.parent.name for path in self.folder.glob("src/*/app.py"))

    @property
    def bundle(self) -> Path | None:
        """The champion's bundle, or the challenger's, or none yet."""
        bundles = [self.folder / "bundles" / name for name in ("champion", "challenger")]
        return next((bundle for bundle in bundles if (bundle / "bundle.json").is_file()), None)

    def bundle_of(self, family: str) -> Path:
        """Return the bundle of a family that `make train` tracked, whether it was the best or not.

        Raises
        ------
        UserError
            If there is none.
        """
        found = [
            path.parent
            for path in sorted(self.folder.glob("mlruns/*/models/*/artifacts/bundle.json"))
            if json.loads(path.read_text())["family"] == family
        ]
        if not found:
            raise UserError(f"{self.folder} has no {family} model: make train MODEL={family}")
        return max(found, key=lambda folder: (folder / "bundle.json").stat().st_mtime)

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables for the project's programs."""
        # Of another environment, of the make that runs this, and one that would have every
        # start compile every module anew, as otherwise only the first one does.
        foreign = {"VIRTUAL_ENV", "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "PYTHONDONTWRITEBYTECODE"}
        kept = {name: value for name, value in os.environ.items() if name not in foreign}
        path = f"{self.folder / '.venv/bin'}{os.pathsep}{kept.get('PATH', os.defpath)}"
        return {**kept, "PATH": path, "MLFLOW_DISABLE_TELEMETRY": "true"}


def find_project(folder: Path) -> Project:
    """Take the project in a folder, and generate and train it where that is still to be done.

    Raises
    ------
    UserError
        If the folder holds something else, or training fails.
    """
    project = Project(folder.resolve())
    if not folder.exists():
        say(f"generating the default project in {folder}")
        generate(project.folder)
    elif not list(folder.glob("src/*/app.py")):
        raise UserError(
            f"{folder} is not a generated project; name one, or a folder that does not exist"
        )
    if project.bundle is None or not Path(project.python).exists():
        say("make train")
        # Its standard output is progress here: this program's holds the tables alone.
        command = ["make", "train", f"PYTHON={sys.executable}"]
        done = subprocess.run(
            command, cwd=project.folder, env=project.environment, stdout=sys.stderr, check=False
        )
        if done.returncode or project.bundle is None:
            raise UserError(f"make train failed in {folder}: see above")
    return project


def generate(folder: Path) -> None:
    """Generate the default project, to be the given folder."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        command = [sys.executable, "-m", "cookiecutter", "--no-input", "--default-config"]
        subprocess.run(
            [*command, "--output-dir", temporary, str(ROOT)], stdout=sys.stderr, check=True
        )
        shutil.move(next(Path(temporary).iterdir()), folder)


def ingredients(project: Project, bundle: Path, folder: Path) -> dict[str, str]:
    """Write bodies of requests, their answers and a pickled pipeline to a folder.

    Returns
    -------
    dict
        The model's family, its features, and the versions of the libraries.
    """
    say("drawing rows, fitting the pipeline for the endpoint on DataFrames")
    return run_program(project, "ingredients.py", str(bundle), str(folder))


def run_program(project: Project, name: str, *arguments: str) -> dict[str, Any]:
    """Run one of the programs in the project, and return what it prints as JSON.

    Raises
    ------
    UserError
        If it fails.
    """
    done = subprocess.run(
        [project.python, str(PROGRAMS / name), project.package, *arguments],
        cwd=project.folder,
        env=project.environment,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise UserError(f"{name} failed: see above")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def check_room(folder: Path, rows: int, each: float) -> None:
    """Refuse a table that the disk has no room for.

    Parameters
    ----------
    each
        Bytes that a row needs.

    Raises
    ------
    UserError
        If there is too little.
    """
    needed, free = rows * each / 2**30, shutil.disk_usage(folder).free / 2**30
    if needed > free:
        raise UserError(f"{rows:,} rows need {needed:.0f} GiB in {folder}, {free:.0f} free")


def say(progress: str) -> None:
    """Tell what is being done."""
    print(progress, file=sys.stderr, flush=True)
