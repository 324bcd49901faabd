"""The table of runs, from MLflow alone."""

from __future__ import annotations

import math

from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from rich import box
from rich.table import Table

from coldstart.config._settings import Settings
from coldstart.errors import UserError
from coldstart.tracking._mlflow import connect
from coldstart.train._metrics import TITLES

COST = "cost_usd"
SHOWN = ("average_precision", "roc_auc", "f1_macro", "r2", "rmse")
VALIDATION = "validation_"


def leaderboard(settings: Settings, last: int) -> Table:
    """Compare the newest runs.

    Raises
    ------
    UserError
        If there are none, or the tracking store cannot be reached.
    """
    client = connect(settings)
    experiment = client.get_experiment_by_name(settings.experiment)
    models = "tags.family LIKE '%'"  # a job on a rented machine is a run too, with models below it
    runs = (
        client.search_runs([experiment.experiment_id], models, max_results=last)
        if experiment
        else []
    )
    if not runs:
        raise UserError(f"there are no runs in {settings.experiment} yet; run: make train")

    # One table compares one target: that of the newest run.
    target = runs[0].data.tags.get("target")
    runs = [run for run in runs if run.data.tags.get("target") == target]
    aliases: dict[str, list[str]] = {}
    versions: dict[str, str] = {}
    try:
        by_version = client.get_registered_model(settings.experiment).aliases
    except MlflowException:  # nothing is registered yet
        by_version = {}
    for alias, registered_version in by_version.items():
        aliases.setdefault(str(registered_version), []).append(alias)
    for version in client.search_model_versions(f"name = '{settings.experiment}'"):
        versions[str(version.run_id)] = str(version.version)

    # They are ranked by the metric that the newest run was chosen by.
    primary = next((primary_of(run) for run in runs if primary_of(run)), "")
    metrics = [
        name
        for name in dict.fromkeys([primary, *SHOWN])
        if any(f"test_{name}" in run.data.metrics for run in runs)
    ]
    metrics = metrics[:2]  # the table fits 80 columns
    table = Table(
        title=f"{settings.experiment}: {target}" if target else settings.experiment,
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for heading in ("model", "version", "alias"):
        table.add_column(heading, no_wrap=True)
    costly = any(COST in run.data.metrics for run in runs)
    heads = [TITLES[name].replace(" ", "\n") for name in metrics]
    for heading in ("validation", *heads, "fit", *(["USD"] if costly else []), "commit"):
        width = 8 if heading == "commit" else 5  # a long name gives way, not a number
        table.add_column(heading, justify="right", no_wrap=True, min_width=width)
    for run in sorted(runs, key=lambda run: validation_score(run, primary), reverse=True):
        registered = versions.get(run.info.run_id, "")
        commit = run.data.tags.get("git_commit", "")[:7]
        seconds = run.data.metrics.get("fit_seconds")
        table.add_row(
            run.data.tags.get("family", run.info.run_name),
            registered or run.info.status.lower(),
            "\n".join(aliases.get(registered, [])),
            number(validation_score(run, primary)),
            *(number(run.data.metrics.get(f"test_{name}")) for name in metrics),
            "" if seconds is None else f"{seconds:.1f} s",
            *([number(run.data.metrics.get(COST))] if costly else []),
            commit + ("+" if run.data.tags.get("git_dirty") == "True" else ""),
            style="bold" if "champion" in aliases.get(registered, []) else None,
        )
    table.caption = "test metrics; commit+ had uncommitted changes"
    return table


def primary_of(run: Run) -> str:
    """Return the name of the metric that a run was chosen by; empty where it has none."""
    names = (name for name in run.data.metrics if name.startswith(VALIDATION))
    return next(names, "").removeprefix(VALIDATION)


def validation_score(run: Run, primary: str) -> float:
    """Return a run's metric on the validation rows; lowest where it has none."""
    return float(run.data.metrics.get(f"{VALIDATION}{primary}", -math.inf))


def number(value: float | None) -> str:
    """Three decimals, or nothing."""
    return "" if value is None or math.isinf(value) else f"{value:.3f}"
