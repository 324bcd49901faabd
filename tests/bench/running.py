"""Servers that run: started, asked whether they answer rightly, set aside, and ended."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import processes
from load import KEY
from project import UserError
from servers import Bench, Server, ours

START_LIMIT = 120  # s
TOLERANCE = 1e-4  # between probabilities; the graph computes in float32, the pipeline in float64


@dataclass(frozen=True)
class Running:
    """A server that runs.

    Attributes
    ----------
    start
        From starting the process to its first right answer, in s.
    """

    server: Server
    port: int
    pid: int
    start: float

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wake it, and set it aside again: some use the processor while nobody asks them."""
        processes.send(self.pid, signal.SIGCONT)
        try:
            yield
        finally:
            processes.send(self.pid, signal.SIGSTOP)


@contextmanager
def running(server: Server, bench: Bench) -> Iterator[Running]:
    """Run a server.

    Raises
    ------
    UserError
        If it ends, or does not answer in time.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    body = next(read_lines(bench.folder / f"{server.bodies}-1.jsonl"))
    right = next(read_lines(bench.folder / "answers-1.jsonl"))
    log = bench.folder / f"{server.name}.log"
    command = server.command(bench, port)
    began = time.perf_counter()
    with log.open("w") as output:
        process = subprocess.Popen(
            command.line,
            cwd=bench.project.folder,
            env=bench.project.environment | command.variables,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        while not answers(server, port, body, right):
            if process.poll() is not None or time.perf_counter() - began > START_LIMIT:
                end = "\n".join(log.read_text().splitlines()[-20:])
                raise UserError(f"{server.name} gave no answer; the end of what it said:\n{end}")
            time.sleep(0.01)
        yield Running(server, port, process.pid, time.perf_counter() - began)
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process and those that it started."""
    pids = processes.tree(process.pid)
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(5)
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def answers(server: Server, port: int, body: bytes, right: bytes) -> bool:
    """Whether the server is there; an answer that is wrong counts as none."""
    try:
        answer = post(port, server.path, body)
    except (OSError, http.client.HTTPException):
        return False
    return answer is not None and agrees(server, answer, json.loads(right))


def check_answers(running: Running, folder: Path) -> None:
    """Compare all of a server's answers with the bundle's.

    Raises
    ------
    UserError
        If one differs: what computes something else cannot be compared.
    """
    server = running.server
    for rows in sorted({case.rows for case in server.cases}):
        bodies = read_lines(folder / f"{server.bodies}-{rows}.jsonl")
        for body, right in zip(bodies, read_lines(folder / f"answers-{rows}.jsonl"), strict=True):
            answer = post(running.port, server.path, body)
            if answer is None or not agrees(server, answer, json.loads(right)):
                raise UserError(f"{server.name} answers otherwise than the bundle: {answer}")


def agrees(server: Server, answer: Any, right: list[list[float]]) -> bool:
    """Whether an answer's probabilities are right, or for the empty endpoint, as many."""
    if server.probabilities is None:
        return len(ours(answer)) == len(right)
    found = server.probabilities(answer)
    return len(found) == len(right) and all(
        abs(a - b) <= TOLERANCE
        for mine, theirs in zip(found, right, strict=True)
        for a, b in zip(mine, theirs, strict=True)
    )


def post(port: int, path: str, body: bytes) -> Any:
    """Send a body and return the answer; None where it is not one with status 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        content = response.read()
        return json.loads(content) if response.status == 200 else None
    finally:
        connection.close()


def read_lines(path: Path) -> Iterator[bytes]:
    """Lines of one of the ingredients."""
    yield from path.read_bytes().splitlines()
