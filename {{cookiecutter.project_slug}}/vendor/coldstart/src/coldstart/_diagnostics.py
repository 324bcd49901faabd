"""What a preflight finds out: a list of small checks, each of which tells what it saw."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Literal

SET_CLOCK = {"darwin": "sudo sntp -sS time.apple.com", "win32": "w32tm /resync"}
SKEW = 60  # seconds; tracked times and deadlines are set by one clock, and read by another


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    mend
        The command or the page that mends it; printed on a line of its own, to be copied.
    last
        Whether nothing after it can be looked at.
    """

    about: str
    state: Literal["ok", "note", "wrong"]
    said: str
    mend: str = ""
    last: bool = False

    def __str__(self) -> str:
        mend = f"\n       {self.mend}" if self.mend else ""
        return f"{self.state:5}  {self.about}: {self.said}{mend}"


def ok(about: str, said: str) -> Finding:
    """What is as it should be."""
    return Finding(about, "ok", said)


def note(about: str, said: str, mend: str = "") -> Finding:
    """What a person should know, and what stops nothing."""
    return Finding(about, "note", said, mend)


def wrong(about: str, said: str, mend: str) -> Finding:
    """What must be mended: it stops a command, opens a secret or keeps a machine from ending."""
    return Finding(about, "wrong", said, mend)


def clock(date: str, whose: str) -> Finding:
    """Compare this machine's clock with that of the `Date` in an answer over HTTP."""
    off = time.time() - parsedate_to_datetime(date).timestamp()
    if abs(off) > SKEW:
        said = f"{abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} {whose}"
        mend = SET_CLOCK.get(sys.platform, "sudo timedatectl set-ntp true")
        return wrong("clock", said, mend)
    return ok("clock", f"agrees with {whose} within a minute")


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
