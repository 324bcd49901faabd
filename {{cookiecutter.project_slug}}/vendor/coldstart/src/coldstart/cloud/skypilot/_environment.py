"""SkyPilot, in an environment of its own: it wants older packages than this project."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from coldstart.errors import UserError

FOLDER = Path(".sky")
WANTED, CONFIG = Path("infra/sky.txt"), Path("infra/sky.config.yaml")
BIN = Path("Scripts" if os.name == "nt" else "bin")
PYTHON, PROGRAM = BIN / "python", BIN / "sky"
SOURCES = Path(__file__).parents[3]
# SkyPilot tells its makers what it is used for, unless it is told not to.
QUIET = {"SKYPILOT_DISABLE_USAGE_COLLECTION": "1"}


def clouds() -> list[str]:
    """Clouds that it is to know, from what is wanted.

    Raises
    ------
    UserError
        If it does not say so.
    """
    lines = WANTED.read_text(encoding="utf-8") if WANTED.is_file() else ""
    found = re.search(r"^skypilot\[([\w, -]+)\]", lines, re.MULTILINE)
    if not found:
        raise UserError(f"{WANTED} should name SkyPilot and clouds: skypilot[aws]==...")
    return [cloud.strip() for cloud in found[1].split(",")]


def ensure() -> None:
    """Make the environment, if it is not there or not what is wanted.

    Raises
    ------
    UserError
        If it cannot be installed.
    """
    clouds()
    wanted, made = WANTED.read_text(encoding="utf-8"), FOLDER / "made"
    if made.is_file() and made.read_text(encoding="utf-8") == wanted:
        return
    print(f"installing SkyPilot into {FOLDER}", flush=True)
    shutil.rmtree(FOLDER, ignore_errors=True)
    uv("venv", "--python", sys.executable, str(FOLDER))
    uv("pip", "install", "--python", str(FOLDER / PYTHON), "--requirements", str(WANTED))
    made.write_text(wanted, encoding="utf-8")  # not there if it was cut off


def variables() -> dict[str, str]:
    """Variables that SkyPilot is run with: the project's settings, on top of the person's."""
    here = str(CONFIG.absolute())
    given = {"SKYPILOT_PROJECT_CONFIG": here} if CONFIG.is_file() else {}
    if given and not Path("~/.sky/config.yaml").expanduser().exists():
        given["SKYPILOT_GLOBAL_CONFIG"] = here  # its server reads no other
    return {**QUIET, **given, **os.environ, "PYTHONPATH": str(SOURCES)}


def uv(*arguments: str) -> None:
    """Run uv, which is in the project's environment.

    Raises
    ------
    UserError
        If it fails.
    """
    command = [sys.executable, "-m", "uv", "--quiet", *arguments]
    settings = {"UV_SYSTEM_CERTS": "1"}
    if subprocess.run(command, env={**os.environ, **settings}, check=False).returncode:
        raise UserError(f"SkyPilot could not be installed: see above, and {WANTED}")


def ask(program: Path, what: str, asked: dict[str, Any], quiet: bool = False) -> Any:
    """Run a program with SkyPilot's Python, and return what it answers.

    Parameters
    ----------
    program
        Reads JSON, and answers with JSON on a line of its own: see `answering.py`.
    what
        The function of it that is asked.
    quiet
        Whether what SkyPilot says meanwhile is not shown.

    Raises
    ------
    UserError
        If SkyPilot refuses it.
    """
    module = ".".join(program.relative_to(SOURCES).with_suffix("").parts)
    done = subprocess.run(
        [FOLDER / PYTHON, "-m", module, what],
        input=json.dumps(asked),
        env=variables(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if quiet else None,
        text=True,
        check=False,
        start_new_session=True,  # Ctrl-C is answered here, and once
    )
    lines = done.stdout.splitlines()[-1:]
    if done.returncode not in (0, 1) or not lines:
        last = (done.stderr or "see above").strip().splitlines()[-1]
        raise UserError(f"SkyPilot failed: {last}")
    answer = json.loads(lines[0])
    if done.returncode:
        raise UserError(f"SkyPilot: {answer}")
    return answer
