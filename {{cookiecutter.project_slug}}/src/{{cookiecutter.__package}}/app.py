"""The API: predictions, the model, metrics, health, the demo page, and routes of your own.

`make serve` runs it. The engine's `ModelService` holds the loaded model. Everything else here is
ordinary FastAPI.
"""

from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import PlainTextResponse, Response

from coldstart.serve import ModelService


def create_app(service: ModelService) -> FastAPI:
    """Make the application around the loaded model.

    Parameters
    ----------
    service : ModelService
        The loaded model, and the types of its requests and responses.

    Returns
    -------
    FastAPI
        The application, with all routes.
    """
    app = FastAPI(
        title=service.title,
        description=service.description,
        version=service.version,
        lifespan=service.lifespan,
        **service.fastapi_settings,
    )
    # This route class validates by the types that FastAPI documents, and skips FastAPI's own
    # parsing and serialization, which take longer than a model.
    router = APIRouter(route_class=service.route_class)

    @router.post("/predict", dependencies=service.security, **service.documentation)
    async def predict(body: service.request_type) -> service.response_type:  # type: ignore[name-defined]
        """Predict each row. A field that may be null may be left out."""
        return await service.predict(body.rows)

    @app.get("/model", dependencies=service.security)
    async def model() -> dict[str, Any]:
        """Return the champion's version, metrics and provenance."""
        return service.model_info()

    @app.get("/metrics", dependencies=service.security, response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Return the metrics that Prometheus collects."""
        return service.metrics_response()

    @app.get("/health/live")
    async def live() -> dict[str, str]:
        """Respond while the process runs."""
        return {"status": "alive"}

    @app.get("/health/ready")
    def ready() -> dict[str, str]:
        """Respond once the model predicts. Name a new model that was refused, if there is one."""
        return service.readiness()

    # Add routes of your own here. `service.champion.predictor` is the loaded model, and
    # `await service.predict(rows)` predicts. With `serving.keys`, `protect` asks each route but
    # health and the pages for a key; `dependencies=service.security` documents that at /docs.

    app.include_router(router)
    service.add_inference(app)  # the protocol of KServe and Triton at /v2
    service.add_pages(app)  # the demo page at /, documentation at /docs
    service.protect(app)  # keys, limits, request ids, metrics, logs, security headers
    return app
