"""Names and values of any data, as a terminal shows and does not obey them."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from typing import Any

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
