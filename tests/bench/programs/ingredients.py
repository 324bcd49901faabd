"""Runs in the generated project: writes bodies of requests, and the right predictions.

Usage: python ingredients.py PACKAGE BUNDLE FOLDER

api-N.jsonl        bodies of N rows each, for this project's API
mlflow-N.jsonl     the same rows as MLflow takes them for the logged model
answers-N.jsonl    the probabilities that the bundle gives for them
frames-N.jsonl     the same rows as MLflow takes them for a model of DataFrames
pipeline.joblib    the bundle's model as it was before its export, fitted on DataFrames
pipeline           the same, as MLflow keeps it
"""

# The generated project's environment has these libraries, the template's has not.
# mypy: disable-error-code="import-not-found, import-untyped"

import json
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import joblib
import mlflow
import pandas as pd
import wire
from dataframes import frame

from coldstart.data._dataset import encode
from coldstart.train import Context

BODIES = {1: 256, 32: 64}  # rows in a body, and how many bodies differ
LIBRARIES = ["fastapi", "uvicorn", "onnxruntime", "scikit-learn", "torch", "mlflow"]


def main(package: str, bundle: Path, folder: Path) -> None:
    """Write them all, and print the model's family and the libraries' versions."""
    predictor, settings, dataset = wire.load_project(package, bundle)
    contract = dataset.contract
    table = dataset.table[dataset.test_rows].select(list(contract.features))
    for size, bodies in BODIES.items():
        drawn = table.sample(size * bodies, seed=size)
        parts = [drawn.slice(start, size) for start in range(0, len(drawn), size)]
        encoded = [encode(contract, part) for part in parts]
        write(folder / f"api-{size}.jsonl", [{"rows": part.to_dicts()} for part in parts])
        typed = [{"columns": part.columns, "data": list(part.iter_rows())} for part in parts]
        write(folder / f"mlflow-{size}.jsonl", [{"dataframe_split": part} for part in typed])
        frames = [as_split(frame(contract, part.to_dicts())) for part in parts]
        write(folder / f"frames-{size}.jsonl", [{"dataframe_split": part} for part in frames])
        write(
            folder / f"answers-{size}.jsonl", [predictor.predict(part).tolist() for part in encoded]
        )

    family = predictor.manifest.family
    fitted = dataset.fitting_rows
    target, rows = dataset.target(fitted), dataset.table[fitted].to_dicts()
    context = Context(
        contract=contract,
        seed=settings.seed,
        neural=settings.neural,
        target=target,
        checkpoints=folder / "checkpoints",
    )
    pipeline = import_module(f"{package}.models").FAMILIES[family](context)
    pipeline.fit(frame(contract, rows), target)
    joblib.dump(pipeline, folder / "pipeline.joblib")
    mlflow.sklearn.save_model(
        pipeline,
        folder / "pipeline",
        serialization_format="cloudpickle",
        signature=mlflow.models.infer_signature(frame(contract, rows)),
        pip_requirements=["mlflow"],  # else inferred, which takes 20 s
        pyfunc_predict_fn="predict_proba",
    )
    facts = {"family": family, "features": str(len(contract.features))}
    print(json.dumps(facts | {name: version(name) for name in LIBRARIES}))


def as_split(table: pd.DataFrame) -> dict[str, Any]:
    """A DataFrame as JSON has it: null for a missing number."""
    rows = table.astype(object).where(table.notna(), None)
    return {"columns": list(table.columns), "data": rows.to_numpy().tolist()}


def write(path: Path, lines: list[Any]) -> None:
    """Write values, each as a line of JSON."""
    path.write_text("".join(json.dumps(line, default=str) + "\n" for line in lines))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
