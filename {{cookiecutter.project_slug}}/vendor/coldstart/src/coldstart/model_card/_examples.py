"""Examples: three test rows with a correct, an incorrect and an uncertain prediction."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl

from coldstart.bundle._bundle import Manifest
from coldstart.data._dataset import Dataset
from coldstart.train._evaluation import HeldOutPredictions


def choose_examples(
    dataset: Dataset, manifest: Manifest, held: HeldOutPredictions
) -> list[dict[str, Any]]:
    """Choose example rows for the demo page among those that were held out.

    Parameters
    ----------
    dataset : Dataset
        The prepared rows.
    manifest : Manifest
        With the decision threshold.
    held : HeldOutPredictions
        Predictions of the test rows.

    Returns
    -------
    list of dict
        At most one of each `kind`: `correct`, `incorrect` and `uncertain`; for a numeric target
        `smallest_error`, `largest_error` and `median_error`. Each with the `prediction`, the true
        `outcome`, and the `row` as the API takes it. Empty where a feature is personal: everybody
        may see these rows.
    """
    if any(column.personal for column in dataset.contract.features.values()):
        return []
    mean = held.prediction.mean(axis=0)
    chosen = pick_class_examples(held, mean, manifest) if dataset.classes else by_error(held)
    target = dataset.contract.target
    names = list(dataset.contract.features)
    examples = []
    for kind, at in chosen.items():
        row = dataset.table[[int(held.rows[at])]]
        prediction: dict[str, Any] = {"value": float(mean[at, 0])}
        outcome: Any = row[target].item()
        if dataset.classes:
            label = int(held.labels[0, at])
            prediction = {"label": dataset.classes[label], "probability": float(mean[at, label])}
            outcome = row[target].cast(pl.String).item()
        # Polars writes days as the API reads them.
        (features,) = json.loads(row.select(names).write_json())
        examples.append(
            {"kind": kind, "outcome": outcome, "prediction": prediction, "row": features}
        )
    return examples


def pick_class_examples(
    held: HeldOutPredictions, prediction: np.ndarray, manifest: Manifest
) -> dict[str, int]:
    """Choose places among rows that have classes.

    The correct one is of the rarest class that was ever predicted correctly, since the frequent
    one is easy.
    """
    labels, places = held.labels[0], np.arange(len(held.rows))
    confidence = prediction[places, labels]
    if manifest.threshold is not None:
        margin = np.abs(prediction[:, 1] - manifest.threshold)
    else:
        ordered = np.sort(prediction, axis=1)
        margin = ordered[:, -1] - ordered[:, -2]
    correct = labels == held.target
    found = {}
    if correct.any():
        counts = np.bincount(held.target[correct])
        rarest = np.flatnonzero(counts)[np.argmin(counts[counts > 0])]
        found["correct"] = largest(confidence, correct & (held.target == rarest))
    if not correct.all():
        found["incorrect"] = largest(confidence, ~correct)
    others = ~np.isin(places, list(found.values()))
    if others.any():
        found["uncertain"] = largest(-margin, others)
    return found


def by_error(held: HeldOutPredictions) -> dict[str, int]:
    """Choose places among rows of a numeric target, by the absolute error."""
    order = np.argsort(np.abs(held.prediction.mean(axis=0)[:, 0] - held.target), kind="stable")
    ranks = {"smallest_error": 0, "largest_error": len(order) - 1, "median_error": len(order) // 2}
    return {kind: int(order[rank]) for kind, rank in ranks.items()}


def largest(scores: np.ndarray, among: np.ndarray) -> int:
    """Return the place of the largest score among some."""
    return int(np.argmax(np.where(among, scores, -np.inf)))
