"""Runs in the generated project: large tables, and what others need to read, clean and write one.

Usage: python tables.py make ROWS FOLDER
       python tables.py polars|pandas TABLE OUT
"""

# The generated project's environment has these libraries, the template's has not.
# mypy: disable-error-code="import-not-found, import-untyped"

import sys
from pathlib import Path

import numpy as np
import polars as pl

SLICE = 250_000  # rows in memory at a time


def make(rows: int, folder: Path) -> None:
    """Write table.csv and table.parquet, with ten columns of every type."""
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    writer = None
    with (folder / "table.csv").open("wb") as csv:
        for first in range(0, rows, SLICE):
            part = draw(rng, first, min(SLICE, rows - first))
            part.write_csv(csv, include_header=first == 0)
            table = part.with_columns(pl.col("day").str.to_date()).to_arrow()
            writer = writer or pq.ParquetWriter(folder / "table.parquet", table.schema)
            writer.write_table(table)
    if writer:
        writer.close()


def draw(rng: np.random.Generator, first: int, rows: int) -> pl.DataFrame:
    """Draw rows; some have no speed, and some no target."""
    speed = rng.normal(50, 10, rows).round(1)
    target = speed + rng.normal(0, 10, rows) > 60
    days = np.datetime64("2020-01-01") + rng.integers(0, 1500, rows)
    return pl.DataFrame(
        {
            "id": np.arange(first, first + rows),
            "amount": rng.lognormal(3, 1, rows).round(2),
            "speed": pl.Series(np.where(rng.random(rows) < 0.05, np.nan, speed)).fill_nan(None),
            "count": rng.integers(0, 100, rows),
            "city": rng.choice(["Berlin", "Madrid", "Oslo", "Paris", "Rome"], rows),
            "kind": rng.choice([f"k{number}" for number in range(200)], rows),
            "flag": rng.choice(["yes", "no"], rows),
            "day": days.astype(str),
            "rate": rng.random(rows).round(4),
            "target": pl.Series(np.where(rng.random(rows) < 0.01, np.nan, target))
            .fill_nan(None)
            .cast(pl.Int64),
        }
    )


def with_polars(table: Path, out: Path) -> None:
    """Read, filter and write once, streaming."""
    scan = pl.scan_csv if table.suffix == ".csv" else pl.scan_parquet
    scan(table).filter(pl.col("target").is_not_null()).sink_parquet(out)


def with_pandas(table: Path, out: Path) -> None:
    """Read, clean and write, as it is commonly done."""
    import pandas as pd

    frame = pd.read_csv(table) if table.suffix == ".csv" else pd.read_parquet(table)
    frame = frame.dropna(subset=["target"])
    for name in ("city", "kind"):
        frame[name] = frame[name].str.strip()
    frame["flag"] = frame["flag"].str.strip().map({"yes": True, "no": False})
    frame["day"] = pd.to_datetime(frame["day"], format="%Y-%m-%d")
    frame.to_parquet(out)


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(int(sys.argv[2]), Path(sys.argv[3]))
    else:
        run = {"polars": with_polars, "pandas": with_pandas}[sys.argv[1]]
        run(Path(sys.argv[2]), Path(sys.argv[3]))
