"""The garbage collector, paused while the API starts."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Collect no garbage within this block, and leave the collector as it was found.

    While modules are loaded there is little garbage, and looking for it takes a tenth of the time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def freeze_objects() -> None:
    """Keep what exists now out of all later collections.

    A server's model and modules stay as long as it runs; looking at them again with every few
    hundred requests would be in vain. Garbage of the start is kept as well: it is some 0.2 MB, and
    to look for it takes a twentieth of the start.
    """
    gc.freeze()


@contextmanager
def objects_frozen() -> Iterator[None]:
    """Keep what exists now out of all collections within this block."""
    freeze_objects()
    try:
        yield
    finally:
        gc.unfreeze()
