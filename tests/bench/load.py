"""Loading a server with wrk."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import processes
from project import UserError

if TYPE_CHECKING:
    from running import Running

SCRIPT = Path(__file__).resolve().parent / "bodies.lua"


@dataclass(frozen=True)
class Case:
    """Rows in each request, and requests under way at a time."""

    rows: int
    concurrency: int

    def __str__(self) -> str:
        rows = "1 row" if self.rows == 1 else f"{self.rows} rows"
        return f"{rows}, concurrency {self.concurrency}"


CASES = [Case(1, 1), Case(1, 16), Case(1, 64), Case(32, 1), Case(32, 16)]
LONGEST = 60  # seconds that a slow server gets for its first request
KEY = "a key that this project's API asks for; the others do not look"


@dataclass(frozen=True)
class Sample:
    """One measurement of a server.

    Attributes
    ----------
    rate
        Requests a second.
    p50, p99
        Latency in ms.
    cpu
        The server's CPU time for one request, in microseconds.
    client
        That of wrk itself.
    answer
        Bytes of an answer, its head among them.
    """

    rate: float
    p50: float
    p99: float
    cpu: float
    client: float
    answer: float


def load(running: Running, folder: Path, case: Case, seconds: int) -> Sample:
    """Post bodies in turn, as fast as they are answered.

    Raises
    ------
    UserError
        If a request fails: what is fast because it refuses is not fast.
    """
    server = running.server
    bodies = folder / f"{server.bodies}-{case.rows}.jsonl"
    pids = processes.tree(running.pid)
    before, own = processes.cpu_seconds(pids), processes.children_seconds()
    options = ["--threads=1", f"--connections={case.concurrency}", f"--duration={seconds}s"]
    done = subprocess.run(
        [
            *("wrk", *options, "--timeout=10s", f"--script={SCRIPT}"),
            *("--header", f"Authorization: Bearer {KEY}", running.url, str(bodies), server.path),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    cpu = processes.cpu_seconds(pids) - before
    last = done.stdout.splitlines()[-1:]
    if done.returncode or not last or not last[0].startswith("{"):
        raise UserError(f"wrk failed: {done.stderr or done.stdout}")
    seen = json.loads(last[0])
    if not seen["requests"] and not seen["errors"] and seconds < LONGEST:
        return load(running, folder, case, 4 * seconds)  # it is slow, and none was complete
    if seen["errors"] or not seen["requests"]:
        failed = f"{seen['errors']} of {seen['requests']} requests"
        raise UserError(f"{failed} to {server.name} failed ({case})")
    time.sleep(0.2)  # what wrk no longer waits for is still being answered
    return Sample(
        rate=seen["requests"] / seen["microseconds"] * 1e6,
        p50=seen["p50"] / 1e3,
        p99=seen["p99"] / 1e3,
        cpu=cpu / seen["requests"] * 1e6,
        client=(processes.children_seconds() - own) / seen["requests"] * 1e6,
        answer=seen["bytes"] / seen["requests"],
    )
