"""The API of a bundle: its routes, and what it documents."""

from pathlib import Path
from typing import Annotated, Any, NotRequired

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from typing_extensions import TypedDict

from ..contract import Contract
from ..errors import UserError
from ..scoring import Scorer
from .route import BytesRoute, Ticks

MAX_ROWS = 10_000
INLINE_ROWS = 64  # more rows than these take long enough to be worth a thread


class Label(BaseModel):
    """A class, its probability, and the probabilities of all classes."""

    label: str
    probability: float
    probabilities: dict[str, float]


class Value(BaseModel):
    """A predicted quantity."""

    value: float


def row_type(contract: Contract) -> Any:
    """Build the type of one row from the contract: its fields, limits and documentation."""
    fields: dict[str, Any] = {}
    for name, column in contract.features.items():
        about = Field(description=column.description or None)
        kind: Any = column.request_type()
        if name in contract.lags:  # without the past nothing can be forecast; a gap in it is null
            fields[name] = Annotated[kind | None, about]
        elif column.nullable:
            fields[name] = NotRequired[Annotated[kind | None, about]]
        else:
            fields[name] = Annotated[kind, about]
    # A TypedDict, since a column may have any name, and its rows come as they are scored.
    row: Any = TypedDict("Row", fields)  # type: ignore[misc]
    row.__pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[attr-defined]
    return row


def create_app(folder: Path) -> FastAPI:
    """Make the API of a bundle.

    Where the bundle cannot be loaded the API starts all the same: it is alive but
    not ready, and says why with status 503.
    """
    try:
        return model_app(Scorer(folder))
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


def model_app(scorer: Scorer) -> FastAPI:
    """Make the API of a loaded bundle."""
    manifest, contract = scorer.manifest, scorer.contract
    version = scorer.version.get("version", "unregistered")
    target = contract.columns[contract.target]
    row: Any = row_type(contract)
    answer: Any = Label if manifest.classes else Value

    class Rows(BaseModel):
        """One row or many."""

        model_config = ConfigDict(
            json_schema_extra={"examples": [{"rows": [contract.example()]}]}, extra="forbid"
        )
        rows: Annotated[list[row], Field(min_length=1, max_length=MAX_ROWS)]

    class Predictions(BaseModel):
        """An answer for each row, in order."""

        predictions: list[answer]
        model_version: str

    app = FastAPIOffline(
        title=f"{contract.target} ({manifest.family}, version {version})",
        description=target.description,
        version=version,
        redoc_url=None,
    )

    ticks = Ticks(scorer.score)

    async def predict(body: Rows) -> Predictions:
        """Predict each row. A field that may be null may be left out."""
        rows: list[dict[str, Any]] = body.rows
        many = len(rows) > INLINE_ROWS
        predictions = await (run_in_threadpool(scorer.score, rows) if many else ticks(rows))
        return {"predictions": predictions, "model_version": version}  # type: ignore[return-value]

    app.router.add_api_route("/predict", predict, methods=["POST"], route_class_override=BytesRoute)

    @app.get("/model")
    async def model() -> dict[str, Any]:
        """Tell which model answers, how good it is, and where it comes from."""
        described = manifest.model_dump(exclude={"files"})
        return {"version": version, "alias": scorer.version.get("alias"), **described}

    @app.get("/health/live")
    async def live() -> dict[str, str]:
        """Answer as long as the process does."""
        return {"status": "alive"}

    @app.get("/health/ready")
    async def ready() -> dict[str, str]:
        """Answer once the model does."""
        scorer.score([TypeAdapter(row).validate_python(contract.example())])
        return {"status": "ready"}

    return app
