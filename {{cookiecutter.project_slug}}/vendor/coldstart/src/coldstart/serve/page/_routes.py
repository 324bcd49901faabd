"""The page's routes: its files, which anybody may open, and what it asks for."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pydantic_core
from fastapi import FastAPI
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from coldstart.config._settings import ServingSettings
from coldstart.serve._live_model import LiveModel
from coldstart.serve._route import BytesRoute, Threads
from coldstart.serve._schemas import row_type
from coldstart.serve.page._bundle_files import about, card, kept, plots
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
YEAR = "private, max-age=31536000, immutable"  # a plot's address holds the seal of its bundle


def add(app: FastAPI, served: LiveModel, choice: ServingSettings, threads: Threads) -> Collection[str]:
    """Add the page to an API.

    Returns
    -------
    collection of str
        The paths that a browser opens without a key.
    """
    files = {
        ("/" if file.suffix == ".html" else f"/page/{file.name}"): file for file in STATIC.iterdir()
    }
    for path, file in files.items():
        app.add_api_route(path, page(file), include_in_schema=False)

    explainer: Explainer | None = None

    def now() -> Explainer:
        """What there is to say of the model that answers now."""
        nonlocal explainer
        if explainer is None or explainer.predictor is not served.predictor:
            explainer = Explainer(served.predictor)
        return explainer

    async def explain(row: row_type(served.predictor.contract)) -> Any:  # type: ignore[valid-type]
        return await threads(lambda: now().explain(row))

    route_class = type("ExplanationRoute", (BytesRoute,), {"max_bytes": choice.max_bytes, "threads": threads})
    route = route_class("/page/explain", explain, methods=["POST"], include_in_schema=False)
    app.router.routes.append(route)

    @app.get("/page/about", include_in_schema=False)
    def described() -> Response:
        told = about(now().predictor, now().rows)
        return Response(
            pydantic_core.to_json(told, inf_nan_mode="null"), media_type="application/json"
        )

    @app.get("/page/card", include_in_schema=False)
    def written() -> Response:
        return Response(card(served.predictor), media_type="text/html")

    @app.get("/page/plots/{seal}/{name}", include_in_schema=False)
    def drawn(seal: str, name: str) -> Response:
        predictor = served.predictor
        content = kept(predictor, name) if seal == predictor.seal and name in plots(predictor) else None
        if content is None:
            raise HTTPException(404, "the model that answers now has no such plot")
        return Response(content, media_type="image/png", headers={"cache-control": YEAR})

    return files


def page(file: Path) -> Any:
    """Make the endpoint of a file."""
    content, kind = file.read_bytes(), TYPES[file.suffix]

    async def answer() -> Response:
        return Response(content, media_type=kind, headers={"content-security-policy": UNFRAMED})

    return answer
