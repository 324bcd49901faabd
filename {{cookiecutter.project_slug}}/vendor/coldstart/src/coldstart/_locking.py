"""One command at a time: locks that the system releases however the process ends."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from coldstart.errors import UserError

LOCK = Path(".lock")
BUSY = "waiting for the other command that is running in this folder"


@contextlib.contextmanager
def lock(path: Path = LOCK, wait: str | None = None) -> Iterator[None]:
    """Hold a lock; by default on the project.

    Parameters
    ----------
    path : Path
        The lock's own file, which is created.
    wait : str, optional
        What to print while another command holds it; by default, do not wait.

    Raises
    ------
    UserError
        If another command holds it, and `wait` is not given.
    """
    held = FileLock(path)
    try:
        acquired = held.acquire(blocking=False)
    except Timeout:
        if wait is None:
            reason = "another command is at work in this folder: wait for its end"
            raise UserError(reason) from None
        print(wait, flush=True)
        acquired = held.acquire()
    with acquired:
        yield
