"""The servers that are compared, and how they are measured."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import processes
from load import CASES, KEY, Case, Sample, load
from project import PROGRAMS, Project, UserError, say

START_LIMIT = 120  # s
TOLERANCE = 1e-4  # between probabilities; the graph computes in float32, the pipeline in float64
SEED = 0


def ours(answer: Any) -> list[list[float]]:
    """Probabilities in an answer of this project's API."""
    return [list(row["probabilities"].values()) for row in answer["predictions"]]


def mlflow_pipelines(answer: Any) -> list[list[float]]:
    """Probabilities in an answer of MLflow's server of the pipeline."""
    probabilities: list[list[float]] = answer["predictions"]
    return probabilities


def mlflows(answer: Any) -> list[list[float]]:
    """Probabilities in an answer of MLflow's server."""
    probabilities: list[list[float]] = answer["predictions"]["prediction"]
    return probabilities


@dataclass(frozen=True)
class Server:
    """A server to measure, with one worker.

    Attributes
    ----------
    command
        Makes the command line from the project, the folder of ingredients and the port.
    bodies
        Which of the ingredients' bodies it understands.
    probabilities
        Takes an answer's probabilities out of it; none where it does not compute any.
    """

    name: str
    command: Callable[[Project, Path, int], list[str]]
    path: str = "/predict"
    bodies: str = "api"
    probabilities: Callable[[Any], list[list[float]]] | None = ours


def this_api(project: Project, folder: Path, port: int) -> list[str]:
    """Command of the project's own API, which asks for a key."""
    keys = folder / "keys.txt"
    keys.write_text(f"bench {hashlib.sha256(KEY.encode()).hexdigest()}\n")
    command = [project.python, "-m", project.package, "serve", "--serving.port", str(port)]
    return [*command, "--serving.keys", str(keys)]


def mlflow(project: Project, folder: Path, port: int) -> list[str]:
    """Command of MLflow's server for the same bundle."""
    command = [project.python, "-m", "mlflow", "models", "serve", "--env-manager", "local"]
    where = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    return [*command, *where, "--model-uri", str(project.bundle)]


def mlflow_pipeline(project: Project, folder: Path, port: int) -> list[str]:
    """Command of MLflow's server for the pipeline as it was before its export."""
    return [*mlflow(project, folder, port)[:-1], str(folder / "pipeline")]


def dataframes(project: Project, folder: Path, port: int) -> list[str]:
    """Command of a FastAPI endpoint with the pickled pipeline."""
    program, pipeline = str(PROGRAMS / "dataframes.py"), str(folder / "pipeline.joblib")
    return [project.python, program, project.package, str(project.bundle), pipeline, str(port)]


def empty(project: Project, folder: Path, port: int) -> list[str]:
    """Command of a FastAPI endpoint that computes nothing."""
    program = str(PROGRAMS / "empty.py")
    return [project.python, program, project.package, str(project.bundle), str(port)]


THIS = Server("this project", this_api)
MLFLOW = Server(
    "mlflow serve, pipeline", mlflow_pipeline, "/invocations", "frames", mlflow_pipelines
)
MLFLOW_ONNX = Server("mlflow serve, our graph", mlflow, "/invocations", "mlflow", mlflows)
DATAFRAMES = Server("FastAPI, DataFrames", dataframes)
EMPTY = Server("FastAPI, empty", empty, probabilities=None)
SERVERS = [THIS, MLFLOW, MLFLOW_ONNX, DATAFRAMES, EMPTY]


@dataclass
class Serving:
    """What was measured of one server.

    Attributes
    ----------
    samples
        One a round, for each case.
    start
        From starting the process to its first right answer, in s, the median.
    peak
        Most memory that its processes held, in MiB.
    """

    samples: dict[Case, list[Sample]]
    start: float = 0.0
    peak: float = 0.0

    def median(self, case: Case, what: str) -> float:
        """Median of one attribute of the samples over the rounds."""
        return float(median(getattr(sample, what) for sample in self.samples[case]))

    def ratio(self, other: Serving, case: Case) -> list[float]:
        """Request rates divided by another server's, round by round."""
        pairs = zip(self.samples[case], other.samples[case], strict=True)
        return [mine.rate / others.rate for mine, others in pairs]


def measure_serving(
    project: Project, folder: Path, rounds: int, seconds: int, starts: int
) -> dict[str, Serving]:
    """Measure all servers, in turns.

    Returns
    -------
    dict
        By the servers' names.
    """
    order = random.Random(SEED)
    measured = {server.name: Serving({case: [] for case in CASES}) for server in SERVERS}
    durations: dict[str, list[float]] = {server.name: [] for server in SERVERS}
    for turn in range(starts - 1):
        for server in order.sample(SERVERS, len(SERVERS)):
            say(f"start {turn + 1} of {starts}: {server.name}")
            with running(server, project, folder) as (_, _, duration):
                durations[server.name].append(duration)

    with ExitStack() as stack:
        ports, pids = {}, {}
        for server in SERVERS:
            say(f"start {starts} of {starts}: {server.name}")
            port, pid, duration = stack.enter_context(running(server, project, folder))
            ports[server.name], pids[server.name] = port, pid
            durations[server.name].append(duration)
            check_answers(server, port, folder)
        for turn in range(-1, rounds):  # the first round only warms up
            say(f"serving, round {turn + 1} of {rounds}")
            for case in CASES:
                for server in order.sample(SERVERS, len(SERVERS)):
                    sample = load(
                        f"http://127.0.0.1:{ports[server.name]}",
                        server.path,
                        folder / f"{server.bodies}-{case.rows}.jsonl",
                        pids[server.name],
                        case.concurrency,
                        seconds,
                    )
                    if turn >= 0:
                        measured[server.name].samples[case].append(sample)
        for server in SERVERS:
            peak = processes.peak_mebibytes(processes.tree(pids[server.name]))
            measured[server.name].peak = peak
            measured[server.name].start = median(durations[server.name])
    return measured


@contextmanager
def running(server: Server, project: Project, folder: Path) -> Iterator[tuple[int, int, float]]:
    """Run a server; gives its port, process id, and the time to its first right answer in s.

    Raises
    ------
    UserError
        If it ends, or does not answer in time.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    body = next(read_lines(folder / f"{server.bodies}-1.jsonl"))
    right = next(read_lines(folder / "answers-1.jsonl"))
    log = folder / f"{server.name}.log"
    began = time.perf_counter()
    with log.open("w") as output:
        process = subprocess.Popen(
            server.command(project, folder, port),
            cwd=project.folder,
            env=project.environment,
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
        yield port, process.pid, time.perf_counter() - began
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process and those that it started, which are in a session of its own."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(5)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def answers(server: Server, port: int, body: bytes, right: bytes) -> bool:
    """Whether the server is there; an answer that is wrong counts as none."""
    try:
        answer = post(port, server.path, body)
    except (OSError, http.client.HTTPException):
        return False
    return answer is not None and agrees(server, answer, json.loads(right))


def check_answers(server: Server, port: int, folder: Path) -> None:
    """Compare all of a server's answers with the bundle's.

    Raises
    ------
    UserError
        If one differs: what computes something else cannot be compared.
    """
    for rows in sorted({case.rows for case in CASES}):
        bodies = read_lines(folder / f"{server.bodies}-{rows}.jsonl")
        for body, right in zip(bodies, read_lines(folder / f"answers-{rows}.jsonl"), strict=True):
            answer = post(port, server.path, body)
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
