"""Checks of secrets: that git does not keep them, and others on this machine cannot read them."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from coldstart._diagnostics import Finding, ok, wrong
from coldstart.config._settings import CONFIG

ENV = Path(".env")
KEYS = (".aws/credentials", ".mlflow/credentials", ".netrc", ".ssh/id_*", ".sky/*.pem")


def env_file() -> Finding:
    """Whether git leaves `.env` alone."""
    about = str(ENV)
    if not ENV.exists():
        return ok(about, "there is none, which is fine")
    if not shutil.which("git") or not succeeds("git", "rev-parse", "--is-inside-work-tree"):
        return ok(about, "not under git")
    if succeeds("git", "ls-files", "--error-unmatch", about):
        said = "git keeps it, and whoever gets the repository reads it: its passwords need changing"
        return wrong(about, said, "git rm --cached .env && echo .env >> .gitignore")
    if not succeeds("git", "check-ignore", "--quiet", about):
        return wrong(about, "the next git add --all keeps it", "echo .env >> .gitignore")
    return ok(about, "git does not keep it")


def config_file() -> Finding:
    """Whether config.yaml, which git keeps, is without the tracking store's password."""
    about = str(CONFIG)
    settings = yaml.safe_load(CONFIG.read_text("utf-8"))
    if urlsplit(settings.get("tracking_uri", "")).password:
        mend = "move tracking_uri to .env, as MLFLOW_TRACKING_URI=..."
        return wrong(about, "tracking_uri has a password in it, and git keeps this file", mend)
    return ok(about, "no password in it")


def succeeds(*command: str) -> bool:
    """Whether a command ends well."""
    return not subprocess.run(command, capture_output=True, check=False).returncode


def key_files() -> Finding:
    """Whether other users of this machine can read a file with passwords or keys."""
    about = "key files"
    found = [ENV, *(path for pattern in KEYS for path in sorted(Path.home().glob(pattern)))]
    found = [path for path in found if path.is_file() and path.suffix != ".pub"]
    if os.name == "nt":
        return ok(about, "kept by Windows' own rules")
    open_to_others = [path for path in found if readable(path)]
    if open_to_others:
        names = shlex.join(map(str, open_to_others))
        return wrong(about, f"others on this machine can read {names}", f"chmod 600 {names}")
    return ok(about, f"{len(found)} found, none of which others can read")


def readable(path: Path) -> bool:
    """Whether others may read a file, and enter every folder that it lies in."""
    path = path.resolve()
    enter = all(folder.stat().st_mode & stat.S_IXOTH for folder in path.parents)
    return enter and bool(path.stat().st_mode & stat.S_IROTH)
