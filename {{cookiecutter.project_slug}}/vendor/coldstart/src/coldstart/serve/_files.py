"""Files of rows: a process of its own answers each, and this hands the bytes to and fro."""

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
from coldstart.serve._request_log import REQUEST
from coldstart.serve._route import RefusedError, problem, respond

AT_ONCE = 2  # files; more would only share the cores
PIECE = 65_536  # bytes
HELD = 8 * 2**20  # bytes

log = logging.getLogger(__name__)


class Files:
    """Answers bodies that hold a file of rows.

    Parameters
    ----------
    served
        The model that answers.
    wanted
        Whether the predictions of a request are kept.
    counted
        Is told of each file's rows, and of the version that answered them.
    """

    def __init__(
        self,
        served: LiveModel,
        choice: ServingSettings,
        wanted: Callable[[str], bool],
        counted: Callable[[int, str], None],
    ) -> None:
        self.served, self.choice = served, choice
        self.wanted, self.counted = wanted, counted
        self.under_way = 0

    async def answer(self, kind: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a file, as an ASGI application."""
        if self.under_way >= AT_ONCE:
            again = [(b"retry-after", b"5")]
            await respond(send, 503, problem("other files are being answered; try again"), again)
            return
        self.under_way += 1
        job = Job(await self.start(kind), self.choice)
        try:
            await job.run(kind, receive, send)
            self.counted(job.rows, job.version)
            await send({"type": "http.response.body", "body": b""})
        except RefusedError as refusal:
            if job.has_history:
                # Not ended, so that nobody takes it as whole: the server closes the connection.
                log.warning("an answer was broken off: %s", refusal.detail)
                return
            await respond(send, refusal.status, problem(refusal.detail), refusal.headers)
        finally:
            await job.end()
            self.under_way -= 1

    async def start(self, kind: str) -> Process:
        """Start the process that answers."""
        request, record = REQUEST.get(), None
        if self.wanted(request):
            kept = self.choice.record.model_dump(mode="json")
            record = {"request": request, "record": kept}
        predictor = self.served.predictor
        what = [str(predictor.folder), predictor.seal, kind, json.dumps(record)]
        command = [sys.executable, "-m", "coldstart.serve._bulk", *what]
        return await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=PIPE)


class Job:
    """A file that is being answered.

    Attributes
    ----------
    begun
        Whether some of the answer has gone out.
    rows, version
        What was answered in the end, and by which version.
    """

    def __init__(self, process: Process, choice: ServingSettings) -> None:
        self.process, self.choice = process, choice
        self.has_history, self.rows, self.version = False, 0, ""
        self.fed = 0  # bytes
        self.tasks: list[asyncio.Task[Any]] = []
        self.refusal: RefusedError | None = None

    async def run(self, kind: str, receive: Receive, send: Send) -> None:
        """Hand over what comes and goes until all is answered; the answer is not ended yet.

        Raises
        ------
        RefusedError
            If it is not.
        """
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        backlog, telling = Backlog(), asyncio.create_task(self.process.stderr.read())
        self.tasks = [asyncio.create_task(self.feed(receive)), telling]
        self.tasks.append(asyncio.create_task(backlog.fill(self.process.stdout)))
        while piece := await self.next(backlog.take):
            if not self.has_history:
                headers = [(b"content-type", kind.encode())]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                self.has_history = True
            message = {"type": "http.response.body", "body": piece, "more_body": True}
            await self.next(partial(send, message))
        told = (await telling).decode(errors="replace").splitlines()[-1:]
        if self.refusal:
            raise self.refusal
        self.conclude(told[0] if told else "")

    async def feed(self, receive: Receive) -> None:
        """Hand the body to the process; where the client leaves, the process ends."""
        assert self.process.stdin is not None
        more = True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                break
            part, more = message.get("body", b""), message.get("more_body", False)
            self.fed += len(part)
            if self.fed > self.choice.file_bytes:
                most = self.choice.file_bytes
                self.refusal = RefusedError(413, f"a file may have {most} bytes")
                break
            try:
                self.process.stdin.write(part)
                await self.process.stdin.drain()
            except (BrokenPipeError, ConnectionResetError):
                continue  # it has seen enough; the rest is read, so that the client hears of it
        else:
            self.process.stdin.close()
            await receive()  # until the client has gone
        self.kill()

    async def next(self, step: Callable[[], Awaitable[Any]]) -> Any:
        """Do a step; it may take long only while the body comes in.

        Raises
        ------
        RefusedError
            If nothing moves any more.
        """
        waiting = asyncio.ensure_future(step())
        fed = -1
        while not (await asyncio.wait([waiting], timeout=self.choice.deadline))[0]:
            if self.fed == fed:
                waiting.cancel()
                why = f"nothing moved for {self.choice.deadline:g} s"
                raise RefusedError(503, why, (b"retry-after", b"5"))
            fed = self.fed
        return waiting.result()

    def conclude(self, told: str) -> None:
        """Read what the process said in the end.

        Raises
        ------
        RefusedError
            If it did not answer everything.
        """
        try:
            said: dict[str, Any] = json.loads(told)
        except ValueError:  # it ended otherwise than it should
            raise RefusedError(422, RowsError("the file cannot be read").detail) from None
        self.rows, self.version = said["rows"], said["version"]
        if "detail" in said:
            raise RefusedError(422, said["detail"])

    def kill(self) -> None:
        """End the process, if it has not ended."""
        if self.process.returncode is None:
            self.process.kill()

    async def end(self) -> None:
        """Leave nothing behind."""
        for task in self.tasks:
            task.cancel()
        self.kill()
        await self.process.wait()


class Backlog:
    """Answers on their way to a client that sends everything before it reads anything.

    Most clients do. Beyond a few megabytes they wait in a temporary file.
    """

    def __init__(self) -> None:
        self.file = SpooledTemporaryFile(max_size=HELD)  # noqa: SIM115 (as long as this)
        self.start = self.end = 0
        self.changed, self.ended = asyncio.Event(), False

    async def fill(self, source: asyncio.StreamReader) -> None:
        """Take all that comes from a source."""
        try:
            while piece := await source.read(PIECE):
                self.file.seek(self.end)
                self.end += self.file.write(piece)
                self.changed.set()
        finally:
            self.ended = True
            self.changed.set()

    async def take(self) -> bytes:
        """The next piece; empty at the end."""
        while self.start == self.end:
            if self.ended:
                return b""
            self.changed.clear()
            await self.changed.wait()
        self.file.seek(self.start)
        piece = self.file.read(PIECE)
        self.start += len(piece)
        if self.start == self.end:
            self.start = self.end = self.file.seek(0)
            self.file.truncate()
        return piece
