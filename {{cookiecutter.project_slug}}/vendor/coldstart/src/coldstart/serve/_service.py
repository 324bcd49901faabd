"""The parts of an API around its models: documentation, limits, logs and metrics."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import Response
from fastapi.routing import APIRoute, iter_route_contexts
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import TypeAdapter
from starlette.types import ASGIApp

from coldstart._project import Project
from coldstart.config._sections import ServingSettings
from coldstart.serve._access import DOCUMENTED, Access
from coldstart.serve._bulk import ARROW, CSV
from coldstart.serve._docs import add_docs
from coldstart.serve._files import FileRequests
from coldstart.serve._inference import add_inference
from coldstart.serve._limits import Limits
from coldstart.serve._live_model import LiveModel
from coldstart.serve._metrics import LoadedModel, Metrics
from coldstart.serve._origins import allow_origins
from coldstart.serve._prediction_log import DRIFT, LogFolder, PredictionLog
from coldstart.serve._request_log import RequestLogMiddleware
from coldstart.serve._route import BytesRoute, Shortcut, Threads
from coldstart.serve._routing import ModelRouter
from coldstart.serve._schemas import REF, Row, passes_ref, request_type, response_type
from coldstart.serve._telemetry import telemetry

REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"description": "A key is needed, if the API asks for one"},
    413: {"description": "The body is too long"},
    415: {"description": "The content type of the body is not one of those above"},
    429: {"description": "Too many requests in a minute; Retry-After holds seconds to wait"},
    503: {"description": "Too many concurrent requests; Retry-After holds seconds to wait"},
}
FILES = {
    ARROW: {"schema": {"type": "string", "format": "binary"}},
    CSV: {
        "schema": {
            "type": "string",
            "description": "A line of names, then one for each row",
            "minLength": 1,
        }
    },
}


class ModelService:
    """The loaded models, and the parts of an API around them.

    Parameters
    ----------
    champion : LiveModel
        The model that predicts.
    settings : ServingSettings
        The section `serving` of config.yaml.
    challenger : LiveModel, optional
        The model that the settings `canary` and `shadow` refer to.
    project : Project, optional
        The project whose title the API has, and whose derived columns predict the rows of a file.

    Attributes
    ----------
    request_type, response_type : type
        Pydantic models of a prediction request and of its response, made from the data contract.
    fields : list of str
        Names of the fields that a row may have.
    security : list
        Dependencies that document the access keys, if the API requires some.
    documentation : dict
        Arguments of the prediction route: its other content types, and its error responses.
    """

    def __init__(
        self,
        champion: LiveModel,
        settings: ServingSettings,
        challenger: LiveModel | None = None,
        project: Project | None = None,
    ) -> None:
        manifest, contract = champion.predictor.manifest, champion.predictor.contract
        self.champion, self.challenger, self.settings = champion, challenger, settings
        self.project = project
        self.models = {"champion": champion} | ({"challenger": challenger} if challenger else {})
        self.request_type = request_type(contract, settings.max_rows)
        self.response_type = response_type(bool(manifest.classes))
        self.security = DOCUMENTED if settings.keys else []
        self.documentation: dict[str, Any] = {
            "responses": {200: {"content": FILES}, **REFUSALS},
            "openapi_extra": {"requestBody": {"content": FILES}},
        }
        folder = settings.record.folder
        self._metrics = Metrics(
            lambda: [
                LoadedModel(
                    role,
                    model.version,
                    model.predictor.manifest.family,
                    str(model.predictor.manifest.provenance.get("trained_at", "")),
                )
                for role, model in self.models.items()
            ],
            folder / DRIFT if folder else None,
        )
        self._log = None
        if folder:
            log_folder = LogFolder(settings.record, contract, manifest.classes)
            self._log = PredictionLog(log_folder, settings.record.share, self._metrics.logged)
        self._threads = Threads(settings.response_timeout)
        self._router = ModelRouter(
            champion,
            challenger,
            settings.canary,
            settings.shadow,
            self._log,
            self._threads,
            self._metrics.rows,
        )
        self._passes_ref = passes_ref(contract)
        self.fields = [*contract.features, *([REF] if self._passes_ref else [])]
        self._validate = TypeAdapter[Any](self.request_type).validator.validate_json
        self._pages: Collection[str] = ()

    @property
    def title(self) -> str:
        """The setting `serving.title`, or the name of the project."""
        target = self.champion.predictor.contract.target.replace("_", " ").capitalize()
        return self.settings.title or (self.project.title if self.project else target)

    @property
    def description(self) -> str:
        """What is predicted, in the words of the data contract, and by which type of model."""
        predictor = self.champion.predictor
        target = predictor.contract.target
        words = predictor.contract.columns[target].description.rstrip(".")
        about = f"`{target}` ({words})" if words else f"`{target}`"
        return f"Predicts {about}. Model type: {predictor.manifest.family}."

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
        """Load new bundles while the API runs, and write the prediction log at its end.

        Parameters
        ----------
        app : FastAPI
            The application.
        """
        watching = [asyncio.create_task(model.watch()) for model in self.models.values()]
        yield
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        if self._log:
            await asyncio.to_thread(self._log.close)

    @property
    def route_class(self) -> type[BytesRoute]:
        """Class of the route of predictions: from the bytes of a request to the response's."""
        files = FileRequests(
            self.champion,
            self.settings,
            self.project.derived if self.project else "",
            self._router.is_logged,
            self._router.count,
        )
        attributes = {
            "max_bytes": self.settings.max_bytes,
            "threads": self._threads,
            "files": dict.fromkeys(FILES, files.respond),
        }
        return type("PredictionRoute", (BytesRoute,), attributes)

    async def predict(self, rows: list[Row]) -> dict[str, Any]:
        """Predict the rows of a validated request.

        Parameters
        ----------
        rows : list of dict
            Typed values by column.

        Returns
        -------
        dict
            `predictions`, one for each row in order, with its `ref` if it has one; and
            `model_version`.
        """
        predictions, version = await self._router.predict(rows)
        if self._passes_ref:
            for row, prediction in zip(rows, predictions, strict=True):
                if (ref := row.get(REF)) is not None:
                    prediction[REF] = ref
        return {"predictions": predictions, "model_version": version}

    def validate_rows(self, body: bytes) -> list[Row]:
        """Return the typed rows of a JSON body, validated by the data contract.

        Parameters
        ----------
        body : bytes
            The body of a prediction request.

        Returns
        -------
        list of dict
            Typed values by column.

        Raises
        ------
        ValidationError
            If it is not valid.
        """
        rows: list[Row] = self._validate(body).rows
        return rows

    def model_info(self) -> dict[str, Any]:
        """Return the champion's version, metrics and provenance.

        Returns
        -------
        dict
            `version`, `alias`, and the bundle's manifest without its checksums.
        """
        predictor = self.champion.predictor
        manifest = predictor.manifest.model_dump(exclude={"files"})
        return {"version": self.version, "alias": predictor.version.get("alias"), **manifest}

    def metrics_response(self) -> Response:
        """Return all metrics in Prometheus' text format.

        Returns
        -------
        Response
            The response to a GET request.
        """
        return Response(self._metrics.text(), media_type=CONTENT_TYPE_LATEST)

    def readiness(self) -> dict[str, str]:
        """Predict an example row, and return which version did.

        Returns
        -------
        dict
            `status` and `version`; `challenger`, its version, if there is one; and `refused`, why
            a new bundle does not serve.
        """
        version = self.champion.score([self.champion.example])[1]
        ready = {"status": "ready", "version": version}
        if self.challenger:
            ready["challenger"] = self.challenger.version
        if refused := "; ".join(one.refused for one in self.models.values() if one.refused):
            ready["refused"] = refused
        return ready

    def add_pages(self, app: FastAPI) -> None:
        """Add the demo page at `/` and documentation at `/docs`, unless `serving.docs` is false.

        Parameters
        ----------
        app : FastAPI
            The application; its title is that of the page.
        """
        if not self.settings.docs:
            return
        from coldstart.serve.page._routes import add_page

        add_docs(app)
        self._pages = add_page(app, self.champion, self.settings, self._threads)

    def add_inference(self, app: FastAPI) -> None:
        """Add the Open Inference Protocol (V2) of KServe and Triton at `/v2`.

        Parameters
        ----------
        app : FastAPI
            The application.
        """
        add_inference(app, self)

    def protect(self, app: FastAPI) -> None:
        """Add keys, limits, request ids, metrics, logs and security headers to all routes.

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
        # respond where there is a bug, and RequestLogMiddleware does.
        own: Any = app.build_middleware_stack()
        # A request is traced only on its way through FastAPI.
        stack: ASGIApp = own.app if settings.telemetry else Shortcut(own.app, fast)
        if settings.keys or settings.per_minute:
            stack = Access(stack, settings.keys, settings.per_minute, self._pages)
        stack = Limits(stack, settings.max_concurrency)
        paths = {path for path, _ in routes}
        every = settings.logs.requests == "all"
        stack = RequestLogMiddleware(stack, self._metrics, paths, every=every)
        methods = {method for _, route in routes for method in route.methods or ()}
        app.middleware_stack = allow_origins(stack, settings.origins, methods)


def open_service(
    folder: Path, settings: ServingSettings, project: Project | None = None
) -> ModelService:
    """Load a bundle, and the challenger if `canary` or `shadow` is set.

    Parameters
    ----------
    folder : Path
        The champion's bundle.
    settings : ServingSettings
        The section `serving` of config.yaml.
    project : Project, optional
        The project whose API it is.

    Returns
    -------
    ModelService
        The loaded models.

    Raises
    ------
    UserError
        If one of them cannot be used.
    """
    how = (settings.providers, settings.workers)
    champion, challenger = LiveModel(folder, *how), None
    if settings.canary or settings.shadow:
        challenger = LiveModel(folder.with_name("challenger"), *how)
        champion.check_compatible(challenger.predictor)
    return ModelService(champion, settings, challenger, project)
