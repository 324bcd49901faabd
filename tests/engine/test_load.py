"""Load: more than can be answered, and an end in the midst of it, by a real process."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest

ROWS = {"rows": [{"grade": "A", "bruised": False, "weight": 120}] * 20}
HEADERS = {"Content-Type": "application/json"}
Server = Callable[..., AbstractContextManager[Any]]


class Crowd:
    """Clients that ask as fast as they are answered, each over a connection that stays.

    Attributes
    ----------
    seen
        How many answers of each status; `closed` is a connection that the server had closed
        before it answered anything, `cut` an answer that ended too soon.
    """

    def __init__(self, api: Any, clients: int) -> None:
        self.address = (api.base_url.host, api.base_url.port)
        self.seen: Counter[Any] = Counter()
        self.waits: list[str | None] = []
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self.ask) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def ask(self) -> None:
        connection = http.client.HTTPConnection(*self.address, timeout=20)
        while not self.ended.is_set():
            try:
                connection.request("POST", "/predict", json.dumps(ROWS), HEADERS)
                answer = connection.getresponse()
            except (http.client.RemoteDisconnected, ConnectionError):
                self.seen["closed"] += 1
                return
            try:
                content = answer.read()
            except (http.client.HTTPException, ConnectionError):
                self.seen["cut"] += 1
                return
            self.seen[answer.status] += 1
            if answer.status == 200:
                assert len(json.loads(content)["predictions"]) == 20
            elif answer.status == 503:
                self.waits.append(answer.headers["Retry-After"])

    def end(self) -> None:
        self.ended.set()
        for thread in self.threads:
            thread.join()


def memory(api: Any) -> int:
    """Memory of the server in KiB."""
    lines = Path(f"/proc/{api.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def test_beyond_what_can_be_answered_requests_are_refused_and_it_recovers(
    small_bundle: Path, served: Server
) -> None:
    with served(
        small_bundle.parents[1], "--serving.max-concurrency", "4", stderr=subprocess.PIPE
    ) as api:
        warm = Crowd(api, 4)
        time.sleep(1)
        warm.end()
        before = memory(api)
        crowd = Crowd(api, 32)
        time.sleep(4)
        crowd.end()
        assert set(crowd.seen) == {200, 503}
        assert set(crowd.waits) == {"1"}
        assert memory(api) - before < 30_000
        assert api.post("/predict", json=ROWS).status_code == 200
        api.process.terminate()
        log = api.process.communicate()[1].splitlines()
    # A line for each would make it dearer to refuse than to answer.
    refusals = [line for line in log if ": 503" in line]
    assert crowd.seen[503] > 100
    assert 1 <= len(refusals) <= 10
    assert "more were refused" in refusals[-1]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_at_the_end_no_request_that_was_taken_is_cut(
    small_bundle: Path, served: Server, workers: str
) -> None:
    with served(small_bundle.parents[1], "--serving.workers", workers) as api:
        crowd = Crowd(api, 8)
        time.sleep(1)
        api.process.send_signal(signal.SIGTERM)
        # uvicorn hands the signal on once it has ended everything.
        assert api.process.wait(30) in (0, -signal.SIGTERM)
        crowd.end()
    assert crowd.seen[200] > 8
    # A connection that stays may be closed before a request on it is seen.
    assert set(crowd.seen) <= {200, "closed"}
    assert crowd.seen["closed"] <= 8


def test_clients_that_come_together_need_not_wait_for_one_another(
    small_bundle: Path, served: Server
) -> None:
    ask = b"GET /health/live HTTP/1.1\r\nHost: here\r\n\r\n"
    with served(small_bundle.parents[1]) as api, ExitStack() as open_sockets:
        address = (api.base_url.host, api.base_url.port)

        def connect(requests: int) -> socket.socket:
            client = open_sockets.enter_context(socket.create_connection(address, timeout=20))
            client.sendall(ask * requests)
            return client

        busy = connect(1)  # whose requests are answered one in a tick of the event loop
        assert numbers(busy, 1)
        api.process.send_signal(signal.SIGSTOP)
        busy.sendall(ask * 200)
        new = [connect(1) for _ in range(64)]
        api.process.send_signal(signal.SIGCONT)
        last = max(number for client in new for number in numbers(client, 1))
        assert sum(number < last for number in numbers(busy, 200)) < 32


def numbers(client: socket.socket, answers: int) -> list[int]:
    """Numbers that the server gave to requests, in the order in which it began them."""
    content = b""
    while len(found := re.findall(rb"x-request-id: \w+-(\w+)\r\n", content)) < answers:
        piece = client.recv(65_536)
        assert piece
        content += piece
    return [int(number, 16) for number in found]
