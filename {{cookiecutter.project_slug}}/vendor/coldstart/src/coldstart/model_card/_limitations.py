"""Limitations of a model that its own run shows."""

from __future__ import annotations

import numpy as np
import polars.selectors as cs

from coldstart._markdown import code, percent
from coldstart.bundle._bundle import Manifest
from coldstart.data._dataset import Dataset
from coldstart.train._evaluation import HeldOutPredictions
from coldstart.train._part_shift import part_shift
from coldstart.train._slices import rarer
from coldstart.train._summary import FEW, few_groups

OFTEN = 0.3  # share of missing values that is worth a word
RARE = 0.05  # share of a class


def limitations(dataset: Dataset, manifest: Manifest, held: HeldOutPredictions) -> list[str]:
    """Return the limitations that hold for this run, one sentence each."""
    contract, metrics, name = dataset.contract, manifest.metrics, manifest.metrics["primary"]
    low = metrics["interval"][0]
    said = ["The model shows associations in these rows, not causes."]
    if low <= metrics["baseline"][name]:
        said.append("On the test rows it is not significantly better than the dummy baseline.")
    elif low <= metrics["column"][name]:
        column = code(metrics["column"]["name"])
        said.append(f"It is not significantly better than the single-feature baseline ({column}).")
    if len(held.target) < FEW or few_groups(held):
        units = f" ({metrics['units']})" if metrics.get("units") else ""
        said.append(
            f"Only {len(held.target):,} rows{units} evaluate it: treat the score as a rough "
            "estimate."
        )
    elif len(dataset.classes) == 2 and (few := rarer(held.target)) < FEW:
        said.append(f"The rarer class has {few} test rows: treat the score as a rough estimate.")
    if shift := part_shift(dataset):
        said.append(
            f"Validation and test rows differ: {shift}. The model was chosen on the first, and may "
            "not be the best on the second."
        )
    if time := contract.names("time"):
        last = dataset.table[time[0]][dataset.fitting_rows].dt.date().max()
        said.append(f"The rows it was fitted on end on {last!s}. Later changes are unknown to it.")
    else:
        said.append(
            "No column holds the time of a row, so the test rows are not later than the others. "
            "They cannot show whether the score lasts."
        )
    if len(dataset.table) == manifest.provenance["settings"]["training_rows"]:
        said.append(
            "The rows are a random sample of a larger table (`training_rows` in config.yaml)."
        )
    values = dataset.table.select(list(contract.features)).with_columns(cs.float().fill_nan(None))
    gaps = values.null_count().row(0, named=True)
    shares = {column: gap / len(values) for column, gap in gaps.items()}
    often = {column: share for column, share in shares.items() if share >= OFTEN}
    if often:
        named = ", ".join(f"{code(column)} ({percent(gap)})" for column, gap in often.items())
        said.append(
            f"Often missing: {named}. Predictions may be wrong where the reason for gaps changes."
        )
    if dataset.classes:
        frequencies = np.bincount(held.target, minlength=len(dataset.classes)) / len(held.target)
        rare = [
            f"{code(label)} ({percent(share)})"
            for label, share in zip(dataset.classes, frequencies, strict=True)
            if share < RARE
        ]
        if rare:
            said.append(f"Rare among the test rows: {', '.join(rare[:10])}.")
    personal = [code(column) for column, kind in contract.features.items() if kind.personal]
    if personal:
        said.append(f"It uses personal data: {', '.join(personal)}.")
    return said
