"""Runs in the baked project: validates the body as its API does, and computes nothing.

Usage: python empty.py PACKAGE BUNDLE PORT

What FastAPI alone takes, and so the most that an API of a model in FastAPI can reach.
"""

# The baked project's environment has these libraries, the template's has not.
# mypy: disable-error-code="import-not-found, import-untyped, untyped-decorator"

import json
import sys
from pathlib import Path
from typing import Any

import uvicorn
import wire
from fastapi import FastAPI


def create_app(package: str, bundle: Path) -> FastAPI:
    """Make the endpoint."""
    classes = json.loads((bundle / "bundle.json").read_text())["classes"]
    rows_type: Any
    rows_type, predictions_type = wire.models(package, wire.load_contract(package, bundle))
    share = 1 / len(classes)
    answer = {"label": classes[0], "probability": share}
    answer["probabilities"] = dict.fromkeys(classes, share)
    app = FastAPI()

    @app.post("/predict", response_model=predictions_type)
    async def predict(body: rows_type) -> Any:
        return {"predictions": [answer] * len(body.rows), "model_version": "1"}

    return app


if __name__ == "__main__":
    app = create_app(sys.argv[1], Path(sys.argv[2]))
    uvicorn.run(app, port=int(sys.argv[3]), log_level="warning", access_log=False)
