"""Where a model predicts, and with how many threads: as the time that it takes says."""

from __future__ import annotations

import os
import time
from typing import Any

from coldstart.bundle._predictor import BundlePredictor

SOME_ROWS = 64  # to measure with
INLINE_SECONDS = 0.005  # that a prediction may hold up all other requests
THREADS_SECONDS = 0.02  # for one row, from which more threads are tried
MAX_THREADS = 8  # of one prediction
GAIN = 0.8  # of the time that it took before; threads that gain less cost the other requests more
REPEATS = 3


def set_pace(predictor: BundlePredictor, row: dict[str, Any], workers: int = 1) -> int:
    """Measure a model, choose its threads, and return how many rows it may hold others up for.

    Parameters
    ----------
    predictor : BundlePredictor
        The model. It gets more threads if it is slow, and if they make it faster.
    row : dict
        A typed row.
    workers : int, default=1
        Processes that share the cores.

    Returns
    -------
    int
        Rows that take `INLINE_SECONDS`. More of them are predicted in a thread and not on the
        event loop; 0 sends all of them there.
    """
    one = measure(predictor, [row])
    threads = min(MAX_THREADS, len(os.sched_getaffinity(0)) // workers)
    if one > THREADS_SECONDS and threads > 1:
        predictor.use_threads(threads)
        faster = measure(predictor, [row])
        if faster > GAIN * one:
            predictor.use_threads(1)
        one = min(one, faster)
    if one > INLINE_SECONDS:
        return 0
    each = max(1e-6, (measure(predictor, [row] * SOME_ROWS) - one) / (SOME_ROWS - 1))
    return 1 + int((INLINE_SECONDS - one) / each)


def measure(predictor: BundlePredictor, rows: list[dict[str, Any]]) -> float:
    """Return the shortest of a few times that rows took, in seconds."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        predictor.score(rows)
        times.append(time.perf_counter() - start)
    return min(times)
