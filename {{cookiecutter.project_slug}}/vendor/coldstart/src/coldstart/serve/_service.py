"""What an API needs around its models: predictions, documentation, limits, logs and metrics."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import Response
from fastapi.routing import APIRoute, iter_route_contexts
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.types import ASGIApp

from coldstart.config._settings import ServingSettings
from coldstart.serve._access import DOCUMENTED, Access
from coldstart.serve._bulk import ARROW, CSV
from coldstart.serve._docs import add_docs
from coldstart.serve._files import Files
from coldstart.serve._limits import Limits
from coldstart.serve._live_model import LiveModel
from coldstart.serve._metrics import Metrics
from coldstart.serve._prediction_log import DRIFT, Recorder
from coldstart.serve._prediction_log import Files as LogFiles
from coldstart.serve._request_log import RequestLogMiddleware
from coldstart.serve._route import BytesRoute, Shortcut, Threads
from coldstart.serve._routing import ModelRouter
from coldstart.serve._schemas import Row, answer_type, body_type
from coldstart.serve._telemetry import telemetry

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


class ModelService:
    """The loaded models, and what an API around them needs.

    Parameters
    ----------
    champion : LiveModel
        The model that answers.
    settings : ServingSettings
        The section `serving` of config.yaml.
    challenger : LiveModel, optional
        The model that `canary` and `shadow` are about.

    Attributes
    ----------
    request_type, response_type : type
        Pydantic models of the body of a prediction request and of its response, made from the
        data contract.
    security : list
        Dependencies that document the access keys, if the API asks for some.
    documentation : dict
        For the route of predictions: what else it takes, and how it refuses.
    """

    def __init__(
        self, champion: LiveModel, settings: ServingSettings, challenger: LiveModel | None = None
    ) -> None:
        manifest, contract = champion.predictor.manifest, champion.predictor.contract
        self.champion, self.challenger, self.settings = champion, challenger, settings
        self.models = {"champion": champion} | ({"challenger": challenger} if challenger else {})
        self.request_type = body_type(contract)
        self.response_type = answer_type(bool(manifest.classes))
        self.security = DOCUMENTED if settings.keys else []
        self.documentation: dict[str, Any] = {
            "responses": {200: {"content": FILES}, **REFUSALS},
            "openapi_extra": {"requestBody": {"content": FILES}},
        }
        folder = settings.record.folder
        self.metrics = Metrics(
            lambda: [(role, one.version, one.predictor.manifest.family) for role, one in self.models.items()],
            folder / DRIFT if folder else None,
        )
        self.log = None
        if folder:
            kept = LogFiles(settings.record, contract, manifest.classes)
            self.log = Recorder(kept, settings.record.share, self.metrics.recorded)
        self.threads = Threads(settings.deadline)
        self.router = ModelRouter(
            champion,
            challenger,
            settings.canary,
            settings.shadow,
            self.log,
            self.threads,
            self.metrics.rows,
        )
        self.pages: Collection[str] = ()

    @property
    def title(self) -> str:
        """What is predicted, by which model."""
        predictor = self.champion.predictor
        return f"{predictor.contract.target} ({predictor.manifest.family}, version {self.version})"

    @property
    def description(self) -> str:
        """What the data contract says of the target."""
        contract = self.champion.predictor.contract
        return contract.columns[contract.target].description

    @property
    def version(self) -> str:
        """The champion's version in the registry."""
        return self.champion.version

    @property
    def fastapi_settings(self) -> dict[str, Any]:
        """Arguments of FastAPI: the API's document and OpenTelemetry, as config.yaml says."""
        arguments: dict[str, Any] = {"telemetry": telemetry(self.settings.telemetry)}
        arguments |= {"docs_url": None, "redoc_url": None}  # `add_pages` adds one of its own
        return arguments if self.settings.docs else {**arguments, "openapi_url": None}

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Take new bundles while the API runs, and write the prediction log to its end."""
        watching = [asyncio.create_task(one.watch()) for one in self.models.values()]
        yield
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        if self.log:
            await asyncio.to_thread(self.log.close)

    @property
    def route_class(self) -> type[BytesRoute]:
        """The route of predictions: from the bytes of a request to those of its response."""
        files = Files(self.champion, self.settings, self.router.is_kept, self.router.count)
        attributes = {
            "max_bytes": self.settings.max_bytes,
            "threads": self.threads,
            "files": dict.fromkeys(FILES, files.answer),
        }
        return type("PredictionRoute", (BytesRoute,), attributes)

    async def predict(self, rows: list[Row]) -> dict[str, Any]:
        """Predict rows of a validated request.

        Parameters
        ----------
        rows : list of dict
            Typed values by column.

        Returns
        -------
        dict
            `predictions`, one for each row in order, and `model_version`.
        """
        predictions, version = await self.router.answer(rows)
        return {"predictions": predictions, "model_version": version}

    def model_info(self) -> dict[str, Any]:
        """Return which model answers, its metrics, and where it comes from."""
        predictor = self.champion.predictor
        described = predictor.manifest.model_dump(exclude={"files"})
        return {"version": self.version, "alias": predictor.version.get("alias"), **described}

    def metrics_response(self) -> Response:
        """Return what was counted, as Prometheus reads it."""
        return Response(self.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    def readiness(self) -> dict[str, str]:
        """Return the version that answers, once it does, and why a new bundle was refused."""
        version = self.champion.score([self.champion.example])[1]
        ready = {"status": "ready", "version": version}
        if self.challenger:
            ready["challenger"] = self.challenger.version
        if refused := "; ".join(one.refused for one in self.models.values() if one.refused):
            ready["refused"] = refused
        return ready

    def add_pages(self, app: FastAPI) -> None:
        """Add the demo page at `/` and the documentation at `/docs`, unless `serving.docs` is false.

        Parameters
        ----------
        app : FastAPI
            The application.
        """
        if not self.settings.docs:
            return
        from coldstart.serve.page._routes import add

        add_docs(app)
        self.pages = add(app, self.champion, self.settings, self.threads)

    def protect(self, app: FastAPI) -> None:
        """Put keys, limits, request ids, metrics, logs and security headers around all routes.

        Call it last: a route that is added afterwards is not counted by its name.

        Parameters
        ----------
        app : FastAPI
            The application with all its routes.
        """
        settings = self.settings
        routes = [
            (str(one.path), one.original_route)
            for one in iter_route_contexts(app.routes)
            if isinstance(one.original_route, APIRoute)
        ]
        fast = {path: route for path, route in routes if isinstance(route, BytesRoute)}
        # Each one goes around those before it, and all of them around FastAPI's own: otherwise
        # each request would take three more steps. Of these the first is left out, since it would
        # answer where there is a bug, and RequestLogMiddleware does.
        own: Any = app.build_middleware_stack()
        # Only on its way through FastAPI a request is traced.
        stack: ASGIApp = own.app if settings.telemetry else Shortcut(own.app, fast)
        if settings.origins:
            stack = CORSMiddleware(stack, allow_origins=settings.origins, allow_headers=["*"])
        if settings.keys or settings.per_minute:
            stack = Access(stack, settings.keys, settings.per_minute, self.pages)
        stack = Limits(stack, settings.at_once)
        paths = {path for path, _ in routes}
        every = settings.logs.requests == "all"
        app.middleware_stack = RequestLogMiddleware(stack, self.metrics, paths, every=every)


def open_service(folder: Path, settings: ServingSettings) -> ModelService:
    """Load a bundle, and the challenger beside it if it is to have a part.

    Parameters
    ----------
    folder : Path
        The champion's bundle.
    settings : ServingSettings
        The section `serving` of config.yaml.

    Raises
    ------
    UserError
        If one of them cannot be used.
    """
    champion, challenger = LiveModel(folder), None
    if settings.canary or settings.shadow:
        challenger = LiveModel(folder.with_name("challenger"))
        champion.check_fit(challenger.predictor)
    return ModelService(champion, settings, challenger)
