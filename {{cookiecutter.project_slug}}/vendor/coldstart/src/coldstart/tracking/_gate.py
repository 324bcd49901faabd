"""The gate: whether a challenger may become the champion."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from pydantic import BaseModel, ValidationError

from coldstart.bundle._bundle import MANIFEST, MODEL, Manifest
from coldstart.bundle._predictor import BundlePredictor
from coldstart.contract._contract import EncodedFeatures
from coldstart.data._dataset import Dataset, encode
from coldstart.errors import UserError
from coldstart.tracking._tested import tested
from coldstart.train._folds import predict_held_out
from coldstart.train._intervals import interval
from coldstart.train._metrics import METRICS, default_metric

MIN_RATIO = 0.8  # a ratio from which a model counts as simpler or faster than another


class Evidence(BaseModel):
    """What a manifest says of a model that `make train` made, as far as models are compared by it.

    Parameters
    ----------
    git_dirty : bool
        Whether it was trained with changes that were not committed.
    data : str
        Digest of the prepared rows.
    primary : str
        Name of the metric that decides.
    interval : tuple of float
        Confidence interval of that metric on the test rows.
    baseline, test : dict
        Metrics on the test rows, of the dummy baseline and of the model.
    validation : float
        The metric that decides, on the validation rows.
    """

    git_dirty: bool
    data: str
    primary: str
    interval: tuple[float, float]
    baseline: dict[str, Any]
    test: dict[str, Any]
    validation: float


def evidence_of(manifest: Manifest) -> Evidence:
    """Return what a manifest says of its model.

    Raises
    ------
    UserError
        If `make train` did not write it.
    """
    try:
        return Evidence.model_validate(manifest.provenance | manifest.metrics)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise UserError(
            f"its {MANIFEST} was not written by make train: {where} is missing or invalid"
        ) from None


def promotion_blockers(new: BundlePredictor, dataset: Dataset) -> list[str]:
    """Reasons against a challenger that have nothing to do with the champion."""
    try:
        found = evidence_of(new.manifest)
    except UserError as error:
        return [str(error)]
    against = []
    if found.git_dirty:
        against.append(
            "it was trained with changes that are not committed (git commit, then make train)"
        )
    if found.data != dataset.digest:
        against.append("it was trained on other data than is prepared now (make train)")
    if not found.interval[0] > found.baseline.get(found.primary, np.inf):
        against.append("on the test rows it is not significantly better than the dummy baseline")
    return against


def compare(
    new: BundlePredictor, old: BundlePredictor, dataset: Dataset, margin: float
) -> tuple[bool, str]:
    """Decide between challenger and champion on the same test rows, and say why.

    A challenger that is not significantly better must be smaller or faster, and at most `margin`
    worse by the interval's lower end (non-inferiority).

    Where no rows were held out, since they were few, the predictions that each bundle
    keeps are compared: those of its rounds, by models that did not see the row.
    """
    if old.manifest.target != new.manifest.target:
        return True, f"the champion predicts {old.manifest.target}"
    if not set(old.contract.features) <= set(dataset.table.columns):
        return True, "the champion reads columns that the data no longer has"
    if len(dataset.splits) > 1:
        if old.manifest.provenance.get("data") != dataset.digest:
            return compare_apart(new, old, margin)
        mine, theirs = (tested(predictor, dataset) for predictor in (new, old))
        same = np.intersect1d(mine.rows, theirs.rows)
        mine, theirs = (held[np.isin(held.rows, same)] for held in (mine, theirs))
    else:
        mine, theirs = (
            predict_held_out(predictor, dataset, dataset.splits[0].test) for predictor in (new, old)
        )
    name = mine.primary
    low, high = interval(mine, theirs)
    gain = f"{name} {low:+.4f} to {high:+.4f} compared with the champion (95% CI)"
    if low > 0:
        return True, gain
    if high < 0:
        return False, f"it is worse: {gain}"
    margin = in_units_of(name, margin, theirs.score())
    if not is_as_good(low, margin):
        return False, (
            f"it may be more than {margin:g} worse: {gain}; margin in config.yaml is the loss that "
            "a smaller or faster model may have"
        )
    gain += f", a loss of {margin:g} or more is excluded"
    size = size_of(new) / size_of(old)
    if size <= MIN_RATIO:
        return True, f"as good ({gain}) and {1 / size:.1f} times smaller"
    one = dataset.table[:1]
    times = [one_row_time(predictor, encode(predictor.contract, one)) for predictor in (new, old)]
    if times[0] / times[1] <= MIN_RATIO:
        return True, f"as good ({gain}) and {times[1] / times[0]:.1f} times faster"
    return False, f"it is not significantly better ({gain}), nor smaller or faster"


def in_units_of(name: str, margin: float, before: float) -> float:
    """Return the margin in units of a metric: of an error, a share of what the champion has."""
    return margin * abs(before) if METRICS[name].scale == "error" else margin


def is_as_good(low: float, margin: float) -> bool:
    """Return whether a difference with this lower end excludes a loss of the margin."""
    return low > -margin


def compare_apart(new: BundlePredictor, old: BundlePredictor, margin: float) -> tuple[bool, str]:
    """Decide between models of different data, neither of which kept rows from itself."""
    tests = [model.manifest.metrics["test"] for model in (new, old)]
    name = new.manifest.metrics.get("primary", "")
    if name not in tests[1]:  # the metric in config.yaml has changed since
        name = default_metric(len(new.manifest.classes))
    found, before = (test[name] for test in tests)
    margin = in_units_of(name, margin, before)
    what = (
        f"{name} {found:.4f} on its own data; the champion's was {before:.4f} on other data (too "
        f"few rows to hold any out that neither saw; {margin:g} less is accepted: margin in "
        "config.yaml)"
    )
    passes = found >= before - margin
    return passes, what if passes else f"it is worse: {what}"


def size_of(predictor: BundlePredictor) -> int:
    """Size of the graph in bytes."""
    return (predictor.folder / MODEL).stat().st_size


def one_row_time(predictor: BundlePredictor, row: EncodedFeatures) -> float:
    """Median seconds that the graph takes for one row."""
    times = []
    for _ in range(300):
        start = time.perf_counter()
        predictor.predict(row)
        times.append(time.perf_counter() - start)
    return float(np.median(times))
