"""Locks on files, which the system releases however the process ends."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from .errors import UserError
from .settings import CONFIG

BUSY = "waiting for the other command that is at work in this folder"


@contextlib.contextmanager
def lock(path: Path = CONFIG, wait: str | None = None) -> Iterator[None]:
    """Hold a lock on a file; by default on the project's settings, and so on the project.

    Parameters
    ----------
    path
        The file, which is only opened.
    wait
        What to tell while another command holds it; by default, it is not waited for.

    Raises
    ------
    UserError
        If another command holds it, and it is not waited for.
    """
    try:
        import fcntl
    except ImportError:  # on Windows
        yield
        return
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if wait is None:
                reason = "another command is at work in this folder: wait for its end"
                raise UserError(reason) from None
            print(wait, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
