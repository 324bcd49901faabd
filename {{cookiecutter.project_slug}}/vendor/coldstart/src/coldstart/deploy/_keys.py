"""API keys without a file: their hashes are passed in an environment variable."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from coldstart.errors import UserError
from coldstart.serve._access import read_keys

VARIABLE = "API_KEYS"  # content of the file of keys: hashes, and no key


def pack_keys(keys: Path | None, max_bytes: int) -> dict[str, str]:
    """Return the variable that holds the hashes of keys. Without keys, print a warning.

    Parameters
    ----------
    keys : Path, optional
        The file of keys.
    max_bytes : int
        The most that the hashes may take.

    Returns
    -------
    dict
        The variable; empty without keys.

    Raises
    ------
    UserError
        If the file cannot be read, or there are too many keys.
    """
    if not keys:
        warn_without_keys()
        return {}
    hashes = "".join(f"{name} {key}\n" for name, key in read_keys(keys).items())
    if len(hashes.encode()) > max_bytes:
        raise UserError(f"{keys} has too many keys: {max_bytes} bytes at most; remove some")
    return {VARIABLE: hashes}


def warn_without_keys() -> None:
    """Print a warning that everybody can use the API."""
    print(
        "WARNING: anyone who has the URL can use the API without a key. To require keys, run "
        "make key NAME=..., and set serving.keys in config.yaml",
        file=sys.stderr,
    )


def unpack_keys(folder: Path) -> Path | None:
    """Write the hashes in the variable to a file, and return it; None without the variable."""
    if not (hashes := os.environ.get(VARIABLE)):
        return None
    file = folder / "keys.txt"
    file.write_text(hashes)
    return file
