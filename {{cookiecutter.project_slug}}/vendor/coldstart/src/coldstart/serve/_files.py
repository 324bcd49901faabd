"""Files of rows: a separate process predicts each, and this module transfers the bytes."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from tempfile import SpooledTemporaryFile
from typing import Any

from starlette.types import Receive, Scope, Send

from coldstart.config._sections import ServingSettings
from coldstart.serve._bulk import RowsError
from coldstart.serve._live_model import LiveModel
from coldstart.serve._request_log import REQUEST_ID
from coldstart.serve._route import RefusedError, error_body, send_json

MAX_FILES = 2  # concurrent ones; more would only share the cores
CHUNK_BYTES = 65_536
MEMORY_BYTES = 8 * 2**20  # of predictions that the client has not read yet
SLOW = 2**20  # bytes a second, below which a client gives way to others
MAX_WAIT = 300.0  # seconds that a process waits for its client before it does, too
RETRY = (b"retry-after", b"5")

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
        self.in_progress = set[FileRequest]()

    async def respond(self, kind: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to a file, as an ASGI application."""
        if len(self.in_progress) >= MAX_FILES:
            slow = next((one for one in self.in_progress if one.is_slow()), None)
            if slow is None:
                body = error_body("too many concurrent files; try again")
                await send_json(send, 503, body, [RETRY])
                return
            slow.give_way()
            self.in_progress.discard(slow)
        request = FileRequest(self.settings)
        self.in_progress.add(request)
        try:
            await self.respond_in_process(request, kind, receive, send)
        finally:
            self.in_progress.discard(request)

    async def respond_in_process(
        self, request: FileRequest, kind: str, receive: Receive, send: Send
    ) -> None:
        """Start a process, and respond with its predictions."""
        try:
            process = await self.start(kind)
        except OSError as error:  # no memory, or no processes left for this user
            log.error("no process for a file could be started: %s", error)
            await send_json(send, 503, error_body("a file cannot be predicted now"), [RETRY])
            return
        try:
            await request.run(process, kind, receive, send)
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
    settings : ServingSettings
        Its limits.

    Attributes
    ----------
    begun : bool
        Whether some of the response has been sent.
    rows, version : int and str
        What was predicted in the end, and by which version.
    """

    process: Process

    def __init__(self, settings: ServingSettings) -> None:
        self.settings = settings
        self.begun, self.rows, self.version = False, 0, ""
        self.all_received = False
        self.received = 0  # bytes
        # By the client, which sends, and then reads: its bytes, and the seconds until they moved.
        self.moved, self.waited = 0, 0.0
        self.waiting_since: float | None = None
        self.left = asyncio.Event()
        self.tasks: list[asyncio.Task[Any]] = []
        self.refusal: RefusedError | None = None

    def is_slow(self) -> bool:
        """Return whether the client took longer than a slow connection does.

        It gets the time for a request to arrive, and a second for every `SLOW` bytes, but at most
        `MAX_WAIT`. The time in which it waits for the process is not counted.
        """
        since = self.waiting_since
        waited = self.waited + (time.monotonic() - since if since else 0)
        return waited > min(self.settings.request_timeout + self.moved / SLOW, MAX_WAIT)

    def give_way(self) -> None:
        """End the request, since another one needs its place."""
        self.left.set()

    @contextmanager
    def clients_turn(self) -> Iterator[None]:
        """Count the time in which the client is waited for."""
        self.waiting_since = time.monotonic()
        try:
            yield
        finally:
            self.waited += time.monotonic() - self.waiting_since
            self.waiting_since = None

    async def run(self, process: Process, kind: str, receive: Receive, send: Send) -> None:
        """Transfer bytes in and out until all rows are predicted, without ending the response.

        Raises
        ------
        RefusedError
            If the file is invalid, the transfer stalls, or it is slow and others wait.
        """
        self.process = process
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        buffer, reporting = (
            Buffer(self.settings.file_bytes),
            asyncio.create_task(self.process.stderr.read()),
        )
        self.tasks = [asyncio.create_task(self.feed(receive)), reporting]
        self.tasks.append(asyncio.create_task(buffer.fill(self.process.stdout)))
        leaving = asyncio.create_task(self.left.wait())
        self.tasks.append(leaving)
        while chunk := await self.wait(buffer.take, leaving):
            if not self.begun:
                headers = [(b"content-type", kind.encode())]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                self.begun = True
            message = {"type": "http.response.body", "body": chunk, "more_body": True}
            if self.all_received:
                with self.clients_turn():
                    await self.wait(partial(send, message), leaving)
                self.moved += len(chunk)
            else:
                await self.wait(partial(send, message), leaving)
        lines = (await reporting).decode(errors="replace").splitlines()[-1:]
        if self.refusal:
            raise self.refusal
        self.conclude(lines[0] if lines else "")

    async def feed(self, receive: Receive) -> None:
        """Send the body to the process, and end the process if the client disconnects."""
        assert self.process.stdin is not None
        more = True
        while more:
            with self.clients_turn():
                message = await receive()
            if message["type"] != "http.request":
                break
            part, more = message.get("body", b""), message.get("more_body", False)
            self.received += len(part)
            self.moved += len(part)
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
            self.all_received, self.moved, self.waited = True, 0, 0.0
            self.process.stdin.close()
            await receive()  # until the client disconnects
        self.kill()

    async def wait(self, step: Callable[[], Awaitable[Any]], leaving: asyncio.Task[Any]) -> Any:
        """Await a step, which may take long only while the body arrives.

        Raises
        ------
        RefusedError
            If the transfer stalls, or another file needs the place.
        """
        waiting = asyncio.ensure_future(step())
        received, timeout = -1, self.settings.response_timeout
        while not waiting.done():
            both, first = [waiting, leaving], asyncio.FIRST_COMPLETED
            done, _ = await asyncio.wait(both, timeout=timeout, return_when=first)
            why = ""
            if leaving in done:
                why = "other files wait, and this one is transferred too slowly"
            elif not done and self.received == received:
                why = f"nothing moved for {timeout:g} s"
            if why:
                waiting.cancel()
                raise RefusedError(503, why, RETRY)
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

    Parameters
    ----------
    max_bytes : int
        Size of that file from which on the predictions wait until the client has read them.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.file = SpooledTemporaryFile(max_size=MEMORY_BYTES)  # noqa: SIM115 (as long as this)
        self.start = self.end = 0
        self.changed, self.emptied, self.ended = asyncio.Event(), asyncio.Event(), False

    async def fill(self, source: asyncio.StreamReader) -> None:
        """Take all that comes from a source."""
        try:
            while chunk := await source.read(CHUNK_BYTES):
                self.file.seek(self.end)
                self.end += self.file.write(chunk)
                self.changed.set()
                if self.end > self.max_bytes:
                    self.emptied.clear()
                    await self.emptied.wait()
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
            self.emptied.set()
        return chunk
