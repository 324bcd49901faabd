"""The Open Inference Protocol (V2) of KServe and Triton, beside `/predict`.

Inputs are the contract's columns, and outputs what `/predict` returns. A client may send binary
tensors; outputs are JSON. Keys, limits, validation, log and metrics are those of `/predict`.

References
----------
https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, ClassVar

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.types import Receive, Scope, Send

from coldstart.serve._route import BytesRoute, send_json, validation_detail
from coldstart.serve._tensors import (
    InferenceRequest,
    inputs_of,
    outputs_of,
    read_rows,
    refused,
    write_outputs,
)

if TYPE_CHECKING:
    from coldstart.serve._service import ModelService

HEADER_LENGTH = b"inference-header-content-length"  # of the JSON, before binary tensors
BINARY = ("", "application/octet-stream")


class UnknownModelError(Exception):
    """A request is about another model than the one that serves."""


class InferenceRoute(BytesRoute):
    """The route of predictions: as `/predict`, with tensors for rows.

    Attributes
    ----------
    service : ModelService
        The loaded model.
    model : str
        Its name.
    """

    service: ClassVar[Any]
    model: ClassVar[str]

    async def respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to a request, if it is for the model that serves."""
        path = scope.get("path_params") or {}
        model, version = path.get("model", self.model), path.get("version", self.service.version)
        if (model, version) != (self.model, self.service.version):
            why = f"there is no model {model}, version {version}"
            await send_json(send, 404, self.error_body(why))
            return
        await super().respond(scope, receive, send)

    def accepts(self, kind: str, scope: Scope) -> bool:
        """Return whether a body is JSON, or says where its JSON ends.

        Triton's client names the type of neither. A page of another origin may not send them
        unasked: a browser says where a page is from, and the header of the latter is not one of
        the usual ones.
        """
        if kind in BINARY and json_length(scope) is not None:
            return True
        unnamed = not kind and all(name != b"origin" for name, _ in scope["headers"])
        return unnamed or super().accepts(kind, scope)

    def parse(self, content: bytes, scope: Scope) -> InferenceRequest:
        """Read the tensors, and validate their rows as `/predict` does."""
        length = json_length(scope)
        if length is None:
            length = len(content)
        request: InferenceRequest = self.validate(content[:length])
        rows = read_rows(request, memoryview(content)[length:], self.service.fields)
        request._rows = self.service.validate_rows(rows)
        return request

    def invalid(self, error: ValidationError) -> tuple[int, bytes]:
        """Return the protocol's response to a body that is not valid."""
        problem = validation_detail(error)[0]
        where = ".".join(str(part) for part in problem["loc"][1:])
        return 400, self.error_body(f"{where}: {problem['msg']}")

    def error_body(self, detail: Any) -> bytes:
        """Return the protocol's body of a response that reports an error."""
        return json.dumps({"error": detail}).encode()


def json_length(scope: Scope) -> int | None:
    """Return how many bytes of the body are JSON, if the request says so.

    Raises
    ------
    RefusedError
        If it is not a number.
    """
    for name, value in scope["headers"]:
        if name == HEADER_LENGTH:
            if not re.fullmatch(rb"\d{1,12}", value):
                raise refused("Inference-Header-Content-Length is not a number")
            return int(value)
    return None


def add_inference(app: FastAPI, service: ModelService) -> None:
    """Add the protocol's routes.

    Parameters
    ----------
    app : FastAPI
        The application.
    service : ModelService
        The loaded model.
    """
    name = model_name(service)
    attributes = {**vars(service.route_class), "files": {}, "service": service, "model": name}
    route = type("PredictionTensors", (InferenceRoute,), attributes)
    tensors, router = APIRouter(route_class=route), APIRouter()

    async def infer(body: InferenceRequest) -> dict[str, Any]:
        answer = await service.predict(body.rows)
        classes = service.champion.predictor.manifest.classes
        outputs = write_outputs(answer["predictions"], classes, body.outputs)
        about = {"model_name": name, "model_version": answer["model_version"]}
        return {**about, **({"id": body.id} if body.id else {}), "outputs": outputs}

    # The first one is found without a search, and counted by its name.
    for path in (f"/v2/models/{name}/infer", "/v2/models/{model}/infer"):
        tensors.post(path, include_in_schema=False)(infer)
    tensors.post("/v2/models/{model}/versions/{version}/infer", include_in_schema=False)(infer)

    def check(model: str, version: str = "") -> None:
        if model != name or version not in ("", service.version):
            raise UnknownModelError(
                f"there is no model {model}{version and f', version {version}'}"
            )

    @router.get("/v2/health/live", include_in_schema=False)
    async def live() -> dict[str, bool]:
        return {"live": True}

    @router.get("/v2/health/ready", include_in_schema=False)
    def ready() -> dict[str, bool]:
        service.readiness()
        return {"ready": True}

    @router.get("/v2", include_in_schema=False)
    async def server() -> dict[str, Any]:
        return {"name": service.title, "version": service.version, "extensions": []}

    @router.get("/v2/models/{model}", include_in_schema=False)
    @router.get("/v2/models/{model}/versions/{version}", include_in_schema=False)
    async def metadata(model: str, version: str = "") -> dict[str, Any]:
        check(model, version)
        predictor = service.champion.predictor
        manifest = predictor.manifest
        conformal = manifest.conformal is not None and manifest.conformal.exists
        return {
            "name": name,
            "versions": [service.version],
            "platform": "onnx_onnxv1",
            "inputs": inputs_of(predictor.contract),
            "outputs": outputs_of(manifest.classes, conformal),
        }

    @router.get("/v2/models/{model}/ready", include_in_schema=False)
    @router.get("/v2/models/{model}/versions/{version}/ready", include_in_schema=False)
    def model_ready(model: str, version: str = "") -> dict[str, Any]:
        check(model, version)
        service.readiness()
        return {"name": name, "ready": True}

    @app.exception_handler(UnknownModelError)
    async def not_found(request: Request, error: UnknownModelError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 404)

    app.include_router(tensors)
    app.include_router(router)


def model_name(service: ModelService) -> str:
    """Return the name of the model in the registry, or of its target, as part of a path."""
    predictor = service.champion.predictor
    return re.sub(r"[^\w.-]", "_", predictor.version.get("name") or predictor.manifest.target)
