"""Runs in the generated project: the pickled scikit-learn pipeline, as it is commonly served.

Usage: python dataframes.py PACKAGE BUNDLE PIPELINE PORT
"""

# The generated project's environment has these libraries, the template's has not.
# mypy: disable-error-code="import-not-found, import-untyped, untyped-decorator"

import json
import sys
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import uvicorn
import wire
from fastapi import FastAPI


def create_app(package: str, bundle: Path, pickled: Path) -> FastAPI:
    """Make the endpoint."""
    contract = wire.load_contract(package, bundle)
    classes = json.loads((bundle / "bundle.json").read_text())["classes"]
    pipeline = joblib.load(pickled)
    rows_type: Any
    rows_type, predictions_type = wire.models(contract)
    app = FastAPI()

    # Not async: FastAPI's own advice for what keeps the processor busy for milliseconds.
    @app.post("/predict", response_model=predictions_type)
    def predict(body: rows_type) -> Any:
        probabilities = pipeline.predict_proba(frame(contract, body.rows))
        predictions = [
            {
                "label": classes[row.argmax()],
                "probability": row.max(),
                "probabilities": dict(zip(classes, row.tolist(), strict=True)),
            }
            for row in probabilities
        ]
        return {"predictions": predictions, "model_version": "1"}

    return app


def frame(contract: Any, rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return rows as the pipeline was fitted on them: numbers, derived columns, categories."""
    numbers, categories = contract.feature_names("numbers"), contract.feature_names("strings")
    table = pd.DataFrame(rows, columns=[*numbers, *categories])
    table[numbers] = table[numbers].astype("float64")
    table[categories] = table[categories].fillna("__missing__")
    columns = {name: table[name].to_numpy() for name in table}
    derived = {name: function(columns) for name, function in contract.derived.items()}
    table = table.assign(**derived)[[*numbers, *derived, *categories]]
    return table.astype(dict.fromkeys([*numbers, *derived], "float32"))


if __name__ == "__main__":
    app = create_app(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
    uvicorn.run(app, port=int(sys.argv[4]), log_level="warning", access_log=False)
