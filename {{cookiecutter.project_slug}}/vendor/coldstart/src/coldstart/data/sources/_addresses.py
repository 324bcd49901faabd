"""Addresses of sources: what may be logged of them, and variables in them."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path

from coldstart.errors import UserError

SQLITE = re.compile(r"sqlite[+\w]*:///")
TOKENS = re.compile(
    r"(?i)([?&][^=&]*(?:token|key|secret|signature|sig|password|passwd|auth|credential)[^=&]*=)"
    r"(?!\$\{)[^&#]*"
)


def public_address(text: str) -> str:
    """Return what may be logged of a source.

    Passwords and tokens are taken out. Of a file outside this project only the name is left,
    since its folder says how somebody's computer is organized.
    """
    if sqlite := SQLITE.match(text):
        path, mark, rest = text[sqlite.end() :].partition("?")
        return redact(sqlite[0] + path_in_project(path) + mark + rest)
    return redact(text) if "://" in text else path_in_project(text)


def path_in_project(text: str) -> str:
    """Return a path relative to this project, or the name alone of one outside it."""
    path = Path(os.path.normpath(text))
    if not path.is_absolute() and ".." not in path.parts:
        return text
    here = Path.cwd()
    if path.is_absolute() and path != here and path.is_relative_to(here):
        return path.relative_to(here).as_posix()
    parts = path.parts
    magic = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    return "/".join(parts[magic:]) if parts else text


def expand_variables(text: str) -> str:
    """Replace `${NAME}` with environment variables.

    Raises
    ------
    UserError
        If one is not set.
    """

    def value(name: re.Match[str]) -> str:
        if name[1] not in os.environ:
            raise UserError(f"{name[0]} is used, but {name[1]} is not set in the environment")
        return os.environ[name[1]]

    return re.sub(r"\$\{(\w+)\}", value, text)


def redact(address: str) -> str:
    """Remove passwords and tokens from an address. `${NAME}` is not a secret, and stays."""
    # A database's password may hold anything; a path on the web may hold an @.
    word = "[^/]*" if address.lower().startswith("http") else ".*"
    address = re.sub(r"(://[^/:@]*):(?!\$\{\w+\}@)" + word + "@", r"\1@", address)
    return TOKENS.sub(r"\1***", address) if "://" in address else address
