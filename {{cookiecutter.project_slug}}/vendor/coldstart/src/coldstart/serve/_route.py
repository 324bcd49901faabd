"""The route of predictions: from the bytes of a request to those of the answer.

FastAPI's own way there takes longer than a model. What it documents is enforced here all
the same: the type of the endpoint's body makes both.
"""

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar

import pydantic_core
from anyio import CapacityLimiter, to_thread
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from coldstart.serve._schemas import Row

INLINE_BYTES = 16_384  # a longer body takes long enough to be worth a thread
MISTAKES = 100  # that are told of one body
JSON = ("application/json", "+json")
Answers = tuple[list[Any], str]
File = Callable[[str, Scope, Receive, Send], Awaitable[None]]


class RefusedError(Exception):
    """A request that is not answered: the status, why, and headers that go with it."""

    def __init__(self, status: int, detail: Any, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers


class Threads:
    """Work that would keep others waiting, in threads: few at a time, and none for ever.

    Parameters
    ----------
    deadline
        Seconds that a piece of work may wait and take.
    """

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        # More would not compute faster, and all of them would hold the event loop up.
        self.limiter = CapacityLimiter(2)

    async def __call__(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Do it.

        Raises
        ------
        RefusedError
            If it was not done in time.
        """
        try:
            async with asyncio.timeout(self.deadline):
                return await to_thread.run_sync(
                    work, *arguments, limiter=self.limiter, abandon_on_cancel=True
                )
        except TimeoutError:
            again = (b"retry-after", b"%d" % (self.deadline + 1))
            raise RefusedError(
                503, f"not done in {self.deadline:g} s; send fewer rows", again
            ) from None


class BytesRoute(APIRoute):
    """A route whose endpoint takes a body and nothing else.

    Dependencies are not asked: what stands before all routes is middleware.

    Attributes
    ----------
    max_bytes : int
        Length that a body may have.
    threads : Threads
        Where long bodies are read.
    files : mapping
        From another content type than JSON to what answers bodies of it.
    """

    max_bytes: ClassVar[int] = 8_000_000
    threads: ClassVar[Threads] = Threads(30.0)
    files: ClassVar[Mapping[str, File]] = {}

    def __init__(self, path: str, endpoint: Callable[..., Any], **settings: Any) -> None:
        # Types that are made at run time are names of the function around the endpoint, which
        # FastAPI does not look at where `from __future__ import annotations` makes texts of them.
        local = inspect.getclosurevars(endpoint).nonlocals
        endpoint.__annotations__ = inspect.get_annotations(endpoint, locals=local, eval_str=True)
        super().__init__(path, endpoint, **settings)
        fields = self.dependant.body_params
        if len(fields) != 1 or len(inspect.signature(endpoint).parameters) != 1:
            raise TypeError(f"{path}: a route of this class takes a body and nothing else")
        kind: Any = fields[0].field_info.annotation
        self.validate: Callable[[bytes], Any] = TypeAdapter[Any](kind).validator.validate_json

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that FastAPI's router hands over."""
        if scope["method"] in (self.methods or ()):
            await self.answer(scope, receive, send)
        else:
            await super().handle(scope, receive, send)

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as an ASGI application."""
        kind = content_type(scope["headers"])
        if kind in self.files:
            await self.files[kind](kind, scope, receive, send)
            return
        status = 200
        headers: Sequence[tuple[bytes, bytes]] = ()
        try:
            if not kind.endswith(JSON):
                kinds = " or ".join(["application/json", *self.files])
                raise RefusedError(415, f"expected Content-Type: {kinds}")
            content = await read(receive, self.max_bytes)
            if content is None:
                return  # the client has gone
            if len(content) > INLINE_BYTES:
                body = await self.threads(self.validate, content)
            else:
                body = self.validate(content)
            answer = pydantic_core.to_json(await self.endpoint(body), inf_nan_mode="null")
        except ValidationError as error:
            status, answer = 422, told(error)
        except RefusedError as refusal:
            status, answer, headers = refusal.status, problem(refusal.detail), refusal.headers
        await respond(send, status, answer, headers)


class Shortcut:
    """Middleware that hands some routes their requests at once.

    The way through FastAPI's own middleware and its search for the route takes as long as a model.
    """

    def __init__(self, app: ASGIApp, routes: Mapping[str, BytesRoute]) -> None:
        self.app = app
        self.answers = {path: route.answer for path, route in routes.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the route answer, or FastAPI."""
        answer = self.answers.get(scope["path"]) if scope["type"] == "http" else None
        if answer and scope["method"] == "POST":
            await answer(scope, receive, send)
        else:
            await self.app(scope, receive, send)


async def respond(
    send: Send, status: int, answer: bytes, headers: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    """Send JSON."""
    length = b"%d" % len(answer)
    said = [(b"content-type", b"application/json"), (b"content-length", length), *headers]
    await send({"type": "http.response.start", "status": status, "headers": said})
    await send({"type": "http.response.body", "body": answer})


async def read(receive: Receive, most: int) -> bytes | None:
    """The whole body, or None if the client left before its end.

    Raises
    ------
    RefusedError
        If it is longer than it may be. The connection ends, or its rest would be read.
    """
    parts, size = [], 0
    while (message := await receive())["type"] == "http.request":
        part = message.get("body", b"")
        size += len(part)
        if size > most:
            raise RefusedError(413, f"a body may have {most} bytes", (b"connection", b"close"))
        parts.append(part)
        if not message.get("more_body"):
            return part if len(parts) == 1 else b"".join(parts)
    return None


def content_type(headers: Sequence[tuple[bytes, bytes]]) -> str:
    """What the body is said to be; a page of another origin may not say JSON or CSV unasked."""
    for name, value in headers:
        if name == b"content-type":
            return value.split(b";", 1)[0].strip().lower().decode("latin-1")
    return ""


def problem(detail: Any) -> bytes:
    """An error as the body of an answer."""
    return json.dumps({"detail": detail}).encode()


def told(error: ValidationError) -> bytes:
    """What is wrong with a body, without the body: it may be very long, or hold secrets."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return problem(
        [
            {"loc": ["body", *one["loc"]], "msg": one["msg"], "type": one["type"]}
            for one in found[:MISTAKES]
        ]
    )


class MicroBatcher:
    """Rows of all requests that arrive in one tick of the event loop, answered in one run.

    There is no timer: a request that is alone waits for nobody.

    Parameters
    ----------
    score
        Answers rows, in their order, and says which version of the model did.
    """

    def __init__(self, score: Callable[[list[Row]], Answers]) -> None:
        self._score = score
        self._waiting: list[tuple[list[Row], asyncio.Future[Answers]]] = []

    def __call__(self, rows: list[Row]) -> asyncio.Future[Answers]:
        """Put rows in, to be answered at the end of this tick."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._run)
        answer = loop.create_future()
        self._waiting.append((rows, answer))
        return answer

    def _run(self) -> None:
        waiting, self._waiting = self._waiting, []
        rows = waiting[0][0] if len(waiting) == 1 else [row for some, _ in waiting for row in some]
        try:
            answers, version = self._score(rows)
        except Exception as error:  # each of those who wait is told, and nobody else
            for _, future in waiting:
                if not future.done():
                    future.set_exception(error)
            return
        start = 0
        for some, future in waiting:
            if not future.done():  # its client may have gone
                future.set_result((answers[start : start + len(some)], version))
            start += len(some)
