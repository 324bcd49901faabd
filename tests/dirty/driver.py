"""Runs in a project's environment: every case through its commands, in one process.

Usage: python -m dirty.driver PACKAGE PROJECT FOLDER [CASE ...]

Importing what the commands need takes longer than most cases; a process a case would
take half an hour. FOLDER/results.json tells what came out of each.
"""

# The project's environment has these libraries, the template's has not.
# mypy: disable-error-code="import-not-found, import-untyped"

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import json
import os
import shutil
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from coldstart import Dataset, Project, Settings
from coldstart.cli import main as command_line
from coldstart.data import Split, load
from coldstart.serve import create_app

from .cases import CASES, Case, Hopeless


def main(package: str, project: Path, folder: Path, names: list[str]) -> None:
    """Run the cases, each in a folder of its own."""
    warnings.simplefilter("ignore")
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
    own = importlib.import_module(f"{package}.__main__").PROJECT
    results: dict[str, Any] = {}
    for number, name in enumerate(names or CASES):
        place = folder / f"{number:02}"
        place.mkdir()
        for file in ("config.yaml", "schema.yaml"):
            shutil.copy(project / file, place)
        os.chdir(place)
        os.environ[f"{own.env_prefix}EXPERIMENT"] = f"case-{number}"  # so that none is compared
        start = time.perf_counter()
        results[name] = run(own, CASES[name])
        results[name]["seconds"] = round(time.perf_counter() - start, 1)
        sys.stderr.write(f"{name}: {results[name]['seconds']} s\n")
        (folder / "results.json").write_text(json.dumps(results, indent=1, default=str))


def run(own: Project, case: Case | Hopeless) -> dict[str, Any]:
    """Import the file of one case, prepare it, and train and request a model where it says so."""
    path, target = case.write(Path("brought"))
    before, settings = digest(path), digest(Path("config.yaml")) + digest(Path("schema.yaml"))
    result = call(own, "data", "--source", str(path), "--target", target)
    result["untouched"] = digest(path) == before
    kept = digest(Path("config.yaml")) + digest(Path("schema.yaml")) == settings
    if result["code"] != 0:
        return {**result, "settings_kept": kept}
    steps = ["train", "--models", "linear"] if case.trains else ["prepare"]
    result["then"] = call(own, *steps)
    if result["then"]["code"] == 0:
        result |= learned(own)
        if case.trains:
            result |= served(own)
    return result


def call(own: Project, *arguments: str) -> dict[str, Any]:
    """Run a command and return its exit code and what it printed."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = command_line(own, list(arguments))
        except (Exception, SystemExit):
            code = 1
            traceback.print_exc(file=err)
    return {"code": code, "out": out.getvalue(), "err": err.getvalue()}


def learned(own: Project) -> dict[str, Any]:
    """Return what the schema says, and what is in the columns and in the parts of the split."""
    dataset = load(Settings.load(own))
    contract, table = dataset.contract, dataset.table
    shown = [*contract.features, contract.target]
    drafted = yaml.safe_load(Path("schema.yaml").read_text(encoding="utf-8"))["columns"]
    return {
        "columns": {str(name): column for name, column in drafted.items()},
        "schema": Path("schema.yaml").read_text(encoding="utf-8"),
        "features": list(contract.features),
        "values": {name: sorted(map(written, table[name].to_list())) for name in shown},
        "classes": dataset.classes,
        "rows": len(table),
        "splits": [parts(dataset, split) for split in dataset.splits],
    }


def parts(dataset: Dataset, split: Split) -> dict[str, Any]:
    """Return how many rows each part of a split has, and what the parts have in common."""
    table, contract = dataset.table, dataset.contract
    seen = np.concatenate([split.train, split.validation])
    found: dict[str, Any] = {
        "rows": [len(split.train), len(split.validation), len(split.test)],
    }
    whole = table.select(contract.names("feature")).with_row_index("__row__")
    known = set(whole[seen].drop("__row__").rows())
    found["copies"] = sum(row in known for row in whole[split.test].drop("__row__").rows())
    for name in contract.names("group"):
        found["shared_groups"] = len(set(table[name][seen]) & set(table[name][split.test]))
    for name in contract.names("time"):
        last: Any = table[name][seen].max()
        found["in_order"] = bool(last <= table[name][split.test].min())
    return found


def served(own: Project) -> dict[str, Any]:
    """Return the metrics of the model, and its response to its own example request."""
    from fastapi.testclient import TestClient

    bundles = [Path("bundles") / alias for alias in ("challenger", "champion")]
    bundle = next(path for path in bundles if path.is_dir())
    client = TestClient(create_app(own, bundle))
    example = client.get("/openapi.json").json()["components"]["schemas"]["Rows"]["examples"][0]
    answer = client.post("/predict", json=example)
    metrics = json.loads((bundle / "bundle.json").read_text())["metrics"]
    return {"metrics": metrics, "status": answer.status_code, "answer": answer.json()}


def written(value: Any) -> str:
    """Write a value in the same way whatever its type: 12 and 12.0 are one number."""
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, int | float):
        return f"{value:.6g}"
    return " ".join(str(value).split())


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, or of all files of a folder and their names."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    whole = b"".join(file.name.encode() + file.read_bytes() for file in files if file.is_file())
    return hashlib.sha256(whole).hexdigest()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).resolve(), Path(sys.argv[3]).resolve(), sys.argv[4:])
