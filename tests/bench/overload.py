"""More requests than can be answered: who is answered, who is refused, and what is left after."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

import processes
from load import KEY, Case, load
from project import PROGRAMS, UserError, say
from running import Running, running
from servers import THIS, Bench

CASE = Case(32, 64)
TRIES = 5  # s
BELOW, ABOVE = 0.8, 4.0  # of what can be answered


@dataclass(frozen=True)
class Flooded:
    """What came of requests at a fixed rate.

    Attributes
    ----------
    share
        Of the capacity, that was asked for.
    seconds
        How long.
    seen
        Fates of requests: see programs/flood.py.
    p50, p99
        In ms, from when a request was due to the end of its answer.
    sent_p99, refused_p99
        From when it was sent: a client without a free connection waits for one.
    usual
        A request's time when there are no others, in ms.
    recovered
        Seconds from the end until requests took their usual time; None: not in half a minute.
    cpu
        Of the program that asked, in s.
    memory
        Of the server in MiB, once a second.
    """

    share: float
    seconds: int
    seen: dict[str, int]
    p50: float
    p99: float
    sent_p99: float
    refused_p99: float
    usual: float
    recovered: float | None
    cpu: float
    memory: list[float]

    def rate(self, fate: str) -> float:
        """Requests a second that had this fate."""
        return self.seen.get(fate, 0) / self.seconds

    @property
    def asking(self) -> float:
        """Share of a core that the program that asks had to itself."""
        return self.cpu / self.seconds

    @property
    def growth(self) -> float:
        """MiB from the first quarter's end, when all buffers are there, to the end."""
        return self.memory[-1] - self.memory[len(self.memory) // 4]


@dataclass(frozen=True)
class Overload:
    """What was measured: the capacity in requests a second, below it and above it."""

    capacity: float
    below: Flooded
    above: Flooded


def measure_overload(bench: Bench, seconds: int) -> Overload:
    """Ask for less than can be answered, then for much more; slow clients are there as well."""
    with running(THIS, bench) as found:
        tries = [load(found, bench.folder, CASE, 1) for _ in range(TRIES + 1)][1:]
        capacity = median(sample.rate for sample in tries)
        say(f"overload, {capacity:,.0f} requests/s can be answered")
        below = flood(found, bench, capacity, BELOW, max(2, seconds // 4))
        above = flood(found, bench, capacity, ABOVE, seconds)
    return Overload(capacity, below, above)


def flood(found: Running, bench: Bench, capacity: float, share: float, seconds: int) -> Flooded:
    """Ask at a share of the capacity.

    Raises
    ------
    UserError
        If the program that asks fails.
    """
    say(f"overload, {share:g} times that for {seconds} s")
    bodies = bench.folder / f"api-{CASE.rows}.jsonl"
    rate = str(capacity * share)
    command = [sys.executable, str(PROGRAMS / "flood.py"), str(found.port), str(bodies), rate]
    with watched(found.pid) as memory:
        done = subprocess.run(
            [*command, str(seconds)],
            env=os.environ | {"BENCH_KEY": KEY},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
    if done.returncode:
        raise UserError("flood.py failed: see above")
    return Flooded(share=share, seconds=seconds, memory=memory, **json.loads(done.stdout))


@contextmanager
def watched(pid: int) -> Iterator[list[float]]:
    """Look at a process's memory once a second."""
    seen = [processes.mebibytes(processes.tree(pid))]
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(1):
            seen.append(processes.mebibytes(processes.tree(pid)))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()
