"""What a preflight finds out: a list of small checks, each of which tells what it saw."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    mend
        The command or the page that mends it.
    last
        Whether nothing after it can be looked at.
    """

    about: str
    state: Literal["ok", "note", "wrong"]
    said: str
    mend: str = ""
    last: bool = False

    def __str__(self) -> str:
        mend = f"; {self.mend}" if self.mend else ""
        return f"{self.state:5}  {self.about}: {self.said}{mend}"


def ok(about: str, said: str) -> Finding:
    """What is as it should be."""
    return Finding(about, "ok", said)


def note(about: str, said: str, mend: str = "") -> Finding:
    """What a person should know, and what does not stop a job."""
    return Finding(about, "note", said, mend)


def wrong(about: str, said: str, mend: str) -> Finding:
    """What would stop a job, or keep a machine from ending."""
    return Finding(about, "wrong", said, mend)


def examine(checks: Iterable[Callable[[], Finding]]) -> int:
    """Run checks, print what each finds, and return the exit code: 1 if something is wrong."""
    code = 0
    for check in checks:
        found = check()
        print(found, flush=True)
        code = max(code, int(found.state == "wrong"))
        if found.last:
            break
    return code
