"""The prediction route: from the bytes of a request to those of the response.

FastAPI's own handling takes longer than a model. Validation and documentation agree nevertheless,
since both come from the type of the endpoint's body.
"""

import asyncio
import inspect
import json
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol

import pydantic_core
from anyio import CapacityLimiter, to_thread
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from coldstart.serve._schemas import Row

INLINE_BYTES = 16_384  # a longer body takes long enough to be worth a thread
GATHERED = 64  # requests that are predicted together; more make none of them cheaper
TICK = 4  # times the rows that a model predicts inline, of requests that wait, in one tick
MAX_ERRORS = 100  # reported of one body
LISTED_ERRORS = 20_000  # of more of them pydantic takes too long to list the first
JSON = ("application/json", "+json")
Predictions = tuple[list[dict[str, Any]], str]
"""A prediction for each row, and the version of the model that made them."""
Batch = list[tuple[list[Row], asyncio.Future[Predictions]]]
Waiting = deque[tuple[list[Row], asyncio.Future[Predictions]]]
FileHandler = Callable[[str, Scope, Receive, Send], Awaitable[None]]


class RefusedError(Exception):
    """A request that is refused.

    Parameters
    ----------
    status : int
        HTTP status of the response.
    detail : object
        The reason, as JSON.
    *headers : tuple of two bytes
        Headers of the response.
    """

    def __init__(self, status: int, detail: Any, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers


class Threads:
    """A few threads for work that would delay other requests.

    Parameters
    ----------
    timeout : float
        Seconds that a piece of work may wait and take.
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        # More threads would not compute faster, and would delay the event loop.
        self.limiter = CapacityLimiter(2)

    async def __call__(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function in a thread, and return what it returns.

        Raises
        ------
        RefusedError
            If it did not finish in time.
        """
        try:
            async with asyncio.timeout(self.timeout):
                return await to_thread.run_sync(
                    work, *arguments, limiter=self.limiter, abandon_on_cancel=True
                )
        except TimeoutError:
            retry = (b"retry-after", b"%d" % (self.timeout + 1))
            why = f"not finished in {self.timeout:g} s; send fewer rows"
            raise RefusedError(503, why, retry) from None


class BytesRoute(APIRoute):
    """A route whose endpoint takes a body and nothing else.

    Dependencies are only documented, not called: what protects all routes is middleware.

    Attributes
    ----------
    max_bytes : int
        Largest body in bytes.
    threads : Threads
        Where long bodies are parsed.
    files : mapping
        From a content type other than JSON to the function that handles bodies of it.

    Raises
    ------
    TypeError
        If the endpoint takes something else.
    """

    max_bytes: ClassVar[int] = 8_000_000
    threads: ClassVar[Threads] = Threads(30.0)
    files: ClassVar[Mapping[str, FileHandler]] = {}

    def __init__(self, path: str, endpoint: Callable[..., Any], **settings: Any) -> None:
        # Types that are made at run time are names in the function around the endpoint, which
        # FastAPI does not look at where `from __future__ import annotations` makes texts of them.
        local = inspect.getclosurevars(endpoint).nonlocals
        endpoint.__annotations__ = inspect.get_annotations(endpoint, locals=local, eval_str=True)
        super().__init__(path, endpoint, **settings)
        fields = self.dependant.body_params
        parameters = list(inspect.signature(endpoint).parameters)
        if len(fields) != 1 or len(parameters) != 1:
            raise TypeError(f"{path}: a route of this class takes a body and nothing else")
        kind: Any = endpoint.__annotations__[parameters[0]]  # with validators of the whole body
        self.validate: Callable[[bytes], Any] = TypeAdapter[Any](kind).validator.validate_json

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request that FastAPI's router hands over."""
        if scope["method"] in (self.methods or ()):
            await self.respond(scope, receive, send)
        else:
            await super().handle(scope, receive, send)

    async def respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to a request, as an ASGI application."""
        kind = content_type(scope["headers"])
        if kind in self.files:
            await self.files[kind](kind, scope, receive, send)
            return
        status = 200
        headers: Sequence[tuple[bytes, bytes]] = ()
        try:
            if not self.accepts(kind, scope):
                kinds = " or ".join(["application/json", *self.files])
                raise RefusedError(415, f"expected Content-Type: {kinds}")
            content = await read_body(receive, self.max_bytes)
            if content is None:
                return  # the client has gone
            if len(content) > INLINE_BYTES:
                body = await self.threads(self.parse, content, scope)
            else:
                body = self.parse(content, scope)
            response = pydantic_core.to_json(await self.endpoint(body), inf_nan_mode="null")
        except ValidationError as error:
            status, response = self.invalid(error)
            if encoding := header(scope["headers"], b"content-encoding"):
                status = 415
                response = self.error_body(
                    f"Content-Encoding: {encoding} is not supported; send the body as it is"
                )
        except RefusedError as refusal:
            status, headers = refusal.status, refusal.headers
            response = self.error_body(refusal.detail)
        await send_json(send, status, response, headers)

    def accepts(self, kind: str, scope: Scope) -> bool:
        """Return whether a body is of a type that `parse` reads."""
        return kind.endswith(JSON)

    def parse(self, content: bytes, scope: Scope) -> Any:
        """Return the body as the endpoint takes it.

        Raises
        ------
        ValidationError
            If it is not valid.
        RefusedError
            If it is refused for another reason.
        """
        return self.validate(content)

    def invalid(self, error: ValidationError) -> tuple[int, bytes]:
        """Return status and body of the response to a body that is not valid."""
        return 422, self.error_body(validation_detail(error))

    def error_body(self, detail: Any) -> bytes:
        """Return the body of a response that reports an error."""
        return error_body(detail)


class Shortcut:
    """Middleware that hands some routes their requests directly.

    FastAPI's own middleware and its search for the route take as long as a model.

    Parameters
    ----------
    app : ASGI application
        Handles all other requests.
    routes : mapping
        From a path to its route.
    """

    def __init__(self, app: ASGIApp, routes: Mapping[str, BytesRoute]) -> None:
        self.app = app
        self.routes = {path: route.respond for path, route in routes.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the route respond, or FastAPI."""
        respond = self.routes.get(scope["path"]) if scope["type"] == "http" else None
        if respond and scope["method"] == "POST":
            await respond(scope, receive, send)
        else:
            await self.app(scope, receive, send)


async def send_json(
    send: Send, status: int, body: bytes, headers: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    """Send a whole response of JSON."""
    length = b"%d" % len(body)
    all_headers = [(b"content-type", b"application/json"), (b"content-length", length), *headers]
    await send({"type": "http.response.start", "status": status, "headers": all_headers})
    await send({"type": "http.response.body", "body": body})


async def read_body(receive: Receive, max_bytes: int) -> bytes | None:
    """Return the whole body, or None if the client left before its end.

    Raises
    ------
    RefusedError
        If it is longer. The connection is closed, or the rest of it would be read.
    """
    parts, size = [], 0
    while (message := await receive())["type"] == "http.request":
        part = message.get("body", b"")
        size += len(part)
        if size > max_bytes:
            why = f"the body is longer than {max_bytes} bytes"
            raise RefusedError(413, why, (b"connection", b"close"))
        parts.append(part)
        if not message.get("more_body"):
            return part if len(parts) == 1 else b"".join(parts)
    return None


def content_type(headers: Sequence[tuple[bytes, bytes]]) -> str:
    """Return the content type of a body, without its parameters.

    It is required: a web page of another origin may send neither JSON nor CSV unasked.
    """
    return header(headers, b"content-type").partition(";")[0].strip().lower()


def header(headers: Sequence[tuple[bytes, bytes]], wanted: bytes) -> str:
    """Return the value of a header; empty if there is none."""
    for name, value in headers:
        if name == wanted:
            return value.decode("latin-1")
    return ""


def error_body(detail: Any) -> bytes:
    """Return the body of a response that reports an error."""
    return json.dumps({"detail": detail}).encode()


def validation_detail(error: ValidationError) -> list[dict[str, Any]]:
    """Return the errors of a body without its content, which may be long or secret."""
    count = error.error_count()
    if count > LISTED_ERRORS:
        return [more_errors(f"{count} errors, too many to list; send one of the rows alone")]
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    detail = [
        {"loc": ["body", *one["loc"]], "msg": one["msg"], "type": one["type"]}
        for one in errors[:MAX_ERRORS]
    ]
    return detail + [more_errors(f"and {count - MAX_ERRORS} more errors")] * (count > MAX_ERRORS)


def more_errors(why: str) -> dict[str, Any]:
    """Return what stands for errors that are not listed."""
    return {"loc": ["body"], "msg": why, "type": "more_errors"}


class Model(Protocol):
    """What predicts rows.

    Attributes
    ----------
    inline_rows : int
        Rows that it predicts so quickly that all other requests may wait for it.
    """

    inline_rows: int

    def score(self, rows: list[Row]) -> Predictions:
        """Predict rows."""


class MicroBatcher:
    """The rows of requests that arrive one tick of the event loop after the other, in one run.

    There is no timer: as soon as a tick brings no more requests, those that wait are predicted.
    Requests whose rows would take long together are predicted in turn, in several ticks: a thread
    beside a busy event loop would be slower than the loop itself.

    Parameters
    ----------
    model : Model
        Predicts rows, in their order, and returns which version of it did.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._waiting: Waiting = deque()

    def __call__(self, rows: list[Row]) -> asyncio.Future[Predictions]:
        """Add rows, to be predicted once a tick brings no more."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._run)
        future = loop.create_future()
        self._waiting.append((rows, future))
        return future

    def _run(self, before: int = 0) -> None:
        if before < len(self._waiting) < GATHERED:
            asyncio.get_running_loop().call_soon(self._run, len(self._waiting))
            return
        waiting, left = self._waiting, TICK * self._model.inline_rows
        batch: Batch = []
        while waiting and (not batch or len(waiting[0][0]) <= left):
            left -= len(waiting[0][0])
            batch.append(waiting.popleft())
        if waiting:
            asyncio.get_running_loop().call_soon(self._run)
        rows = batch[0][0] if len(batch) == 1 else [row for some, _ in batch for row in some]
        try:
            distribute(batch, *self._model.score(rows))
        except Exception as error:
            fail(batch, error)


def distribute(batch: Batch, predictions: list[dict[str, Any]], version: str) -> None:
    """Give each request the predictions of its rows."""
    start = 0
    for some, future in batch:
        if not future.done():  # its client may have gone
            future.set_result((predictions[start : start + len(some)], version))
        start += len(some)


def fail(batch: Batch, error: Exception) -> None:
    """Let those requests fail that waited, and no other."""
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
