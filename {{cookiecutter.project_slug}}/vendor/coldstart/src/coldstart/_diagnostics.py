"""Diagnostics: small checks, each of which returns a finding, and how findings are printed."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Literal

SET_CLOCK = {"darwin": "sudo sntp -sS time.apple.com", "win32": "w32tm /resync"}
# Seconds. Start times and deadlines are written by one clock and read by another.
MAX_CLOCK_SKEW = 60


@dataclass(frozen=True)
class Finding:
    """Result of one check.

    Attributes
    ----------
    subject : str
        What was checked.
    state : {'ok', 'note', 'wrong'}
        ``note`` stops nothing. ``wrong`` stops a command, exposes a secret, or keeps a machine
        from ending itself.
    message : str
        What was found.
    hint : str
        Command or page that fixes it. It is printed on a line of its own, ready to be copied.
    last : bool
        Whether the checks that follow cannot run.
    """

    subject: str
    state: Literal["ok", "note", "wrong"]
    message: str
    hint: str = ""
    last: bool = False

    def __str__(self) -> str:
        hint = f"\n       {self.hint}" if self.hint else ""
        return f"{self.state:5}  {self.subject}: {self.message}{hint}"


def ok(subject: str, message: str) -> Finding:
    """Return a finding that needs no action."""
    return Finding(subject, "ok", message)


def note(subject: str, message: str, hint: str = "") -> Finding:
    """Return a finding that is worth knowing and stops nothing."""
    return Finding(subject, "note", message, hint)


def wrong(subject: str, message: str, hint: str) -> Finding:
    """Return a finding that must be fixed."""
    return Finding(subject, "wrong", message, hint)


def check_clock(date: str, owner: str) -> Finding:
    """Compare the clock of this computer with that of a server.

    Parameters
    ----------
    date : str
        The `Date` header of a response.
    owner : str
        Whose clock that is, in the possessive: ``AWS'``.

    Returns
    -------
    Finding
        Wrong if the clocks differ by more than a minute.
    """
    offset = time.time() - parsedate_to_datetime(date).timestamp()
    if abs(offset) > MAX_CLOCK_SKEW:
        message = f"{abs(offset):.0f} s {'ahead of' if offset > 0 else 'behind'} {owner}"
        return wrong("clock", message, SET_CLOCK.get(sys.platform, "sudo timedatectl set-ntp true"))
    return ok("clock", f"agrees with {owner} within a minute")


def run_checks(checks: Iterable[Callable[[], Finding]]) -> int:
    """Run checks and print their findings.

    Parameters
    ----------
    checks : iterable of callable
        Functions that return a `Finding`.

    Returns
    -------
    int
        Exit code: 1 if something is wrong, else 0.
    """
    code = 0
    for check in checks:
        finding = check()
        print(finding, flush=True)
        code = max(code, int(finding.state == "wrong"))
        if finding.last:
            break
    return code
