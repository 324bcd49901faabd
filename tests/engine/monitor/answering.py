"""The API in a test: it predicts rows of a table, and logs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from fastapi.testclient import TestClient

from coldstart.config._sections import PredictionLogSettings, ServingSettings
from coldstart.serve import open_app
from engine.support import PROJECT

PART = 100  # rows of a request


def answer(rows: pl.DataFrame, names: list[str]) -> list[dict[str, Any]]:
    """Let this folder's champion predict rows by some columns, and log them in `served`.

    The file known.csv gets the other columns, and what identifies each row.
    """
    log = PredictionLogSettings(folder=Path("served").absolute())
    predictions = []
    with TestClient(
        open_app(PROJECT, Path("bundles/champion"), ServingSettings(record=log))
    ) as api:
        for number, part in enumerate(rows.select(names).iter_slices(PART)):
            body, headers = {"rows": part.to_dicts()}, {"X-Request-Id": f"request-{number}"}
            predictions += api.post("/predict", json=body, headers=headers).json()["predictions"]
    place = np.arange(len(rows))
    rows.drop(names).with_columns(
        pl.Series("request", [f"request-{number}" for number in place // PART]),
        pl.Series("row", place % PART),
    ).write_csv("known.csv")
    return predictions
