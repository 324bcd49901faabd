"""Checks of secrets: git does not keep them, and other users cannot read them."""

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
    """Check that git ignores `.env`."""
    subject = str(ENV)
    if not ENV.exists():
        return ok(subject, "there is none, and none is needed")
    if not shutil.which("git") or not succeeds("git", "rev-parse", "--is-inside-work-tree"):
        return ok(subject, "not under git")
    if succeeds("git", "ls-files", "--error-unmatch", subject):
        message = "it is in the git repository for others to read: change its passwords"
        return wrong(subject, message, "git rm --cached .env && echo .env >> .gitignore")
    if not succeeds("git", "check-ignore", "--quiet", subject):
        return wrong(subject, "the next git add --all adds it", "echo .env >> .gitignore")
    return ok(subject, "git ignores it")


def config_file() -> Finding:
    """Check that config.yaml, which is in git, holds no password of the tracking store."""
    subject = str(CONFIG)
    settings = yaml.safe_load(CONFIG.read_text("utf-8"))
    if urlsplit(settings.get("tracking_uri", "")).password:
        hint = "move tracking_uri to .env, as MLFLOW_TRACKING_URI=..."
        return wrong(subject, "tracking_uri holds a password, and this file is in git", hint)
    return ok(subject, "holds no password")


def succeeds(*command: str) -> bool:
    """Return whether a command exits with 0."""
    return not subprocess.run(command, capture_output=True, check=False).returncode


def key_files() -> Finding:
    """Check that other users cannot read files with passwords or keys."""
    subject = "key files"
    found = [ENV, *(path for pattern in KEYS for path in sorted(Path.home().glob(pattern)))]
    found = [path for path in found if path.is_file() and path.suffix != ".pub"]
    if os.name == "nt":
        return ok(subject, "not checked on Windows, which has rules of its own")
    exposed = [path for path in found if is_readable_by_others(path)]
    if exposed:
        names = shlex.join(map(str, exposed))
        return wrong(subject, f"other users can read {names}", f"chmod 600 {names}")
    return ok(subject, f"{len(found)} found; other users cannot read them")


def is_readable_by_others(path: Path) -> bool:
    """Return whether others may read a file, and enter all folders that lead to it."""
    path = path.resolve()
    enter = all(folder.stat().st_mode & stat.S_IXOTH for folder in path.parents)
    return enter and bool(path.stat().st_mode & stat.S_IROTH)
