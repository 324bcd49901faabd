"""The request log: each request gets an id, is counted and timed, and is logged if it fails."""

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
from coldstart.serve._route import error_body, send_json

REQUEST_ID: ContextVar[str] = ContextVar("request", default="")
"""Id of the request in progress: the client's own, or a new one."""

SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
]
"""Headers of each response that does not set them itself."""

REFUSAL_SECONDS = 1.0  # between two lines on refusals; a line takes longer than to refuse

log = logging.getLogger(__name__)


class RequestLogMiddleware:
    """Middleware that gets each request first, and its response last.

    Parameters
    ----------
    app : ASGI application
        Handles the requests.
    metrics : Metrics
        Counts and times them.
    paths : collection of str
        Paths that are counted by name; all others are counted together.
    every : bool
        Whether every request is logged, and not only those that fail in the API.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: Collection[str], every: bool) -> None:
        self.app, self.metrics, self.paths, self.every = app, metrics, paths, every
        self.start, self.number = secrets.token_hex(6), itertools.count(1)
        self.logged_at, self.unlogged = -REFUSAL_SECONDS, 0  # of refusals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, and log its response."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        name = given_id(scope["headers"]) or b"%s-%x" % (self.start.encode(), next(self.number))
        REQUEST_ID.set(name.decode())
        began, status = time.perf_counter(), 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status, headers = message["status"], message["headers"]
                own = {header for header, _ in headers}
                added = [one for one in SECURITY_HEADERS if one[0] not in own]
                message["headers"] = [*headers, *added, (b"x-request-id", name)]
            await send(message)

        self.metrics.in_progress.inc()
        try:
            await self.app(scope, receive, send_with_headers)
        except Exception:
            log.exception("a bug: %s %s failed", scope["method"], scope["path"])
            if status:
                raise  # which closes the connection
            body = error_body(f"internal error; report this id: {name.decode()}")
            await send_json(send_with_headers, 500, body)
        finally:
            self.metrics.in_progress.dec()
            seconds = time.perf_counter() - began
            path = scope["path"] if scope["path"] in self.paths else "other"
            self.metrics.request(path, status, seconds)
            if self.every or (status >= 500 and self.is_due(status)):
                about = {"path": scope["path"], "status": status, "seconds": round(seconds, 6)}
                more = f", and {self.unlogged} more were refused" if self.unlogged else ""
                self.unlogged = 0
                log.info("%s %s: %s%s", scope["method"], scope["path"], status, more, extra=about)

    def is_due(self, status: int) -> bool:
        """Return whether a failed request is logged: of those that were refused, one a second."""
        if status == 503:
            now = time.monotonic()
            if now - self.logged_at < REFUSAL_SECONDS:
                self.unlogged += 1
                return False
            self.logged_at = now
        return True


def given_id(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the client's request id; empty if it contains unsafe characters."""
    for name, value in headers:
        if name == b"x-request-id" and re.fullmatch(rb"[\w.:@=+/-]{1,128}", value):
            return value
    return b""


def write_logs(form: Literal["auto", "text", "json"]) -> None:
    """Write logs to standard error, a line each.

    Parameters
    ----------
    form : {'auto', 'text', 'json'}
        `auto`: text in a terminal, otherwise JSON.
    """
    handler = logging.StreamHandler()
    if form == "json" or (form == "auto" and not sys.stderr.isatty()):
        names = {"asctime": "time", "levelname": "level", "name": "from"}
        handler.setFormatter(
            JsonFormatter("%(asctime)s%(levelname)s%(name)s%(message)s", rename_fields=names)
        )
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))

    def add_id(record: logging.LogRecord) -> bool:
        if name := REQUEST_ID.get():
            record.request = name
        return True

    handler.addFilter(add_id)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
