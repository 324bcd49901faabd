"""Runs in the baked project: a file of many rows for its API, and what came back for it.

Usage: python files.py PACKAGE make BUNDLE ROWS FOLDER
       python files.py PACKAGE check CSV|ARROW FOLDER ROWS

`make` writes rows.csv, rows.arrow (a stream) and right.npy, the probabilities of the first
rows, after which they repeat. `check` reads what was answered, which is in the same folder.
"""

# The baked project's environment has these libraries, the template's has not.
# mypy: disable-error-code="import-not-found"

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl


def make(package: str, bundle: Path, rows: int, folder: Path) -> dict[str, Any]:
    """Write rows as the test rows have them, as many as wanted."""
    preparation = import_module(f"{package}.preparation")
    scorer = import_module(f"{package}.scoring").Scorer(bundle)
    prepared = preparation.load(import_module(f"{package}.settings").Settings())
    division = prepared.rounds[0]
    table = prepared.table[division.test].select(list(prepared.contract.features))
    np.save(folder / "right.npy", scorer.predict(preparation.encode(prepared.contract, table)))
    many = pl.concat([table] * (rows // len(table) + 1)).head(rows)
    many.write_csv(folder / "rows.csv")
    many.write_ipc_stream(folder / "rows.arrow")
    return {"family": scorer.manifest.family}


def check(kind: str, folder: Path, rows: int) -> dict[str, Any]:
    """Compare the answers with what the bundle gives."""
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
