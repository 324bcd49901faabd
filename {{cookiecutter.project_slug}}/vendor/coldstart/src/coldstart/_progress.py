"""What a command tells while it works: a line for each stage that has ended, with its time."""

from __future__ import annotations

import time
from collections.abc import Callable

from tqdm import tqdm


def plainly(line: str) -> None:
    """Print a line at once, above the bars that a terminal shows."""
    with tqdm.external_write_mode():
        print(line, flush=True)


class StageTimer:
    """Stages that follow one another, each from the end of the one before.

    Parameters
    ----------
    tell
        What takes the line of a stage.
    """

    def __init__(self, tell: Callable[[str], object] = plainly) -> None:
        self.tell, self.start = tell, time.monotonic()

    def done(self, told: str) -> None:
        """Tell of one, and begin the next."""
        now = time.monotonic()
        self.tell(f"{told} ({now - self.start:.1f} s)")
        self.start = now
