"""Limits: what keeps one client, or too many, from stopping the API for the others."""

import asyncio
from collections.abc import Collection
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from coldstart.serve._route import problem, respond

ENOUGH = 65_536  # bytes that a slow client may be given more time for


class Limits:
    """Middleware that answers 503 at once where too many requests are under way.

    Parameters
    ----------
    at_once
        Requests that may be under way.
    """

    def __init__(self, app: ASGIApp, at_once: int) -> None:
        self.app, self.at_once = app, at_once
        self.under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let through, or refuse."""
        if scope["type"] != "http" or scope["path"].startswith("/health/"):
            await self.app(scope, receive, send)
            return
        if self.under_way >= self.at_once:
            again = [(b"retry-after", b"1")]
            await respond(send, 503, problem("too many requests at once; try again"), again)
            return
        self.under_way += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self.under_way -= 1


class SlowClientProtocol(HttpToolsProtocol):
    """A connection that is closed if a request comes in too slowly.

    uvicorn itself waits for ever for a client that sends a byte a second.
    """

    seconds = 10.0
    under_way: Collection[Any] = ()  # all requests of this process that are being answered
    _due: asyncio.TimerHandle | None = None
    _got = 0  # bytes since the timer was set

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        SlowClientProtocol.under_way = self.tasks
        self._wait()

    def data_received(self, data: bytes) -> None:
        self._got += len(data)
        if self._due is None:
            self._wait()
        super().data_received(data)

    def on_message_complete(self) -> None:
        self._stop()
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._got = 0
        self._due = self.loop.call_later(self.seconds, self._look)

    def _stop(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _look(self) -> None:
        if self._got >= ENOUGH or self.flow.read_paused:  # it is not the client that is slow
            self._wait()
        else:
            self.transport.close()
