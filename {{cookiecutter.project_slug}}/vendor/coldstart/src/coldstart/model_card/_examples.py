"""Cases: three test rows to show what the model does well, badly, and in doubt."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl

from coldstart.bundle._bundle import Manifest
from coldstart.data._dataset import Dataset
from coldstart.train._evaluation import HeldOutPredictions


def cases(dataset: Dataset, manifest: Manifest, held: HeldOutPredictions) -> list[dict[str, Any]]:
    """Choose among rows that were predicted by models that had not seen them.

    Returns
    -------
    list of dict
        At most one of each `kind`: `right`, `wrong` and `uncertain` (of a quantity, whose error
        is the median, `middling`), with the `truth`, what was `said`, and the `row` as the API
        takes it. None where a feature tells who somebody is: this is shown to everybody.
    """
    if any(column.personal for column in dataset.contract.features.values()):
        return []
    prediction = held.prediction.mean(axis=0)
    chosen = pick_class_examples(held, prediction, manifest) if dataset.classes else of_values(held)
    target = dataset.contract.target
    names = list(dataset.contract.features)
    found = []
    for kind, at in chosen.items():
        row = dataset.table[[int(held.rows[at])]]
        if dataset.classes:
            label = int(held.labels[0, at])
            probability = float(prediction[at, label])
            said = {"label": dataset.classes[label], "probability": probability}
            truth: Any = row[target].cast(pl.String).item()
        else:
            said, truth = {"value": float(prediction[at, 0])}, row[target].item()
        # Polars writes days as the API reads them.
        (features,) = json.loads(row.select(names).write_json())
        found.append({"kind": kind, "truth": truth, "said": said, "row": features})
    return found


def pick_class_examples(held: HeldOutPredictions, prediction: np.ndarray, manifest: Manifest) -> dict[str, int]:
    """Choose places among rows that have classes.

    Right is of the rarest class that was ever told rightly, since the common one is easy.
    """
    labels, places = held.labels[0], np.arange(len(held.rows))
    sure = prediction[places, labels]
    if manifest.threshold is not None:
        doubt = np.abs(prediction[:, 1] - manifest.threshold)
    else:
        likeliest = np.sort(prediction, axis=1)
        doubt = likeliest[:, -1] - likeliest[:, -2]
    hit = labels == held.target
    found = {}
    if hit.any():
        counts = np.bincount(held.target[hit])
        rarest = np.flatnonzero(counts)[np.argmin(counts[counts > 0])]
        found["right"] = best(sure, hit & (held.target == rarest))
    if not hit.all():
        found["wrong"] = best(sure, ~hit)
    others = ~np.isin(places, list(found.values()))
    if others.any():
        found["uncertain"] = best(-doubt, others)
    return found


def of_values(held: HeldOutPredictions) -> dict[str, int]:
    """Choose places among rows that have quantities, by the error."""
    order = np.argsort(np.abs(held.prediction.mean(axis=0)[:, 0] - held.target), kind="stable")
    places = {"right": 0, "wrong": len(order) - 1, "middling": len(order) // 2}
    return {kind: int(order[place]) for kind, place in places.items()}


def best(scores: np.ndarray, among: np.ndarray) -> int:
    """Place of the largest score among some."""
    return int(np.argmax(np.where(among, scores, -np.inf)))
