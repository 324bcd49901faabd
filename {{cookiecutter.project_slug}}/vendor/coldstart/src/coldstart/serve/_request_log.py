"""Watching: each request gets an id, is counted and timed, and is told of if it fails."""

from __future__ import annotations

import itertools
import logging
import re
import secrets
import sys
import time
from collections.abc import Collection, Iterable
from contextvars import ContextVar
from typing import Literal

from pythonjsonlogger.json import JsonFormatter
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from coldstart.serve._metrics import Metrics
from coldstart.serve._route import problem, respond

REQUEST: ContextVar[str] = ContextVar("request", default="")
"""Id of the request that is being answered: the client's own, or a new one."""

CAREFUL = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
]
"""Headers that tell browsers to be careful with an answer, unless it says otherwise itself."""

GAP = 1.0  # seconds between two lines on refused requests; a line takes longer than to refuse one

log = logging.getLogger(__name__)


class RequestLogMiddleware:
    """Middleware that sees each request first, and its answer last.

    Parameters
    ----------
    paths
        That are counted by name; all others are counted together.
    every
        Whether every request is told of, and not only those that fail by our fault.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: Collection[str], every: bool) -> None:
        self.app, self.metrics, self.paths, self.every = app, metrics, paths, every
        self.start, self.number = secrets.token_hex(6), itertools.count(1)
        self.told, self.untold = -GAP, 0  # when the last refusal was told of, and how many were not

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let through, and see what comes of it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        name = given(scope["headers"]) or b"%s-%x" % (self.start.encode(), next(self.number))
        REQUEST.set(name.decode())
        began, status = time.perf_counter(), 0

        async def seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status, said = message["status"], message["headers"]
                own = {header for header, _ in said}
                careful = [one for one in CAREFUL if one[0] not in own]
                message["headers"] = [*said, *careful, (b"x-request-id", name)]
            await send(message)

        self.metrics.under_way.inc()
        try:
            await self.app(scope, receive, seen)
        except Exception:
            log.exception("a bug: %s %s failed", scope["method"], scope["path"])
            if status:
                raise  # which closes the connection
            else:
                told = problem(f"internal error; tell us this id: {name.decode()}")
                await respond(seen, 500, told)
        finally:
            self.metrics.under_way.dec()
            seconds = time.perf_counter() - began
            path = scope["path"] if scope["path"] in self.paths else "other"
            self.metrics.request(path, status, seconds)
            if self.every or (status >= 500 and self.is_due(status)):
                about = {"path": scope["path"], "status": status, "seconds": round(seconds, 6)}
                more = f", and {self.untold} more were refused" if self.untold else ""
                self.untold = 0
                log.info("%s %s: %s%s", scope["method"], scope["path"], status, more, extra=about)

    def is_due(self, status: int) -> bool:
        """Whether a failed request is told of: of those that were refused, one a second."""
        if status == 503:
            now = time.monotonic()
            if now - self.told < GAP:
                self.untold += 1
                return False
            self.told = now
        return True


def given(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Id that the client gave its request; empty if there is none that can be written anywhere."""
    for name, value in headers:
        if name == b"x-request-id" and re.fullmatch(rb"[\w.:@=+/-]{1,128}", value):
            return value
    return b""


def write_logs(form: Literal["auto", "text", "json"]) -> None:
    """Write what is told to standard error, a line each: JSON where no person looks on."""
    handler = logging.StreamHandler()
    if form == "json" or (form == "auto" and not sys.stderr.isatty()):
        names = {"asctime": "time", "levelname": "level", "name": "from"}
        handler.setFormatter(
            JsonFormatter("%(asctime)s%(levelname)s%(name)s%(message)s", rename_fields=names)
        )
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))

    def mark(record: logging.LogRecord) -> bool:
        if name := REQUEST.get():
            record.request = name
        return True

    handler.addFilter(mark)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
