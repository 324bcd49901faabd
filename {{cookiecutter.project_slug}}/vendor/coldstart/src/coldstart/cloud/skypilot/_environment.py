"""SkyPilot's own environment in .sky/: it needs older packages than the project."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from coldstart._yaml import read_yaml
from coldstart.cloud._request import provider_of
from coldstart.cloud.skypilot._home import surroundings
from coldstart.errors import UserError

FOLDER = Path(".sky")
HOMES = FOLDER / "home"  # of SkyPilot, one for each provider; they stay when it is installed anew
ANY = "sky"  # the cheapest provider with credentials on this computer
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
    for path in FOLDER.iterdir() if FOLDER.is_dir() else ():
        if path.name != HOMES.name:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    uv("venv", "--allow-existing", "--python", sys.executable, str(FOLDER))
    uv("pip", "install", "--python", str(FOLDER / PYTHON), "--requirements", str(REQUIREMENTS))
    made.write_text(requirements, encoding="utf-8")  # last: missing if it was interrupted


def environment(on: str) -> dict[str, str]:
    """Return the environment variables that SkyPilot runs with for a provider.

    For ``sky`` there are the credentials of all.
    """
    name = provider_of(on)
    found = surroundings(HOMES / name, clouds() if name == ANY else [name])
    # SkyPilot calls programs of its environment by name, such as `aws`.
    found["PATH"] = os.pathsep.join([str((FOLDER / BIN).absolute()), found.get("PATH", "")])
    path = CONFIG.absolute()
    if path.is_file():
        found |= {"SKYPILOT_GLOBAL_CONFIG": str(path), "SKYPILOT_PROJECT_CONFIG": str(path)}
    return {**NO_TELEMETRY, **found, "PYTHONPATH": str(SOURCES)}


def read_config() -> dict[str, Any]:
    """Return the settings in infra/sky.config.yaml.

    Raises
    ------
    UserError
        If the file is not YAML.
    """
    return (read_yaml(CONFIG) if CONFIG.is_file() else None) or {}


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


def call(
    function: str,
    arguments: dict[str, Any],
    quiet: bool = True,
    on: str = ANY,
    config: dict[str, Any] | None = None,
) -> Any:
    """Call a function of `_program.py` in SkyPilot's environment, and return what it returned.

    The arguments must be valid in JSON. SkyPilot gets the credentials of the provider `on`, and the
    settings in infra/sky.config.yaml or others. Its own output is hidden if `quiet`.

    Raises
    ------
    UserError
        If SkyPilot refuses, or fails.
    """
    program = f"{__package__}._program"
    own = environment(on)
    with tempfile.TemporaryDirectory() as folder:
        if config is not None:
            path = Path(folder, CONFIG.name)
            path.write_text(yaml.safe_dump(config), encoding="utf-8")
            own["SKYPILOT_PROJECT_CONFIG"] = str(path)
        done = subprocess.run(
            [FOLDER / PYTHON, "-m", program, function],
            input=json.dumps(arguments),
            env=own,
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
