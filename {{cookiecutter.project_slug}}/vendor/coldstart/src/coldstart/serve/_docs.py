"""Documentation pages of the API that load nothing from other hosts."""

from pathlib import Path

import fastapi_offline
from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

DOCS, STATIC = "/docs", "/static-offline-docs"


def add_docs(app: FastAPI) -> None:
    """Add Swagger UI at `/docs`, with its files served from here.

    Parameters
    ----------
    app : FastAPI
        The application; its own `docs_url` is None.
    """
    folder = Path(fastapi_offline.__file__).parent / "static"
    app.mount(STATIC, StaticFiles(directory=folder), name="docs")

    @app.get(DOCS, include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        base = request.scope.get("root_path", "")
        return get_swagger_ui_html(
            openapi_url=f"{base}{app.openapi_url}",
            title=app.title,
            swagger_js_url=f"{base}{STATIC}/swagger-ui-bundle.js",
            swagger_css_url=f"{base}{STATIC}/swagger-ui.css",
            swagger_favicon_url=f"{base}{STATIC}/favicon.png",
        )
