"""Progress of a command: a line for each finished stage, with its time."""

from __future__ import annotations

import contextlib
import re
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from tqdm import tqdm

# Control characters, and those that reverse the direction of text: a terminal obeys them.
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Return a text in which what a terminal would obey is escaped, as Python does."""
    return UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)


class PrintableStream:
    """A stream of text to which names and values of any data may be written.

    Parameters
    ----------
    stream : file
        Where the text goes.
    """

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write a text that a terminal shows and does not obey.

        Parameters
        ----------
        text : str
            The text.

        Returns
        -------
        int
            Number of characters that were written.
        """
        written: int = self.stream.write(printable(text))
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextlib.contextmanager
def printable_output() -> Iterator[None]:
    """Print within this block only what a terminal shows and does not obey."""
    with contextlib.redirect_stdout(PrintableStream(sys.stdout)):
        yield


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
