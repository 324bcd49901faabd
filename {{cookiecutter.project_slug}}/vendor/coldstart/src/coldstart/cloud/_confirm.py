"""The question before something cannot be undone."""

from __future__ import annotations

import sys


def agreed(yes: bool, question: str) -> bool:
    """Whether a person says yes, or has said so before; nobody is asked where nobody is.

    Parameters
    ----------
    yes
        Whether it was said before.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        print(f"{question} nobody is here to ask: YES=1 says yes")
        return False
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
