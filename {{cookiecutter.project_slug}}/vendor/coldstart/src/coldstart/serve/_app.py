"""The API of a project around the bundle in a folder."""

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from coldstart._project import Project
from coldstart.config._settings import ServingSettings
from coldstart.contract._derived import register_derived
from coldstart.errors import UserError
from coldstart.serve._service import open_service


def open_app(project: Project, folder: Path, settings: ServingSettings) -> FastAPI:
    """Load a bundle and make the project's API of it.

    Parameters
    ----------
    project : Project
        Hands over the application, and the derived columns.
    folder : Path
        The bundle.
    settings : ServingSettings
        The section `serving` of config.yaml.

    Raises
    ------
    UserError
        If the bundle cannot be used.
    """
    if project.derived:
        register_derived(project.load("derived"))
    app: FastAPI = project.load("app")(open_service(folder, settings))
    return app


def create_app(
    project: Project,
    folder: Path,
    settings: ServingSettings = ServingSettings(),  # noqa: B008 (it is not changed)
) -> FastAPI:
    """Make the project's API of a bundle; see `open_app`.

    Where the bundle cannot be loaded the API starts all the same: it is alive but not ready, and
    says why with status 503.
    """
    try:
        return open_app(project, folder, settings)
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
