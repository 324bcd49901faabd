"""The page's routes: its files, which need no key, and its requests."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pydantic_core
from fastapi import FastAPI
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from coldstart.config._sections import ServingSettings
from coldstart.serve._live_model import LiveModel
from coldstart.serve._route import BytesRoute, Threads
from coldstart.serve._schemas import row_type
from coldstart.serve.page._bundle_files import about, card, plots, read_file
from coldstart.serve.page._explanations import Explainer

STATIC = Path(__file__).parent / "static"
TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
POLICY = "default-src 'self'; img-src 'self' blob:; base-uri 'none'; form-action 'none'"
UNFRAMED = f"{POLICY}; frame-ancestors 'none'"  # which a page cannot say of itself
YEAR = "private, max-age=31536000, immutable"  # a plot's address holds its bundle's fingerprint


def add_page(
    app: FastAPI, model: LiveModel, settings: ServingSettings, threads: Threads
) -> Collection[str]:
    """Add the page to an API.

    Parameters
    ----------
    app : FastAPI
        The application.
    model : LiveModel
        The model that the page shows.
    settings : ServingSettings
        The section `serving` of config.yaml.
    threads : Threads
        Where explanations are computed.

    Returns
    -------
    collection of str
        The paths that a browser opens without a key.
    """
    files = {
        ("/" if file.suffix == ".html" else f"/page/{file.name}"): file for file in STATIC.iterdir()
    }
    for path, file in files.items():
        app.add_api_route(path, file_endpoint(file), include_in_schema=False)

    explainer: Explainer | None = None

    def current_explainer() -> Explainer:
        nonlocal explainer
        if explainer is None or explainer.predictor is not model.predictor:
            explainer = Explainer(model.predictor)
        return explainer

    async def explain(row: row_type(model.predictor.contract)) -> Any:  # type: ignore[valid-type]
        return await threads(lambda: current_explainer().explain(row))

    attributes = {"max_bytes": settings.max_bytes, "threads": threads}
    route_class = type("ExplanationRoute", (BytesRoute,), attributes)
    route = route_class("/page/explain", explain, methods=["POST"], include_in_schema=False)
    app.router.routes.append(route)

    @app.get("/page/about", include_in_schema=False)
    def get_about() -> Response:
        explainer = current_explainer()
        content = about(explainer.predictor, explainer.rows, app.title)
        return Response(
            pydantic_core.to_json(content, inf_nan_mode="null"), media_type="application/json"
        )

    @app.get("/page/card", include_in_schema=False)
    def get_card() -> Response:
        return Response(card(model.predictor), media_type="text/html")

    @app.get("/page/plots/{fingerprint}/{name}", include_in_schema=False)
    def get_plot(fingerprint: str, name: str) -> Response:
        predictor = model.predictor
        current = fingerprint == predictor.fingerprint and name in plots(predictor)
        content = read_file(predictor, name) if current else None
        if content is None:
            raise HTTPException(404, "the current model has no such plot")
        return Response(content, media_type="image/png", headers={"cache-control": YEAR})

    return files


def file_endpoint(file: Path) -> Any:
    """Return the endpoint of a file."""
    content, kind = file.read_bytes(), TYPES[file.suffix]

    async def get_file() -> Response:
        return Response(content, media_type=kind, headers={"content-security-policy": UNFRAMED})

    return get_file
