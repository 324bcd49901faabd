"""The route of predictions: from the bytes of a request to those of the answer.

FastAPI's own way there takes longer than a model. What it documents is enforced here all
the same: the type of the endpoint's body makes both.
"""

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pydantic_core
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from starlette.types import Receive, Scope, Send

from .rows import Row

INLINE_BYTES = 16_384  # a longer body takes long enough to be worth a thread
MISTAKES = 100  # that are told of one body
JSON = (b"application/json", b"+json")
Answers = tuple[list[Any], str]


class BytesRoute(APIRoute):
    """A route whose endpoint takes a body and nothing else.

    Dependencies are not asked: what stands before all routes is middleware.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **settings: Any) -> None:
        super().__init__(path, endpoint, **settings)
        (body,) = inspect.signature(endpoint).parameters.values()
        kind: Any = body.annotation
        self.app = answering(TypeAdapter[Any](kind).validator.validate_json, endpoint)


def answering(
    validate: Callable[[bytes], Any], endpoint: Callable[[Any], Awaitable[Any]]
) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """Make an ASGI application of an endpoint, and of what makes a body of bytes."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        content = await read(receive)
        if content is None:
            return  # the client has gone
        status = 200
        if not says_json(scope["headers"]):
            status, answer = 415, problem("expected Content-Type: application/json")
        else:
            try:
                if len(content) > INLINE_BYTES:
                    body = await run_in_threadpool(validate, content)
                else:
                    body = validate(content)
            except ValidationError as error:
                status, answer = 422, told(error)
            else:
                answer = pydantic_core.to_json(await endpoint(body), inf_nan_mode="null")
        await respond(send, status, answer)

    return app


async def respond(
    send: Send, status: int, answer: bytes, headers: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    """Send JSON."""
    length = b"%d" % len(answer)
    said = [(b"content-type", b"application/json"), (b"content-length", length), *headers]
    await send({"type": "http.response.start", "status": status, "headers": said})
    await send({"type": "http.response.body", "body": answer})


async def read(receive: Receive) -> bytes | None:
    """The whole body, or None if the client left before its end."""
    parts = []
    while (message := await receive())["type"] == "http.request":
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)
    return None


def says_json(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """Whether the body is said to be JSON: a page of another origin may not say so unasked."""
    for name, value in headers:
        if name == b"content-type":
            return value.split(b";", 1)[0].strip().lower().endswith(JSON)
    return False


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


class Ticks:
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
