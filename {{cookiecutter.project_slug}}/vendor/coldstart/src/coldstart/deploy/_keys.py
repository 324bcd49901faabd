"""Keys where no file can be brought: their hashes go by a variable of the environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from coldstart.errors import UserError
from coldstart.serve._access import read_keys

VARIABLE = "API_KEYS"  # what the file of keys holds: hashes, and no key


def packed(keys: Path | None, room: int) -> dict[str, str]:
    """Variables that bring the hashes; none, and a warning, if everybody may ask.

    Parameters
    ----------
    room
        Bytes that there are for them.

    Raises
    ------
    UserError
        If they cannot be read, or are too many.
    """
    if not keys:
        print(
            "WARNING: the URL is open to everybody, and no key is needed: "
            "make key NAME=..., then serving.keys in config.yaml",
            file=sys.stderr,
        )
        return {}
    hashes = "".join(f"{who} {key}\n" for who, key in read_keys(keys).items())
    if len(hashes.encode()) > room:
        raise UserError(f"{keys} has more keys than there is room for, {room} bytes: remove some")
    return {VARIABLE: hashes}


def unpacked(folder: Path) -> Path | None:
    """Write the file of hashes that a variable has brought, if one has."""
    if not (hashes := os.environ.get(VARIABLE)):
        return None
    file = folder / "keys.txt"
    file.write_text(hashes)
    return file
