"""Progress of a command: a line for each finished stage, with its time."""

from __future__ import annotations

import time
from collections.abc import Callable

from tqdm import tqdm


def plainly(line: str) -> None:
    """Print a line immediately, above the progress bars of a terminal."""
    with tqdm.external_write_mode():
        print(line, flush=True)


class StageTimer:
    """A timer that reports each stage of a command when it ends.

    The first stage begins when the timer is created, each later one when the stage before it ends.

    Parameters
    ----------
    tell : callable, optional
        Function that is called with the line of each stage. By default it is printed.
    """

    def __init__(self, tell: Callable[[str], object] = plainly) -> None:
        self.tell, self.start = tell, time.monotonic()

    def done(self, told: str) -> None:
        """Report the end of a stage and its time, and begin the next stage.

        Parameters
        ----------
        told : str
            Result of the stage, without the time.
        """
        now = time.monotonic()
        self.tell(f"{told} ({now - self.start:.1f} s)")
        self.start = now
