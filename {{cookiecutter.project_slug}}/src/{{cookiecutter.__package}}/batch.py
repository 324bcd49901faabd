"""Batch prediction: a file of rows to a file of answers, a slice at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from tqdm import tqdm

from .errors import UserError
from .preparation import encode
from .reading import READERS, UNREADABLE, scan
from .scoring import Scorer
from .validation import Typing

ROWS = 50_000  # in memory at a time


def predict_file(bundle: Path, file: Path, out: Path) -> int:
    """Add a model's predictions to the rows of a file.

    Parameters
    ----------
    file, out
        CSV, TSV or Parquet, by their names. The columns of `file` are kept; a column
        that the contract lets be null may be absent. `out` appears when it is whole.

    Returns
    -------
    int
        Number of rows.

    Raises
    ------
    UserError
        If a file or the bundle cannot be used, or a value violates the contract.
    """
    if out.suffix not in (*READERS, ".parquet"):
        raise UserError(f"{out}: expected a name that ends in .csv, .tsv or .parquet")
    if out.exists() and file.exists() and out.samefile(file):
        raise UserError(f"{out} is the file that is read: choose another name")
    if not out.parent.is_dir():
        raise UserError(f"{out.parent}: there is no such folder")
    scorer = Scorer(bundle)
    unfinished = out.with_name(f".{out.name}.unfinished")
    try:
        rows = write(answers(scorer, file), unfinished, out.suffix)
        if not rows:
            raise UserError(f"{file} has no rows")
        unfinished.replace(out)
    finally:
        unfinished.unlink(missing_ok=True)
    return rows


def answers(scorer: Scorer, file: Path) -> Iterator[pl.DataFrame]:
    """Yield the file's rows with the predictions, slice by slice."""
    table = scan(file)
    features = scorer.contract.features
    try:
        present = set(table.collect_schema().names())
        if absent := [
            name for name in features if name not in present and not features[name].nullable
        ]:
            raise UserError(f"{file} has no column {', '.join(absent)}, which the model needs")
        if present.isdisjoint(features):
            raise UserError(f"{file} has none of the columns {', '.join(features)}")
        answer = {"label", *(f"probability {name}" for name in scorer.manifest.classes)}
        if taken := sorted(present & (answer if scorer.manifest.classes else {"value"})):
            raise UserError(f"{file} has a column {taken[0]!r} already; rename it")
        nulls = [pl.lit(None, pl.String).alias(name) for name in features if name not in present]
        typing = Typing(features)
        with tqdm(unit="row", unit_scale=True, disable=None, leave=False) as bar:
            for rows in table.collect_batches(chunk_size=ROWS, lazy=True):
                typed = typing(rows.with_columns(nulls))
                typing.check(lambda row: f"{file}, line {row + 2}")
                # As float64, which prints as the API's answers do.
                prediction = scorer.predict(encode(scorer.contract, typed)).astype(np.float64)
                bar.update(len(rows))
                classes = scorer.manifest.classes
                if not classes:
                    yield rows.with_columns(pl.Series("value", prediction[:, 0]))
                    continue
                labels = [classes[label] for label in scorer.labels(prediction)]
                shares = [
                    pl.Series(f"probability {name}", prediction[:, i])
                    for i, name in enumerate(classes)
                ]
                yield rows.with_columns(pl.Series("label", labels), *shares)
    except UNREADABLE as error:
        raise UserError(f"{file} cannot be read: {str(error).splitlines()[0]}") from None


def write(slices: Iterator[pl.DataFrame], path: Path, suffix: str) -> int:
    """Write slices to a file of the kind that the suffix names; return the number of rows."""
    rows = 0
    if suffix in READERS:
        with path.open("wb") as file:
            for part in slices:
                part.write_csv(file, separator=READERS[suffix], include_header=rows == 0)
                rows += len(part)
        return rows
    writer = None
    try:
        for part in slices:
            table = part.to_arrow()
            writer = writer or pq.ParquetWriter(path, table.schema)
            writer.write_table(table)
            rows += len(part)
    finally:
        if writer:
            writer.close()
    return rows
