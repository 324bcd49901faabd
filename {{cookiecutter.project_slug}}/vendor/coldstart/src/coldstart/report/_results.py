"""The table of results: the champion beside the newest of each other family, on the same data."""

from __future__ import annotations

import tempfile
from pathlib import Path

import mlflow
from mlflow import MlflowClient

from coldstart._markdown import code, table
from coldstart.bundle._bundle import MANIFEST, Manifest
from coldstart.config._settings import Settings
from coldstart.train._summary import SHOWN, cells, number

MOST = 1000  # runs that are looked through
Versions = dict[str, Manifest]
"""What each version's bundle says, by the version's number."""


def newest(client: MlflowClient, settings: Settings, champion: Manifest, version: str) -> Versions:
    """The champion and the newest version of each other family that learned from the same data.

    Returns
    -------
    Versions
        The best on the validation rows first.
    """
    experiment = client.get_experiment_by_name(settings.experiment)
    runs = client.search_runs([experiment.experiment_id], max_results=MOST) if experiment else []
    family_of = {run.info.run_id: run.data.tags.get("family") for run in runs}
    found, families = {version: champion}, {champion.family}
    versions = client.search_model_versions(f"name = '{settings.experiment}'")
    for one in sorted(versions, key=lambda one: int(one.version), reverse=True):
        family = family_of.get(one.run_id)
        if family is None or family in families:
            continue
        manifest = manifest_of(f"models:/{settings.experiment}/{one.version}")
        if manifest.provenance["data"] == champion.provenance["data"]:
            found[str(one.version)] = manifest
            families.add(family)
    best_first = sorted(found.items(), key=lambda item: -item[1].metrics["validation"])
    return dict(best_first)


def manifest_of(uri: str) -> Manifest:
    """What the bundle of a registered version says."""
    with tempfile.TemporaryDirectory() as at:
        mlflow.artifacts.download_artifacts(f"{uri}/{MANIFEST}", dst_path=at)
        return Manifest.model_validate_json(Path(at, MANIFEST).read_bytes())


def results(versions: Versions, champion: str, tested: int) -> str:
    """The table in Markdown, and what it shows.

    Parameters
    ----------
    champion
        Its version.
    tested
        How many rows judged the models.
    """
    titles = {
        f"{manifest.family}, version {version}{', the champion' * (version == champion)}": manifest
        for version, manifest in versions.items()
    }
    heads, *rows = cells({title: one.metrics for title, one in titles.items()})
    # Seconds of fitting differ from machine to machine.
    plain = [[row[0].replace("|", r"\|"), *row[1:-1]] for row in rows]
    lines = table(["model", *heads[1:-1]], plain)
    return "\n".join([*lines, "", finding(versions, champion, tested)])


def finding(versions: Versions, champion: str, tested: int) -> str:
    """What the table shows of the champion, in a paragraph."""
    best = versions[champion]
    name, (low, high) = best.metrics["primary"], best.metrics["interval"]
    equals = [
        one.family
        for version, one in versions.items()
        if version != champion
        and one.metrics["interval"][0] <= high
        and one.metrics["interval"][1] >= low
    ]
    said = [
        f"On {tested:,} test rows the champion, {best.family}, has {SHOWN[name]} "
        f"{number(best.metrics['test'][name])}, {number(low)} to {number(high)}."
    ]
    if equals:
        plural = len(equals) > 1
        said.append(
            f"The interval{'s' * plural} of {listed(equals)} overlap{'s' * (not plural)} with "
            "that: these rows do not tell them apart."
        )
    elif len(versions) > 1:
        said.append("No other family's interval overlaps with that.")
    beside = {
        "ignoring the input": best.metrics["baseline"],
        f"{code(best.metrics['column']['name'])} alone": best.metrics["column"],
    }
    if "naive" in best.metrics:
        beside["the value a season ago"] = best.metrics["naive"]
    reached = [title for title, found in beside.items() if found[name] >= low]
    said.append(
        f"It is not better, beyond noise, than {listed(reached)}."
        if reached
        else f"It is better, beyond noise, than {listed(list(beside))}."
    )
    return " ".join(said)


def listed(names: list[str]) -> str:
    """Names in a sentence."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
