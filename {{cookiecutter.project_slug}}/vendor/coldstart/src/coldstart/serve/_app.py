"""The API of a project around the bundle in a folder."""

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from coldstart._project import Project
from coldstart.config._sections import ServingSettings
from coldstart.contract._derived import register_derived
from coldstart.errors import UserError
from coldstart.serve._origins import allow_origins
from coldstart.serve._service import open_service


def open_app(project: Project, folder: Path, settings: ServingSettings) -> FastAPI:
    """Load a bundle and make the project's API of it.

    Parameters
    ----------
    project : Project
        The project, with the application and the derived columns.
    folder : Path
        The bundle.
    settings : ServingSettings
        The section `serving` of config.yaml.

    Returns
    -------
    FastAPI
        The application that the project's `create_app` returns.

    Raises
    ------
    UserError
        If the bundle cannot be used.
    """
    if project.derived:
        register_derived(project.load("derived"))
    app: FastAPI = project.load("app")(open_service(folder, settings, project))
    return app


def create_app(
    project: Project,
    folder: Path,
    settings: ServingSettings = ServingSettings(),  # noqa: B008 (it is not changed)
) -> FastAPI:
    """Make the project's API of a bundle, even if the bundle cannot be loaded.

    The API is then alive but not ready: other requests get status 503, and the reason.

    Parameters
    ----------
    project : Project
        The project, with the application and the derived columns.
    folder : Path
        The bundle.
    settings : ServingSettings
        The section `serving` of config.yaml.

    Returns
    -------
    FastAPI
        The application.
    """
    try:
        return open_app(project, folder, settings)
    except UserError as error:
        body = {"detail": str(error)}

    app = FastAPI()

    @app.get("/v2/health/live")
    @app.get("/health/live")
    async def live() -> dict[str, str]:
        return {"status": "alive"}

    @app.api_route("/{path:path}", methods=["GET", "POST"], include_in_schema=False)
    async def not_ready(path: str) -> JSONResponse:
        return JSONResponse(body, status_code=503)

    stack = app.build_middleware_stack()
    app.middleware_stack = allow_origins(stack, settings.origins, ("GET", "POST"))
    return app
