"""Predictions of the test rows, which a bundle keeps to be compared by."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from coldstart.bundle._bundle import TESTED
from coldstart.bundle._predictor import BundlePredictor
from coldstart.data._dataset import Dataset
from coldstart.train._clusters import clusters
from coldstart.train._evaluation import HeldOutPredictions
from coldstart.train._folds import held_out_predictions


def keep_tested(held: HeldOutPredictions, path: Path, numbers: int) -> None:
    """Write predictions of the test rows, of a random part of them if they are very many."""
    repeats, rows, width = held.prediction.shape
    kept = min(rows, max(1, numbers // (repeats * width)))
    chosen = np.sort(np.random.default_rng(0).permutation(rows)[:kept])
    held = held[chosen]
    columns = {f"prediction {i}": held.prediction[:, :, i].ravel() for i in range(width)}
    pl.DataFrame(
        {
            "repeat": np.repeat(np.arange(repeats), kept),
            "row": np.tile(held.rows, repeats),
            **{name: values.astype(np.float32) for name, values in columns.items()},
            "label": held.labels.ravel(),
        }
    ).write_csv(path)


def tested(predictor: BundlePredictor, dataset: Dataset) -> HeldOutPredictions:
    """Return the predictions of the test rows that a bundle keeps."""
    return read_tested(predictor.folder / TESTED, dataset)


def read_tested(path: Path, dataset: Dataset) -> HeldOutPredictions:
    """Read the predictions that `keep_tested` wrote."""
    table = pl.read_csv(path).sort("repeat", "row")
    repeats = table["repeat"].n_unique()
    rows = table["row"].to_numpy().reshape(repeats, -1)[0]
    prediction = table.select(pl.col("^prediction .*$")).to_numpy()
    return held_out_predictions(
        dataset,
        rows,
        prediction.reshape(repeats, len(rows), -1),
        table["label"].to_numpy().reshape(repeats, -1),
        clusters(dataset, rows),
    )
