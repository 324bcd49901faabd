"""The API of a bundle: its routes, and what it documents."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST

from ..errors import UserError
from ..settings import Serving
from .access import Access
from .limits import Limits
from .metrics import Metrics
from .model import Served
from .route import BytesRoute, Shortcut, Threads, Ticks
from .rows import answer_type, body_type
from .watching import Watch

INLINE_ROWS = 64  # more rows than these take long enough to be worth a thread
REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"description": "A key is needed, if the API asks for one"},
    413: {"description": "The body is too long"},
    415: {"description": "The body is not said to be JSON"},
    429: {"description": "Too many requests in a minute; Retry-After says when to come again"},
    503: {"description": "Too many requests at once; Retry-After says when to come again"},
}
QUIET = {"tracing": False, "metrics": False, "logs": False}


def create_app(folder: Path, choice: Serving = Serving()) -> FastAPI:  # noqa: B008 (not changed)
    """Make the API of a bundle.

    Where the bundle cannot be loaded the API starts all the same: it is alive but
    not ready, and says why with status 503.
    """
    try:
        return model_app(Served(folder), choice)
    except UserError as error:
        problem = {"detail": str(error)}

    app = FastAPI()

    @app.get("/health/live")
    async def live() -> dict[str, str]:
        return {"status": "alive"}

    @app.api_route("/{path:path}", methods=["GET", "POST"], include_in_schema=False)
    async def unready(path: str) -> JSONResponse:
        return JSONResponse(problem, status_code=503)

    return app


def model_app(served: Served, choice: Serving) -> FastAPI:
    """Make the API of a loaded bundle."""
    manifest, contract = served.scorer.manifest, served.scorer.contract
    rows_type, predictions_type = body_type(contract), answer_type(bool(manifest.classes))

    @asynccontextmanager
    async def watched(app: FastAPI) -> AsyncIterator[None]:
        watching = asyncio.create_task(served.watch())
        yield
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching

    about: dict[str, Any] = {} if choice.telemetry else {"telemetry": QUIET}
    if not choice.docs:
        about["openapi_url"] = None
    app: FastAPI = (FastAPIOffline if choice.docs else FastAPI)(
        title=f"{contract.target} ({manifest.family}, version {served.version})",
        description=contract.columns[contract.target].description,
        version=served.version,
        redoc_url=None,
        lifespan=watched,
        **about,
    )
    metrics = Metrics(lambda: [("champion", served.version, served.scorer.manifest.family)], None)
    threads = Threads(choice.deadline)
    ticks = Ticks(served.score)

    async def predict(body: rows_type) -> predictions_type:  # type: ignore[valid-type]
        """Predict each row. A field that may be null may be left out."""
        rows: list[dict[str, Any]] = body.rows  # type: ignore[attr-defined]
        if len(rows) > INLINE_ROWS:
            predictions, version = await threads(served.score, rows)
        else:
            predictions, version = await ticks(rows)
        return {"predictions": predictions, "model_version": version}

    route = BytesRoute(
        "/predict",
        predict,
        max_bytes=choice.max_bytes,
        threads=threads,
        methods=["POST"],
        responses=REFUSALS,
    )
    app.router.routes.append(route)

    @app.get("/model")
    async def model() -> dict[str, Any]:
        """Tell which model answers, how good it is, and where it comes from."""
        described = served.scorer.manifest.model_dump(exclude={"files"})
        return {"version": served.version, "alias": served.scorer.version.get("alias"), **described}

    @app.get("/metrics", response_class=PlainTextResponse)
    async def measured() -> Response:
        """Tell Prometheus what was counted."""
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/health/live")
    async def live() -> dict[str, str]:
        """Answer as long as the process does."""
        return {"status": "alive"}

    @app.get("/health/ready")
    async def ready() -> dict[str, str]:
        """Answer once the model does, and say if a new one was refused."""
        version = served.score([served.example])[1]
        return {"status": "ready", "version": version} | (
            {"refused": served.refused} if served.refused else {}
        )

    # Each one goes around those before it.
    app.add_middleware(Shortcut, route=route)
    if choice.origins:
        app.add_middleware(CORSMiddleware, allow_origins=choice.origins, allow_headers=["*"])
    if choice.keys or choice.per_minute:
        app.add_middleware(Access, keys=choice.keys, per_minute=choice.per_minute)
    app.add_middleware(Limits, at_once=choice.at_once)
    paths = {route.path for route in app.routes if isinstance(route, APIRoute)}
    app.add_middleware(Watch, metrics=metrics, paths=paths, every=choice.logs.requests == "all")
    return app
