"""SkyPilot's own environment in .sky/: it needs older packages than the project."""

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
REQUIREMENTS, CONFIG = Path("infra/sky.txt"), Path("infra/sky.config.yaml")
BIN = Path("Scripts" if os.name == "nt" else "bin")
PYTHON, COMMAND = BIN / "python", BIN / "sky"
SOURCES = Path(__file__).parents[3]
# SkyPilot reports how it is used to its makers, unless it is switched off.
NO_TELEMETRY = {"SKYPILOT_DISABLE_USAGE_COLLECTION": "1"}


def clouds() -> list[str]:
    """Return the clouds that SkyPilot is installed for, from infra/sky.txt.

    Raises
    ------
    UserError
        If the file does not name them.
    """
    lines = REQUIREMENTS.read_text(encoding="utf-8") if REQUIREMENTS.is_file() else ""
    found = re.search(r"^skypilot\[([\w, -]+)\]", lines, re.MULTILINE)
    if not found:
        raise UserError(f"{REQUIREMENTS} should name SkyPilot and clouds: skypilot[aws]==...")
    return [cloud.strip() for cloud in found[1].split(",")]


def ensure_installed() -> None:
    """Install SkyPilot, if it is missing or not as infra/sky.txt says.

    Raises
    ------
    UserError
        If it cannot be installed.
    """
    clouds()
    requirements, made = REQUIREMENTS.read_text(encoding="utf-8"), FOLDER / "made"
    if made.is_file() and made.read_text(encoding="utf-8") == requirements:
        return
    print(f"installing SkyPilot into {FOLDER}", flush=True)
    shutil.rmtree(FOLDER, ignore_errors=True)
    uv("venv", "--python", sys.executable, str(FOLDER))
    uv("pip", "install", "--python", str(FOLDER / PYTHON), "--requirements", str(REQUIREMENTS))
    made.write_text(requirements, encoding="utf-8")  # last: missing if it was interrupted


def environment() -> dict[str, str]:
    """Return the environment variables that SkyPilot runs with."""
    here = str(CONFIG.absolute())
    given = {"SKYPILOT_PROJECT_CONFIG": here} if CONFIG.is_file() else {}
    if given and not Path("~/.sky/config.yaml").expanduser().exists():
        given["SKYPILOT_GLOBAL_CONFIG"] = here  # its server reads no other
    return {**NO_TELEMETRY, **given, **os.environ, "PYTHONPATH": str(SOURCES)}


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
        raise UserError(f"SkyPilot could not be installed: see above, and {REQUIREMENTS}")


def call(function: str, arguments: dict[str, Any], quiet: bool = True) -> Any:
    """Call a function of `_program.py` in SkyPilot's environment.

    Parameters
    ----------
    function : str
        Its name.
    arguments : dict
        Its keyword arguments, which must be valid in JSON.
    quiet : bool, default=True
        Whether SkyPilot's own output is hidden.

    Returns
    -------
    object
        What the function returned.

    Raises
    ------
    UserError
        If SkyPilot refuses, or fails.
    """
    program = f"{__package__}._program"
    done = subprocess.run(
        [FOLDER / PYTHON, "-m", program, function],
        input=json.dumps(arguments),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if quiet else None,
        text=True,
        check=False,
        start_new_session=True,  # Ctrl-C is for this process alone
    )
    lines = done.stdout.splitlines()[-1:]
    if done.returncode not in (0, 1) or not lines:
        last = (done.stderr or "see above").strip().splitlines()[-1]
        raise UserError(f"SkyPilot failed: {last}")
    result = json.loads(lines[0])
    if done.returncode:
        raise UserError(f"SkyPilot: {result}")
    return result
