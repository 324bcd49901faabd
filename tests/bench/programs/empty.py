"""Runs in the generated project: validates the body as its API does, and computes nothing.

Usage: python empty.py PACKAGE BUNDLE PORT WORKERS

What FastAPI alone takes, and so the most that an API of a model in FastAPI can reach.
"""

# The generated project's environment has these libraries, the template's has not.
# mypy: disable-error-code="import-not-found, import-untyped, untyped-decorator"

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
import wire
from fastapi import FastAPI
from uvicorn.supervisors import Multiprocess


def create_app(package: str, bundle: Path) -> FastAPI:
    """Make the endpoint."""
    classes = json.loads((bundle / "bundle.json").read_text())["classes"]
    rows_type: Any
    rows_type, predictions_type = wire.models(wire.load_contract(package, bundle))
    share = 1 / len(classes)
    answer = {"label": classes[0], "probability": share}
    answer["probabilities"] = dict.fromkeys(classes, share)
    app = FastAPI()

    @app.post("/predict", response_model=predictions_type)
    async def predict(body: rows_type) -> Any:
        return {"predictions": [answer] * len(body.rows), "model_version": "1"}

    return app


if __name__ == "__main__":
    make = partial(create_app, sys.argv[1], Path(sys.argv[2]))
    port, workers = int(sys.argv[3]), int(sys.argv[4])
    about: dict[str, Any] = {"port": port, "log_level": "warning", "access_log": False}
    if workers == 1:
        uvicorn.run(make(), **about)
    else:
        config = uvicorn.Config(make, factory=True, workers=workers, **about)
        Multiprocess(config, sockets=[config.bind_socket()]).run()
