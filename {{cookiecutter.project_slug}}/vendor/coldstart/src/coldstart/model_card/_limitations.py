"""What a model's run itself shows against relying on it."""

from __future__ import annotations

import numpy as np
import polars as pl

from coldstart._markdown import code, percent
from coldstart.bundle._bundle import Manifest
from coldstart.data._dataset import Dataset
from coldstart.train._evaluation import HeldOutPredictions
from coldstart.train._slices import rarer
from coldstart.train._summary import FEW

OFTEN = 0.3  # share of missing values that is worth a word
RARE = 0.05  # share of a class


def limitations(dataset: Dataset, manifest: Manifest, held: HeldOutPredictions) -> list[str]:
    """Sentences, each of which is true of this run.

    Parameters
    ----------
    held
        Predictions of the test rows.
    """
    contract, metrics, name = dataset.contract, manifest.metrics, manifest.metrics["primary"]
    low = metrics["interval"][0]
    said = ["It tells what goes with the target in these rows, and not what causes it."]
    if low <= metrics["baseline"][name]:
        said.append("On the test rows it is not better, beyond noise, than ignoring the input.")
    elif low <= metrics["column"][name]:
        column = code(metrics["column"]["name"])
        said.append(f"It is not better, beyond noise, than {column} alone.")
    if len(held.target) < FEW:
        said.append(f"{len(held.target)} rows judge it: take the score as a hint.")
    elif len(dataset.classes) == 2 and (few := rarer(held.target)) < FEW:
        said.append(f"The rarer class has {few} test rows: take the score as a hint.")
    if time := contract.names("time"):
        last = str(dataset.table[time[0]].dt.date().max())
        said.append(f"The rows end on {last}: of what has changed since, it knows nothing.")
    else:
        said.append(
            "No column tells when a row is from, so that the test rows are no later than the "
            "others: whether it lasts, they cannot show."
        )
    if len(dataset.table) == manifest.provenance["settings"]["training_rows"]:
        said.append("The rows are a random sample of more (`training_rows` in config.yaml).")
    gaps = {column: missing(dataset.table[column]) for column in contract.features}
    often = {column: gap for column, gap in gaps.items() if gap >= OFTEN}
    if often:
        named = ", ".join(f"{code(column)} ({percent(gap)})" for column, gap in often.items())
        said.append(
            f"Often missing: {named}. Where they come to be missing for another reason, it may err."
        )
    if dataset.classes:
        shares = np.bincount(held.target, minlength=len(dataset.classes)) / len(held.target)
        rare = [
            f"{code(label)} ({percent(share)})"
            for label, share in zip(dataset.classes, shares, strict=True)
            if share < RARE
        ]
        if rare:
            said.append(f"Rare among the test rows: {', '.join(rare[:10])}.")
    personal = [code(column) for column, kind in contract.features.items() if kind.personal]
    if personal:
        said.append(f"It uses personal data: {', '.join(personal)}.")
    return said


def missing(values: pl.Series) -> float:
    """Share of missing values."""
    known = values.fill_nan(None) if values.dtype.is_float() else values
    return known.null_count() / len(known)
