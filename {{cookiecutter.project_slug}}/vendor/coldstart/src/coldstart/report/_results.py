"""The table of results: the champion and the newest of each other model type, on the same data."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mlflow import MlflowClient

from coldstart._markdown import code, plain, table
from coldstart.bundle._bundle import TESTED, Manifest, confirmed_score
from coldstart.config._settings import Settings
from coldstart.data._dataset import Dataset
from coldstart.tracking._registry import fetch, manifest_of
from coldstart.tracking._tested import read_tested
from coldstart.train._evaluation import HeldOutPredictions
from coldstart.train._intervals import interval
from coldstart.train._metrics import TITLES
from coldstart.train._summary import cells, horizon_cells, number

MAX_RUNS = 1000  # that are searched


@dataclass(frozen=True)
class EvaluatedVersion:
    """A registered version with its predictions of the test rows.

    Attributes
    ----------
    manifest : Manifest
        Of its bundle.
    test : HeldOutPredictions
        Predictions of the test rows, which the bundle keeps.
    """

    manifest: Manifest
    test: HeldOutPredictions


Versions = dict[str, EvaluatedVersion]
"""Tested versions by the version's number, the best on the validation rows first."""


def newest_versions(
    client: MlflowClient, settings: Settings, dataset: Dataset, champion: str
) -> Versions:
    """Return the champion and the newest version of each other model type on the same data.

    Parameters
    ----------
    client : MlflowClient
        The tracking store.
    settings : Settings
        Of the project.
    dataset : Dataset
        The prepared rows; versions that were trained on others are left out.
    champion : str
        Version of the champion.
    """
    experiment = client.get_experiment_by_name(settings.experiment)
    runs = (
        client.search_runs([experiment.experiment_id], max_results=MAX_RUNS) if experiment else []
    )
    family_of = {run.info.run_id: run.data.tags.get("family") for run in runs}
    chosen = {champion: manifest_of(settings, champion)}
    families = {chosen[champion].family}
    versions = client.search_model_versions(f"name = '{settings.experiment}'")
    for one in sorted(versions, key=lambda one: int(one.version), reverse=True):
        family = family_of.get(one.run_id)
        if family is None or family in families:
            continue
        manifest = manifest_of(settings, str(one.version))
        if manifest.provenance.get("data") == dataset.digest:
            chosen[str(one.version)] = manifest
            families.add(family)
    best_first = sorted(chosen.items(), key=lambda item: -item[1].metrics["validation"])
    return {
        version: EvaluatedVersion(manifest, kept_predictions(settings, version, dataset))
        for version, manifest in best_first
    }


def kept_predictions(settings: Settings, version: str, dataset: Dataset) -> HeldOutPredictions:
    """Return the predictions of the test rows that a version's bundle keeps."""
    with tempfile.TemporaryDirectory() as at:
        fetch(settings, version, Path(at), TESTED)
        return read_tested(Path(at, TESTED), dataset)


def results(versions: Versions, champion: str, tested: int) -> str:
    """Return the table in Markdown, and a paragraph on what it shows.

    Parameters
    ----------
    versions : Versions
        The models.
    champion : str
        Version of the champion.
    tested : int
        Number of test rows.
    """
    titles = {
        f"{one.manifest.family}, version {version}{', the champion' * (version == champion)}": one
        for version, one in versions.items()
    }
    heads, *rows = cells({title: one.manifest.metrics for title, one in titles.items()})
    # Seconds of fitting differ from machine to machine.
    shown = [[plain(row[0]), *row[1:-1]] for row in rows]
    lines = table(["model", *heads[1:-1]], shown)
    steps = {title: one.manifest.metrics for title, one in titles.items() if forecasts(one)}
    if forecasts(versions[champion]):
        heads, *rows = horizon_cells(steps)
        lines += ["", "Recursive forecasts from origins in the test set:", ""]
        lines += table(heads, [[plain(row[0]), *row[1:]] for row in rows])
    return "\n".join([*lines, "", conclusion(versions, champion, tested)])


def forecasts(version: EvaluatedVersion) -> bool:
    """Return whether forecasts of several steps were evaluated."""
    return "horizon" in version.manifest.metrics


def conclusion(versions: Versions, champion: str, tested: int) -> str:
    """Return what the table shows of the champion, in a paragraph.

    Models are compared by the interval of the difference of their scores on the same
    rows: their own intervals may overlap although one is better on nearly all of them.
    """
    best = versions[champion]
    metrics = best.manifest.metrics
    name, (low, high) = metrics["primary"], metrics["interval"]
    units = f" ({metrics['units']})" if metrics.get("units") else ""
    sentences = [
        f"On {tested:,} test rows{units} the champion, {best.manifest.family}, has {TITLES[name]} "
        f"{number(metrics['test'][name])} ({between(low, high)})."
    ]
    groups: dict[str, list[str]] = {"better": [], "worse": [], "level": []}
    for version, other in versions.items():
        if version == champion:
            continue
        difference = compare(best.test, other.test)
        verdict = "better" if difference[0] > 0 else "worse" if difference[1] < 0 else "level"
        groups[verdict].append(f"{other.manifest.family} ({between(*difference)})")
    if groups["better"]:
        sentences.append(f"It is significantly better than {listed(groups['better'])}.")
    if groups["worse"]:
        sentences.append(f"It is significantly worse than {listed(groups['worse'])}.")
    if groups["level"]:
        sentences.append(
            f"Its difference from {listed(groups['level'])} is not statistically significant."
        )
    if len(versions) > 1:
        sentences.append("These intervals are of the difference (paired jackknife).")
    baselines = {
        "the dummy baseline": metrics["baseline"],
        f"the single-feature baseline ({code(metrics['column']['name'])})": metrics["column"],
    }
    if "naive" in metrics:
        baselines["the seasonal naive forecast"] = metrics["naive"]
    reached = [title for title, scores in baselines.items() if scores[name] >= low]
    sentences.append(
        f"Its interval reaches the score of {listed(reached)}."
        if reached
        else f"Its interval lies above the scores of {listed(list(baselines))}."
    )
    if without := confirmed_score(metrics, code):
        sentences.append(f"W{without[1:]}.")
    if best.manifest.threshold is not None:
        sentences.append(at_threshold(metrics, best.manifest))
    return " ".join(sentences)


def at_threshold(metrics: dict[str, Any], manifest: Manifest) -> str:
    """Return what the predicted classes are worth, in a sentence."""
    test, frequent = metrics["test"], metrics["baseline"]["accuracy"]
    sentence = (
        f"At its threshold, {manifest.threshold:.3f}, which {manifest.decision} on the validation "
        f"rows, precision is {number(test['precision'])} and recall {number(test['recall'])}"
    )
    if test["accuracy"] < frequent:
        sentence += (
            "; to find the rare class, it gives up some accuracy: always predicting the frequent "
            f"class has {number(frequent)}"
        )
    return f"{sentence}."


def compare(one: HeldOutPredictions, other: HeldOutPredictions) -> tuple[float, float]:
    """Return the 95% interval of how much one model's score is above another's on the same rows."""
    both = np.intersect1d(one.rows, other.rows)
    mine, theirs = (held[np.isin(held.rows, both)] for held in (one, other))
    return interval(mine, theirs)


def between(low: float, high: float) -> str:
    """Return an interval in words."""
    dash = " to " if low < 0 else "\N{EN DASH}"
    return f"95% CI {number(low)}{dash}{number(high)}"


def listed(names: list[str]) -> str:
    """Return names as part of a sentence."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
