"""Runs in the generated project: small tables, and a training of all model types that suit them.

Usage: python small_tables.py make TABLE FOLDER
       python small_tables.py train PACKAGE FILE

`train` runs where the table, its contract and config.yaml are. It writes to the file, as JSON, how
many model types were trained, the s of CPU time before the training (Python, imports, an empty
database for MLflow), of the training, and of its fits alone.
"""

# The generated project's environment has these libraries, the template's has not.
# mypy: ignore-errors

import json
import os
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import polars as pl
import wire
import yaml

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the project's `train` does


def make(name: str, folder: Path) -> None:
    """Write a table of the given size and target, its contract and config.yaml."""
    rows, columns, target = name.split()
    rng = np.random.default_rng(0)
    table, signal = draw(rng, int(rows), int(columns))
    noisy = signal + rng.normal(0, 1, len(signal))
    classes = {"binary": 2, "classes": 3}.get(target)
    if classes:
        limits = np.quantile(noisy, np.linspace(0, 1, classes + 1)[1:-1])
        values = [f"class {number}" for number in np.digitize(noisy, limits)]
    else:
        values = noisy.tolist()
    contract = {
        column: {"type": "category" if kind == pl.String else "number", "available": "before"}
        for column, kind in table.schema.items()
    }
    contract["target"] = {"type": "category" if classes else "number", "role": "target"}
    folder.mkdir(parents=True)
    table.with_columns(target=pl.Series(values)).write_csv(folder / "table.csv")
    (folder / "schema.yaml").write_text(yaml.safe_dump({"columns": contract}, sort_keys=False))
    (folder / "config.yaml").write_text("data: {table: table.csv}\nbudget: 1h\n")


def draw(rng: np.random.Generator, rows: int, columns: int) -> tuple[pl.DataFrame, np.ndarray]:
    """Draw numbers, some of them missing, and of tables of usual width a quarter categories."""
    categories = columns // 4 if columns < 100 else 0
    numbers = rng.normal(size=(rows, columns - categories))
    signal = numbers[:, 0] + numbers[:, 1] * numbers[:, 2]
    numbers[rng.random(numbers.shape) < 0.02] = np.nan
    codes = rng.integers(0, 8, (rows, categories))
    if categories:
        signal = signal + rng.normal(size=8)[codes[:, 0]]
    table = {f"number {i}": column for i, column in enumerate(numbers.round(4).T)}
    table |= {f"category {i}": [f"v{code}" for code in column] for i, column in enumerate(codes.T)}
    return pl.DataFrame(table).fill_nan(None), signal


def train(package: str, file: str) -> None:
    """Train all model types that suit."""
    training = import_module(f"{package}.train")
    from coldstart.tracking import connect
    from coldstart.train import _fitting

    fit, fits = _fitting.Fitter.fit, {}

    def timed(self, *arguments):
        before = _fitting.cpu_seconds()
        try:
            return fit(self, *arguments)
        finally:
            name = self.family.__name__
            fits[name] = fits.get(name, 0) + _fitting.cpu_seconds() - before

    _fitting.Fitter.fit = timed
    settings = wire.load_settings(package)
    connect(settings)
    start = _fitting.cpu_seconds()
    training.train(settings)
    cpu = _fitting.cpu_seconds() - start
    told = {"models": len(fits), "start": start, "cpu": cpu, "fits": sum(fits.values())}
    Path(file).write_text(json.dumps(told))


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(sys.argv[2], Path(sys.argv[3]))
    else:
        train(*sys.argv[2:])
