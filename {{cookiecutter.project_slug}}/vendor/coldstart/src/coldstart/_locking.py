"""One command at a time: a lock that the system releases however the process ends."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from coldstart.errors import UserError

LOCK = Path(".lock")
BUSY = "another command is running in this folder"


@contextlib.contextmanager
def lock(wait: bool = False) -> Iterator[None]:
    """Hold the lock of the project in this folder.

    Parameters
    ----------
    wait : bool, default=False
        Whether to wait while another command holds it.

    Raises
    ------
    UserError
        If another command holds it, and `wait` is False.
    """
    file = FileLock(LOCK)
    try:
        held = file.acquire(blocking=False)
    except Timeout:
        if not wait:
            raise UserError(f"{BUSY}; wait until it ends") from None
        print(f"waiting: {BUSY}", flush=True)
        held = file.acquire()
    with held:
        yield
