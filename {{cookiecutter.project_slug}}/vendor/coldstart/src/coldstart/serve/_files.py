"""Files of rows: a separate process predicts each, and this module transfers the bytes."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable
from functools import partial
from tempfile import SpooledTemporaryFile
from typing import Any

from starlette.types import Receive, Scope, Send

from coldstart.config._settings import ServingSettings
from coldstart.serve._bulk import RowsError
from coldstart.serve._live_model import LiveModel
from coldstart.serve._request_log import REQUEST_ID
from coldstart.serve._route import RefusedError, error_body, send_json

MAX_FILES = 2  # concurrent ones; more would only share the cores
CHUNK_BYTES = 65_536
MEMORY_BYTES = 8 * 2**20  # of predictions that the client has not read yet

log = logging.getLogger(__name__)


class FileRequests:
    """The requests whose body is a file of rows.

    Parameters
    ----------
    model : LiveModel
        The model that predicts.
    settings : ServingSettings
        The section `serving` of config.yaml.
    derived : str
        Object reference of the project's derived columns, `module:name`; empty if it has none.
    is_logged : callable
        Returns whether the predictions of a request are logged.
    count : callable
        Called with each file's rows, and the version that predicted them.
    """

    def __init__(
        self,
        model: LiveModel,
        settings: ServingSettings,
        derived: str,
        is_logged: Callable[[str], bool],
        count: Callable[[int, str], None],
    ) -> None:
        self.model, self.settings, self.derived = model, settings, derived
        self.is_logged, self.count = is_logged, count
        self.in_progress = 0

    async def respond(self, kind: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to a file, as an ASGI application."""
        if self.in_progress >= MAX_FILES:
            retry = [(b"retry-after", b"5")]
            await send_json(send, 503, error_body("too many concurrent files; try again"), retry)
            return
        self.in_progress += 1
        try:
            await self.respond_in_process(kind, receive, send)
        finally:
            self.in_progress -= 1

    async def respond_in_process(self, kind: str, receive: Receive, send: Send) -> None:
        """Start a process, and respond with its predictions."""
        try:
            process = await self.start(kind)
        except OSError as error:  # no memory, or no processes left for this user
            log.error("no process for a file could be started: %s", error)
            retry = [(b"retry-after", b"5")]
            await send_json(send, 503, error_body("a file cannot be predicted now"), retry)
            return
        request = FileRequest(process, self.settings)
        try:
            await request.run(kind, receive, send)
            self.count(request.rows, request.version)
            await send({"type": "http.response.body", "body": b""})
        except RefusedError as refusal:
            if request.begun:
                # Not ended, so that no client takes it as whole: the server closes the connection.
                log.warning("a response was broken off: %s", refusal.detail)
                return
            await send_json(send, refusal.status, error_body(refusal.detail), refusal.headers)
        finally:
            await request.end()

    async def start(self, kind: str) -> Process:
        """Start the process that predicts."""
        request, predictor = REQUEST_ID.get(), self.model.predictor
        logged = self.is_logged(request)
        arguments = {
            "bundle": str(predictor.folder),
            "fingerprint": predictor.fingerprint,
            "kind": kind,
            "providers": predictor.providers,
            "derived": self.derived,
            "request": request,
            "log": self.settings.record.model_dump(mode="json") if logged else None,
        }
        command = [sys.executable, "-m", "coldstart.serve._bulk", json.dumps(arguments)]
        return await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=PIPE)


class FileRequest:
    """A file whose rows are being predicted.

    Parameters
    ----------
    process : Process
        Predicts the rows.
    settings : ServingSettings
        Its limits.

    Attributes
    ----------
    begun : bool
        Whether some of the response has been sent.
    rows, version : int and str
        What was predicted in the end, and by which version.
    """

    def __init__(self, process: Process, settings: ServingSettings) -> None:
        self.process, self.settings = process, settings
        self.begun, self.rows, self.version = False, 0, ""
        self.received = 0  # bytes
        self.tasks: list[asyncio.Task[Any]] = []
        self.refusal: RefusedError | None = None

    async def run(self, kind: str, receive: Receive, send: Send) -> None:
        """Transfer bytes in and out until all rows are predicted, without ending the response.

        Raises
        ------
        RefusedError
            If the file is invalid, or the transfer stalls.
        """
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        buffer, reporting = Buffer(), asyncio.create_task(self.process.stderr.read())
        self.tasks = [asyncio.create_task(self.feed(receive)), reporting]
        self.tasks.append(asyncio.create_task(buffer.fill(self.process.stdout)))
        while chunk := await self.wait(buffer.take):
            if not self.begun:
                headers = [(b"content-type", kind.encode())]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                self.begun = True
            message = {"type": "http.response.body", "body": chunk, "more_body": True}
            await self.wait(partial(send, message))
        lines = (await reporting).decode(errors="replace").splitlines()[-1:]
        if self.refusal:
            raise self.refusal
        self.conclude(lines[0] if lines else "")

    async def feed(self, receive: Receive) -> None:
        """Send the body to the process, and end the process if the client disconnects."""
        assert self.process.stdin is not None
        more = True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                break
            part, more = message.get("body", b""), message.get("more_body", False)
            self.received += len(part)
            if self.received > self.settings.file_bytes:
                limit = self.settings.file_bytes
                self.refusal = RefusedError(413, f"the file is longer than {limit} bytes")
                break
            try:
                self.process.stdin.write(part)
                await self.process.stdin.drain()
            except (BrokenPipeError, ConnectionResetError):
                continue  # it has seen enough; the rest is read, so that the client gets a response
        else:
            self.process.stdin.close()
            await receive()  # until the client disconnects
        self.kill()

    async def wait(self, step: Callable[[], Awaitable[Any]]) -> Any:
        """Await a step, which may take long only while the body arrives.

        Raises
        ------
        RefusedError
            If the transfer stalls.
        """
        waiting = asyncio.ensure_future(step())
        received = -1
        timeout = self.settings.response_timeout
        while not (await asyncio.wait([waiting], timeout=timeout))[0]:
            if self.received == received:
                waiting.cancel()
                raise RefusedError(503, f"nothing moved for {timeout:g} s", (b"retry-after", b"5"))
            received = self.received
        return waiting.result()

    def conclude(self, line: str) -> None:
        """Read the process's report.

        Raises
        ------
        RefusedError
            If it did not predict all rows.
        """
        try:
            report: dict[str, Any] = json.loads(line)
        except ValueError:  # it ended otherwise than it should
            raise RefusedError(422, RowsError("the file cannot be read").detail) from None
        self.rows, self.version = report["rows"], report["version"]
        if "detail" in report:
            raise RefusedError(422, report["detail"])

    def kill(self) -> None:
        """End the process, if it has not ended."""
        if self.process.returncode is None:
            self.process.kill()

    async def end(self) -> None:
        """End all tasks and the process."""
        for task in self.tasks:
            task.cancel()
        self.kill()
        await self.process.wait()


class Buffer:
    """Predictions on their way to a client that sends everything before it reads anything.

    Most clients do. More than a few megabytes are kept in a temporary file.
    """

    def __init__(self) -> None:
        self.file = SpooledTemporaryFile(max_size=MEMORY_BYTES)  # noqa: SIM115 (as long as this)
        self.start = self.end = 0
        self.changed, self.ended = asyncio.Event(), False

    async def fill(self, source: asyncio.StreamReader) -> None:
        """Take all that comes from a source."""
        try:
            while chunk := await source.read(CHUNK_BYTES):
                self.file.seek(self.end)
                self.end += self.file.write(chunk)
                self.changed.set()
        finally:
            self.ended = True
            self.changed.set()

    async def take(self) -> bytes:
        """Return the next chunk; empty at the end."""
        while self.start == self.end:
            if self.ended:
                return b""
            self.changed.clear()
            await self.changed.wait()
        self.file.seek(self.start)
        chunk = self.file.read(CHUNK_BYTES)
        self.start += len(chunk)
        if self.start == self.end:
            self.start = self.end = self.file.seek(0)
            self.file.truncate()
        return chunk
