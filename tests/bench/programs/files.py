"""Runs in the generated project: a file of many rows for its API, and what came back for it.

Usage: python files.py PACKAGE make BUNDLE ROWS FOLDER
       python files.py PACKAGE check CSV|ARROW FOLDER ROWS

`make` writes rows.csv, rows.arrow (a stream) and right.npy, the probabilities of the first
rows, after which they repeat. `check` reads the predictions, which are in the same folder.
"""

# The generated project's environment has these libraries, the template's has not.
# mypy: disable-error-code="import-not-found"

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import wire

from coldstart.data._dataset import encode


def make(package: str, bundle: Path, rows: int, folder: Path) -> dict[str, Any]:
    """Write rows as the test rows have them, as many as wanted."""
    predictor, _, dataset = wire.load_project(package, bundle)
    table = dataset.table[dataset.test_rows].select(list(dataset.contract.features))
    np.save(folder / "right.npy", predictor.predict(encode(dataset.contract, table)))
    many = pl.concat([table] * (rows // len(table) + 1)).head(rows)
    many.write_csv(folder / "rows.csv")
    many.write_ipc_stream(folder / "rows.arrow")
    return {"family": predictor.manifest.family}


def check(kind: str, folder: Path, rows: int) -> dict[str, Any]:
    """Compare the predictions with those of the bundle."""
    path = folder / f"answers.{kind}"
    found = pl.read_csv(path) if kind == "csv" else pl.read_ipc_stream(path)
    right = np.load(folder / "right.npy")
    right = np.tile(right, (rows // len(right) + 1, 1))[:rows]
    shares = found.select(pl.col("^probability .*$")).to_numpy()
    if shares.shape != right.shape:
        return {"rows": len(found), "difference": None}
    return {"rows": len(found), "difference": float(np.abs(shares - right).max())}


if __name__ == "__main__":
    package, what, first, second, third = sys.argv[1:]
    if what == "make":
        print(json.dumps(make(package, Path(first), int(second), Path(third))))
    else:
        print(json.dumps(check(first, Path(second), int(third))))
