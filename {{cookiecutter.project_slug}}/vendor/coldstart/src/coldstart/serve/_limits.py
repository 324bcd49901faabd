"""Limits that keep one client, or too many, from blocking the API for the others."""

import asyncio
from collections.abc import Collection
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from coldstart.serve._route import error_body, send_json
from coldstart.serve._transport import JoinedWrites

HEALTH = ("/health/", "/v2/health/")  # health checks need no key, and have no limit
ENOUGH = 65_536  # bytes for which a slow client gets more time
HEAD_BYTES = 65_536  # of a request's first line and headers, and of what follows a body
MAX_HEADERS = 100
MAX_PIPELINED = 256  # requests that were sent one after another and wait for the first


class Limits:
    """Middleware that responds with 503 if too many requests are in progress.

    Parameters
    ----------
    app : ASGI application
        Handles the accepted requests.
    max_concurrency : int
        Maximum number of requests in progress.
    """

    def __init__(self, app: ASGIApp, max_concurrency: int) -> None:
        self.app, self.max_concurrency = app, max_concurrency
        self.in_progress = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Accept a request, or refuse it."""
        if scope["type"] != "http" or scope["path"].startswith(HEALTH):
            await self.app(scope, receive, send)
            return
        if self.in_progress >= self.max_concurrency:
            retry = [(b"retry-after", b"1")]
            await send_json(send, 503, error_body("too many concurrent requests; try again"), retry)
            return
        self.in_progress += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self.in_progress -= 1


class SlowClientProtocol(HttpToolsProtocol):
    """A connection that is closed if a request arrives, or its response is read, too slowly.

    uvicorn itself has no time limit for a client that sends or reads a byte a second. One that
    reads nothing would keep its responses in memory and its place among the concurrent requests.
    Nor does it limit headers and requests that wait, which would fill the memory. Above
    `HEAD_BYTES`, `MAX_HEADERS` or `MAX_PIPELINED` the response has status 400.

    Attributes
    ----------
    seconds : float
        Time in which a request has to arrive.
    reading_seconds : float
        Time in which a client has to read something of what waits for it.
    in_progress : collection
        All requests of this process that have no response yet.
    """

    seconds = 10.0
    reading_seconds = 30.0
    in_progress: Collection[Any] = ()
    _timer: asyncio.TimerHandle | None = None
    _arriving = False  # whether something came after the last whole request
    _received = 0  # bytes since the timer was set
    _head = 0  # bytes since the last ones of a body
    _reading_timer: asyncio.TimerHandle | None = None
    _unread = 0  # bytes when that timer was set
    _responding: RequestResponseCycle | None = None  # of requests that were sent one after another

    def connection_made(self, transport: Any) -> None:
        joined: Any = JoinedWrites(transport, self.loop)
        super().connection_made(joined)
        SlowClientProtocol.in_progress = self.tasks
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        self._head += len(data)
        self._arriving = True
        super().data_received(data)
        if self._arriving and self._timer is None:  # most arrive whole, and need no timer
            self._start_timer()
        if self._head > HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(f"The headers are longer than {HEAD_BYTES} bytes.")

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= MAX_PIPELINED:
            raise ValueError(f"more than {MAX_PIPELINED} requests wait for the first")
        self._arriving = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        if len(self.headers) > MAX_HEADERS:  # of them a megabyte would take 25 of memory
            raise ValueError(f"there are more than {MAX_HEADERS} headers")

    def on_body(self, body: bytes) -> None:
        self._head = 0
        super().on_body(body)

    def on_headers_complete(self) -> None:
        self._head = 0
        waiting = len(self.pipeline)
        super().on_headers_complete()
        if len(self.pipeline) == waiting:
            self._responding = self.cycle

    def on_response_complete(self) -> None:
        if self.pipeline:
            self._responding = self.pipeline[-1][0]  # the next one
        super().on_response_complete()

    def on_message_complete(self) -> None:
        self._arriving = False
        self._stop_timer()
        self._head = 0
        super().on_message_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start_reading_timer()

    def resume_writing(self) -> None:
        self._stop_reading_timer()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._stop_reading_timer()
        self._disconnect()
        super().connection_lost(exc)

    def _start_timer(self) -> None:
        self._received = 0
        self._timer = self.loop.call_later(self.seconds, self._check)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        if self._received >= ENOUGH or self.flow.read_paused:  # it is not the client that is slow
            self._start_timer()
        else:
            self.transport.close()

    def _start_reading_timer(self) -> None:
        self._unread = self.transport.get_write_buffer_size()
        self._reading_timer = self.loop.call_later(self.reading_seconds, self._check_reading)

    def _stop_reading_timer(self) -> None:
        if self._reading_timer is not None:
            self._reading_timer.cancel()
            self._reading_timer = None

    def _check_reading(self) -> None:
        if self._unread - self.transport.get_write_buffer_size() >= ENOUGH:
            self._start_reading_timer()
        else:
            self._disconnect()
            self.transport.abort()  # to close it would wait until all is read

    def _disconnect(self) -> None:
        """Let the response in progress write no more; uvicorn tells the newest request alone."""
        if self._responding is not None:
            self._responding.disconnected = True
