"""Files of many rows: what the API needs to answer one."""

from __future__ import annotations

import http.client
import shutil
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import processes
from load import KEY
from project import UserError, run_program, say
from running import TOLERANCE, Running, running
from servers import THIS, Bench, Server, this_api

KINDS = {"csv": "text/csv", "arrow": "application/vnd.apache.arrow.stream"}
PIECE = 2**20  # bytes


@dataclass(frozen=True)
class Answered:
    """One file that was answered: its rows, s by the clock, s of the server's CPU time."""

    rows: int
    seconds: float
    cpu: float


def measure_bulk(bench: Bench, linear: Path, rows: int, rounds: int) -> dict[str, list[Answered]]:
    """Send a file of each kind in turns, and check all answers.

    Parameters
    ----------
    linear
        The bundle that answers.

    Returns
    -------
    dict
        By the kind of file, one a round.

    Raises
    ------
    UserError
        If an answer is missing or wrong.
    """
    say(f"writing {rows:,} rows")
    folder = bench.folder / "bulk"
    folder.mkdir()
    run_program(bench.project, "files.py", "make", str(linear), str(rows), str(folder))
    server = Server(f"{THIS.name}, linear", partial(this_api, bundle=linear), probabilities=None)
    answered: dict[str, list[Answered]] = {kind: [] for kind in KINDS}
    with running(server, bench) as found:
        for turn in range(-1, rounds):  # the first round only warms up
            say(f"bulk, round {turn + 1} of {rounds}")
            for kind in KINDS:
                one = send(found, folder, kind, rows)
                checked = run_program(
                    bench.project, "files.py", "check", kind, str(folder), str(rows)
                )
                difference = checked["difference"]
                if checked["rows"] != rows or difference is None or difference > TOLERANCE:
                    raise UserError(f"of {rows} rows in a file ({kind}), the answers: {checked}")
                if turn >= 0:
                    answered[kind].append(one)
    shutil.rmtree(folder)
    return answered


def send(running: Running, folder: Path, kind: str, rows: int) -> Answered:
    """Send a file and keep its answer.

    Raises
    ------
    UserError
        If it is refused.
    """
    before = processes.cpu_seconds(processes.tree(running.pid))
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", running.port, 60, blocksize=PIECE)
    headers = {"Content-Type": KINDS[kind], "Authorization": f"Bearer {KEY}"}
    path = folder / f"rows.{kind}"
    headers["Content-Length"] = str(path.stat().st_size)
    with path.open("rb") as body, (folder / f"answers.{kind}").open("wb") as answers:
        connection.request("POST", running.server.path, body, headers)
        response = connection.getresponse()
        if response.status != 200:
            raise UserError(f"a file was refused: {response.read(1000).decode()}")
        shutil.copyfileobj(response, answers, PIECE)
    connection.close()
    seconds = time.perf_counter() - began
    time.sleep(0.3)  # the process that answered is waited for, and its time added up
    return Answered(rows, seconds, processes.cpu_seconds(processes.tree(running.pid)) - before)
