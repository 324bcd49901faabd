"""Asks a server at a given rate, whether it keeps up or not.

Usage: python flood.py PORT BODIES RATE SECONDS, with the key in BENCH_KEY

wrk waits for an answer before it asks again, and so slows down with the server. This does not:
when each request is due is fixed beforehand, its time counts from then on, and what finds no
free connection waits for one, at most as long as a client would.

Beside the requests there are clients that send a byte a second and clients that send nothing.
After the end one client goes on asking, to see when the server is itself again.
"""

from __future__ import annotations

import json
import os
import resource
import select
import socket
import sys
import time
from collections import Counter, deque
from pathlib import Path
from statistics import median, quantiles

CONNECTIONS = 1_000
PATIENCE = 1.0  # s that a request waits for a free connection
SLOW = 50  # clients of either kind
DRAIN = 10.0  # s that the last answers may take
PROBES = 200  # requests that show what is normal
STREAK = 20  # one after the other, whose median has to be normal
NORMAL = 2.0  # times the usual median
DRIP = b"POST /predict HTTP/1.1\r\nHost: bench\r\nX-Long: " + 1000 * b"a"


class Client:
    """A connection that stays.

    Attributes
    ----------
    due
        When its request was due; None while it has none.
    """

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due: float | None = None
        self.sent = 0.0
        self.got = b""

    def ask(self, request: bytes, due: float) -> None:
        """Send a request; its bytes fit into the socket's buffer, or this waits a moment."""
        self.due, self.sent, self.got = due, time.perf_counter(), b""
        self.socket.sendall(request)

    def hear(self) -> tuple[int, bytes, bytes] | None:
        """Take what came: status, head and body, once all is there; status 0 if it never will."""
        try:
            piece = self.socket.recv(262_144)
        except ConnectionError:
            piece = b""
        if not piece:
            return 0, b"", self.got
        self.got += piece
        head, found, body = self.got.partition(b"\r\n\r\n")
        if not found:
            return None
        head = head.lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return (int(head[9:12]), head, body) if len(body) >= length else None


class Flood:
    """Requests at a fixed rate.

    Attributes
    ----------
    seen
        Fates of requests: `answered`, `refused` (503 with Retry-After), `lost` (anything else),
        `unsent` (no connection became free in time).
    times
        Seconds from when an answered request was due to the end of its answer.
    times_sent
        The same from when it was sent: what the server itself made of it.
    refusals
        Seconds from sending to the end of the answer of what was refused.
    """

    def __init__(self, port: int, requests: list[bytes], labels: list[int]) -> None:
        self.port, self.requests, self.labels = port, requests, labels
        self.seen: Counter[str] = Counter()
        self.times: list[float] = []
        self.times_sent: list[float] = []
        self.refusals: list[float] = []
        self.poll = select.epoll()
        self.clients: dict[int, tuple[Client, int]] = {}
        self.free: deque[Client] = deque()
        self.turn = 0
        for _ in range(CONNECTIONS):
            self.connect()

    def connect(self) -> None:
        """Open one more connection."""
        client = Client(self.port)
        self.clients[client.socket.fileno()] = client, 0
        self.poll.register(client.socket.fileno(), select.EPOLLIN)
        self.free.append(client)

    def run(self, rate: float, seconds: float) -> None:
        """Ask for so long, and wait for the last answers."""
        slow = Slow(self.port)
        waiting: deque[float] = deque()
        begin = time.perf_counter()
        planned, total = 0, int(rate * seconds)
        while planned < total or waiting or len(self.free) < len(self.clients):
            now = time.perf_counter()
            if now > begin + seconds + DRAIN:
                break
            while planned < total and begin + planned / rate <= now:
                waiting.append(begin + planned / rate)
                planned += 1
            while waiting and (self.free or now - waiting[0] > PATIENCE):
                due = waiting.popleft()
                if now - due > PATIENCE:
                    self.seen["unsent"] += 1
                else:
                    self.send(self.free.popleft(), due)
            slow.step(now)
            for number, _ in self.poll.poll(0.001):
                self.take(number)
        self.seen["lost"] += len(self.clients) - len(self.free)
        slow.close()

    def send(self, client: Client, due: float) -> None:
        """Send the next request over a connection."""
        self.turn = (self.turn + 1) % len(self.requests)
        self.clients[client.socket.fileno()] = client, self.labels[self.turn]
        client.ask(self.requests[self.turn], due)

    def take(self, number: int) -> None:
        """Take what came over a connection."""
        client, labels = self.clients[number]
        answer = client.hear()
        if answer is None:
            return
        status, head, body = answer
        due, client.due = client.due, None
        if due is not None:
            now = time.perf_counter()
            if status == 200 and body.count(b'"label":') == labels:
                self.seen["answered"] += 1
                self.times.append(now - due)
                self.times_sent.append(now - client.sent)
            elif status == 503 and b"retry-after: " in head:
                self.seen["refused"] += 1
                self.refusals.append(now - client.sent)
            else:
                self.seen["lost"] += 1
        if status:
            self.free.append(client)
        else:  # closed by the server, which it may do to one that nobody uses
            if due is None:
                self.free.remove(client)
            self.poll.unregister(number)
            del self.clients[number]
            client.socket.close()
            self.connect()


class Slow:
    """Clients that send a byte a second, and clients that send nothing after connecting.

    Who is turned away comes again.
    """

    def __init__(self, port: int) -> None:
        self.port, self.next = port, 0.0
        self.dripping: list[tuple[socket.socket, int]] = []
        self.silent: list[socket.socket] = []

    def step(self, now: float) -> None:
        """Send a byte each, once a second."""
        if now < self.next:
            return
        self.next = now + 1
        self.dripping = [(one, sent + 1) for one, sent in self.dripping if self.drip(one, sent)]
        self.silent = [one for one in self.silent if not self.is_closed(one)]
        self.dripping += [(self.connect(), 0) for _ in range(SLOW - len(self.dripping))]
        self.silent += [self.connect() for _ in range(SLOW - len(self.silent))]

    def connect(self) -> socket.socket:
        """Open a connection."""
        client = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        client.setblocking(False)
        return client

    def drip(self, client: socket.socket, sent: int) -> bool:
        """Send a byte; whether the server still lets that be."""
        if self.is_closed(client):
            return False
        client.send(DRIP[sent : sent + 1])
        return True

    def is_closed(self, client: socket.socket) -> bool:
        """Whether the server has closed a connection."""
        try:
            client.recv(1)
        except BlockingIOError:
            return False
        except OSError:
            pass
        client.close()
        return True

    def close(self) -> None:
        """Leave."""
        for client in [*self.silent, *(one for one, _ in self.dripping)]:
            client.close()


def probe(port: int, request: bytes) -> float:
    """Ask once over a new connection; s that it took, if it was answered with 200."""
    began = time.perf_counter()
    client = Client(port)
    client.ask(request, began)
    while (answer := client.hear()) is None:
        pass
    client.socket.close()
    return time.perf_counter() - began if answer[0] == 200 else float("inf")


def main(port: int, bodies: Path, rate: float, seconds: float) -> None:
    """Ask, and print what came of it as JSON."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    lines = bodies.read_bytes().splitlines()
    head = (
        f"POST /predict HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {os.environ['BENCH_KEY']}"
        "\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
    )
    requests = [head.format(len(line)).encode() + line for line in lines]
    usual = median(probe(port, requests[0]) for _ in range(PROBES))
    flood = Flood(port, requests, [len(json.loads(line)["rows"]) for line in lines])
    begin = time.perf_counter()
    flood.run(rate, seconds)
    used = resource.getrusage(resource.RUSAGE_SELF)
    end, seen = begin + seconds, deque[tuple[float, float]](maxlen=STREAK)
    recovered = None
    while recovered is None and time.perf_counter() < end + 30:
        seen.append((time.perf_counter() - end, probe(port, requests[0])))
        if len(seen) == STREAK and median(spent for _, spent in seen) <= NORMAL * usual:
            recovered = seen[0][0]
        time.sleep(0.01)
    found = {
        "seen": dict(flood.seen),
        "p50": 1e3 * median(flood.times or [0.0]),
        "p99": 1e3 * percentile(flood.times),
        "sent_p99": 1e3 * percentile(flood.times_sent),
        "refused_p99": 1e3 * percentile(flood.refusals),
        "usual": 1e3 * usual,
        "recovered": recovered,
        "cpu": used.ru_utime + used.ru_stime,
    }
    print(json.dumps(found))


def percentile(times: list[float]) -> float:
    """The 99th."""
    return quantiles(times, n=100)[98] if len(times) > 1 else 0.0


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))
