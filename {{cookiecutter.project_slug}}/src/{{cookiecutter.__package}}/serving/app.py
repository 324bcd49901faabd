"""The API of a bundle: its routes, and what it documents."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.types import ASGIApp

from .. import limbs
from ..bulk import ARROW, CSV
from ..errors import UserError
from ..settings import Serving
from .access import DOCUMENTED, Access
from .files import Files
from .limits import Limits
from .metrics import Metrics
from .model import Served
from .record import DRIFT, Recorder
from .record import Files as Kept
from .route import BytesRoute, Shortcut, Threads
from .rows import answer_type, body_type
from .telemetry import telemetry
from .traffic import Traffic
from .watching import Watch

REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"description": "A key is needed, if the API asks for one"},
    413: {"description": "The body is too long"},
    415: {"description": "The body is not said to be JSON"},
    429: {"description": "Too many requests in a minute; Retry-After says when to come again"},
    503: {"description": "Too many requests at once; Retry-After says when to come again"},
}
FILES = {
    ARROW: {"schema": {"type": "string", "format": "binary"}},
    CSV: {
        "schema": {
            "type": "string",
            "description": "A line of names, then one a row",
            "minLength": 1,
        }
    },
}


def create_app(folder: Path, choice: Serving = Serving()) -> FastAPI:  # noqa: B008 (not changed)
    """Make the API of a bundle.

    Where the bundle cannot be loaded the API starts all the same: it is alive but
    not ready, and says why with status 503.
    """
    try:
        return open_app(folder, choice)
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


def open_app(folder: Path, choice: Serving) -> FastAPI:
    """Load a bundle, and the challenger beside it if it is to have a part, and make the API.

    Raises
    ------
    UserError
        If one of them cannot be used.
    """
    champion, challenger = Served(folder), None
    if choice.canary or choice.shadow:
        challenger = Served(folder.with_name("challenger"))
        champion.check_fit(challenger.scorer)
    return model_app(champion, choice, challenger)


def model_app(served: Served, choice: Serving, challenger: Served | None = None) -> FastAPI:
    """Make the API of a loaded bundle.

    Parameters
    ----------
    challenger
        The model that `choice.canary` and `choice.shadow` are about.
    """
    manifest, contract = served.scorer.manifest, served.scorer.contract
    rows_type, predictions_type = body_type(contract), answer_type(bool(manifest.classes))
    loaded = {"champion": served} | ({"challenger": challenger} if challenger else {})
    folder = choice.record.folder
    metrics = Metrics(
        lambda: [(role, one.version, one.scorer.manifest.family) for role, one in loaded.items()],
        folder / DRIFT if folder else None,
    )
    record = None
    if folder:
        kept = Kept(choice.record, contract, manifest.classes)
        record = Recorder(kept, choice.record.share, metrics.recorded)
    threads = Threads(choice.deadline)
    traffic = Traffic(
        served, challenger, choice.canary, choice.shadow, record, threads, metrics.rows
    )

    @asynccontextmanager
    async def watched(app: FastAPI) -> AsyncIterator[None]:
        watching = [asyncio.create_task(one.watch()) for one in loaded.values()]
        yield
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        if record:
            await asyncio.to_thread(record.close)

    about: dict[str, Any] = {"telemetry": telemetry(choice.telemetry)}
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

    async def predict(body: rows_type) -> predictions_type:  # type: ignore[valid-type]
        """Predict each row. A field that may be null may be left out."""
        predictions, version = await traffic.answer(body.rows)  # type: ignore[attr-defined]
        return {"predictions": predictions, "model_version": version}

    keys = DOCUMENTED if choice.keys else []
    files = Files(served, choice, traffic.is_kept, traffic.count)
    route = BytesRoute(
        "/predict",
        predict,
        max_bytes=choice.max_bytes,
        threads=threads,
        files=dict.fromkeys(FILES, files.answer),
        methods=["POST"],
        dependencies=keys,
        responses={200: {"content": FILES}, **REFUSALS},
        openapi_extra={"requestBody": {"content": FILES}},
    )
    app.router.routes.append(route)

    @app.get("/model", dependencies=keys)
    async def model() -> dict[str, Any]:
        """Tell which model answers, how good it is, and where it comes from."""
        described = served.scorer.manifest.model_dump(exclude={"files"})
        return {"version": served.version, "alias": served.scorer.version.get("alias"), **described}

    @app.get("/metrics", dependencies=keys, response_class=PlainTextResponse)
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
        told = {"status": "ready", "version": version}
        if challenger:
            told["challenger"] = challenger.version
        if refused := "; ".join(one.refused for one in loaded.values() if one.refused):
            told["refused"] = refused
        return told

    pages = {
        path for limb in limbs.find("routes") for path in limb.add(app, served, choice, threads)
    }

    # Each one goes around those before it, and all of them around FastAPI's own: otherwise each
    # request would take three more steps. Of these the first is left out, since it would answer
    # where there is a bug, and Watch does.
    own: Any = app.build_middleware_stack()
    # Only on its way through FastAPI a request is traced.
    stack: ASGIApp = own.app if choice.telemetry else Shortcut(own.app, route)
    if choice.origins:
        stack = CORSMiddleware(stack, allow_origins=choice.origins, allow_headers=["*"])
    if choice.keys or choice.per_minute:
        stack = Access(stack, choice.keys, choice.per_minute, pages)
    stack = Limits(stack, choice.at_once)
    paths = {route.path for route in app.routes if isinstance(route, APIRoute)}
    app.middleware_stack = Watch(stack, metrics, paths, every=choice.logs.requests == "all")
    return app
