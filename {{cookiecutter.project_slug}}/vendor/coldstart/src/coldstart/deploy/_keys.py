"""API keys without a file: their hashes are passed in an environment variable."""

from __future__ import annotations

import os
from pathlib import Path

from coldstart.errors import UserError
from coldstart.serve._access import new_key, read_keys

VARIABLE = "API_KEYS"  # content of the file of keys: hashes, and no key
PUBLIC = "PUBLIC"  # the variable of an API that requires none
FIRST = "owner"  # name of the key that a deployment makes


def pack_keys(keys: Path, max_bytes: int) -> dict[str, str]:
    """Return the variable that holds the hashes of keys.

    Raises
    ------
    UserError
        If the file cannot be read, or there are too many keys.
    """
    hashes = "".join(f"{name} {key}\n" for name, key in read_keys(keys).items())
    if len(hashes.encode()) > max_bytes:
        raise UserError(f"{keys} has too many keys: {max_bytes} bytes at most; remove some")
    return {VARIABLE: hashes}


def keep_or_make_keys(keys: Path, deployed: str, max_bytes: int) -> dict[str, str]:
    """Return the variable with the keys here, or those deployed, or else a new one, which is shown.

    A clone of the repository has no file of keys. `deployed` are the hashes of the version before.

    Raises
    ------
    UserError
        If a key would be shown in the log of a build machine, which others may read.
    """
    if not keys.is_file() or not read_keys(keys):
        if deployed:
            return {VARIABLE: deployed}
        if os.environ.get("CI"):
            raise UserError(
                "the API has no key yet, and this log is no place to show one: deploy once on "
                "your computer, which makes one, or open the API to everybody: PUBLIC=yes"
            )
        key = new_key(keys, FIRST)
        print(f"API key, shown only now: {key}\n  its hash is in {keys}; make key makes others")
    return pack_keys(keys, max_bytes)


def unpack_keys(folder: Path) -> Path | None:
    """Write the hashes in the variable to a file, and return it; None without the variable."""
    if not (hashes := os.environ.get(VARIABLE)):
        return None
    file = folder / "keys.txt"
    file.write_text(hashes)
    return file
