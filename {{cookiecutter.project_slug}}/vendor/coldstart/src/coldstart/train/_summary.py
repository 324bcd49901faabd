"""The summary of a training: a table of models and baselines, and an assessment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from coldstart._markdown import percent
from coldstart.bundle._bundle import confirmed_score
from coldstart.train._baselines import Baselines
from coldstart.train._evaluation import HeldOutPredictions
from coldstart.train._metrics import TITLES

SHOWN = (  # of the metrics, those that are columns besides the primary one
    "average_precision",
    "roc_auc",
    "f1_macro",
    "r2",
    "accuracy",
    "rmse",
    "mae",
    "brier",
    "calibration_error",
)
NAIVE = {"naive": "naive forecast", "seasonal_naive": "seasonal naive forecast"}
FEW = 200  # rows below which a score is a rough estimate
FEW_GROUPS = 20  # of rows that are not independent: the same, where a block of time is a group
IMPLAUSIBLE = {"roc_auc": 0.995, "r2": 0.999, "accuracy": 0.999}


def cells(models: dict[str, dict[str, Any]]) -> list[list[str]]:
    """Return a table of models and baselines, row by row, with the header first.

    Parameters
    ----------
    models : dict of str to dict
        Metrics of each model by its name, in order.
    """
    first = next(iter(models.values()))
    name = first["primary"]
    others = [other for other in SHOWN if other in first["test"] and other != name]
    heads = ["validation", f"test {TITLES[name]}", "95% CI"]
    rows = [["", *heads, *(TITLES[other] for other in others), "fit"]]
    for title, metrics in models.items():
        low, high = metrics["interval"]
        rows.append(
            [
                title,
                number(metrics["validation"]),
                number(metrics["test"][name]),
                span(low, high),
                *(number(metrics["test"][other]) for other in others),
                f"{metrics['fit_seconds']:.1f} s",
            ]
        )
    baseline_metrics = {f"single feature ({first['column']['name']})": first["column"]}
    if "naive" in first:
        baseline_metrics["seasonal naive forecast"] = first["naive"]
    baseline_metrics["dummy baseline"] = first["baseline"]
    for title, found in baseline_metrics.items():
        rows.append(
            [title, "", number(found[name]), "", *(number(found[other]) for other in others), ""]
        )
    return rows


def horizon_cells(models: dict[str, dict[str, Any]]) -> list[list[str]]:
    """Return a table of the RMSE of models and naive forecasts at some steps, the header first.

    Parameters
    ----------
    models : dict of str to dict
        Metrics of each model by its name, with `horizon`.
    """
    lines = next(iter(models.values()))["horizon"]
    last = len(lines)
    steps = [
        lines[step - 1] for step in sorted({1, 2, 3, last // 2, last} & set(range(1, last + 1)))
    ]
    rows = [["RMSE at step", *(str(step["step"]) for step in steps)]]
    for title, metrics in models.items():
        own = [metrics["horizon"][step["step"] - 1] for step in steps]
        rows.append([title, *(number(step["rmse"]) for step in own)])
    rows += [
        [title, *(number(step[name]) for step in steps)]
        for name, title in NAIVE.items()
        if name in lines[0]
    ]
    return [*rows, ["number of forecasts", *(str(step["forecasts"]) for step in steps)]]


def table(rows: list[list[str]]) -> list[str]:
    """Return the lines of a table, for the terminal."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    widths[0] = min(widths[0], 30)
    return [
        "  ".join(
            [
                row[0][: widths[0]].ljust(widths[0]),
                *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
            ]
        ).rstrip()
        for row in rows
    ]


def print_results(candidates: Sequence[Any], baselines: Baselines) -> None:
    """Print a table of the models and the baselines, and an assessment of the scores.

    Parameters
    ----------
    candidates : sequence of Candidate
        The trained models.
    baselines : Baselines
        The baselines that they are compared with.
    """
    ranked = sorted(candidates, key=lambda one: one.metrics["validation"], reverse=True)
    metrics = {f"{model.family}, version {model.version}": model.metrics for model in ranked}
    if not any(is_useful(model) for model in metrics.values()):
        name = ranked[0].metrics["primary"]
        print(
            "no model is better than the dummy baseline on the validation rows "
            f"({TITLES[name]} {number(baselines.validation)}): collect more rows or other columns, "
            "or predict another TARGET"
        )
    print(*table(cells(metrics)), sep="\n")
    if baselines.paths:
        print(
            "recursive forecasts from origins in the test set:",
            *table(horizon_cells(metrics)),
            *horizon_verdict(metrics, baselines),
            sep="\n",
        )
    print(
        *certainty(ranked[0].metrics),
        *verdict(metrics, baselines),
        *suspicion(metrics, baselines),
        sep="\n",
    )


def certainty(metrics: dict[str, Any]) -> list[str]:
    """Return a line on the prediction intervals or sets of a model, if it has some."""
    if not (found := metrics.get("coverage")):
        return []
    share = f"{found['nominal']:.0%}"
    if "test" not in found:
        return [f"no {share} prediction intervals: {found['shortage']}"]
    low, high = found["interval"]
    sized = (
        f"sets (mean {found['size']:.2f} classes)"
        if "size" in found
        else f"intervals (mean width {number(found['width'])})"
    )
    return [
        f"{share} prediction {sized}: they contain {percent(found['test'])} of the test outcomes "
        f"(95% CI {percent(low)} to {percent(high)})"
    ]


def is_useful(metrics: dict[str, Any]) -> bool:
    """Return whether a model is better than the dummy baseline on the validation rows."""
    baseline: float = metrics.get("validation_baseline", -np.inf)
    return bool(metrics["validation"] > baseline)


def number(value: float) -> str:
    """Return a number with three decimals, or with five digits if it is large."""
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.5g}"


def span(low: float, high: float) -> str:
    """Return an interval, without a dash beside a minus."""
    return f"{number(low)}{' to ' if low < 0 else '–'}{number(high)}"


def verdict(models: dict[str, dict[str, Any]], baselines: Baselines) -> list[str]:
    """Return lines that compare the best model with the baselines."""
    metrics = next(iter(models.values()))
    name, (low, high) = metrics["primary"], metrics["interval"]
    rows, units = len(baselines.dummy.target), baselines.units
    lines = [f"the 95% CI is over {units} ({rows:,} test rows)"] if units else []
    if all(each["interval"][0] <= each["baseline"][name] for each in models.values()):
        lines.append(
            "no signal: no model is significantly better than the dummy baseline; these columns "
            "do not predict the target, or the rows are too few"
        )
    elif metrics["test"][name] <= metrics["column"][name]:
        lines.append(
            f"the single-feature baseline ({metrics['column']['name']}) does as well as the model"
        )
    if without := confirmed_score(metrics):
        lines.append(f"{without} (make data reviews them)")
    if "naive" in metrics and metrics["test"][name] <= metrics["naive"][name]:
        lines.append("the seasonal naive forecast is as good as the best model")
    if rows < FEW or few_groups(baselines.dummy):
        lines.append(
            f"{rows} rows{f', {units}' * bool(units)}: the 95% CI is {span(low, high)}; "
            "treat the score as a rough estimate"
        )
    return lines


def few_groups(held: HeldOutPredictions) -> bool:
    """Return whether the rows are of so few groups that a score is a rough estimate."""
    return held.groups is not None and len(np.unique(held.groups)) < FEW_GROUPS


def horizon_verdict(models: dict[str, dict[str, Any]], baselines: Baselines) -> list[str]:
    """Return lines that compare the best model with the naive forecasts, and name the horizon."""
    lines = next(iter(models.values()))["horizon"]
    found = []
    for name, title in NAIVE.items():
        if worse := [line["step"] for line in lines if line.get(name, np.inf) <= line["rmse"]]:
            found.append(f"the {title} is as good as the best model at {steps_of(worse)}")
    why = f": {baselines.paths.note}" if baselines.paths and baselines.paths.note else ""
    return [*found, f"horizon: make predict forecasts up to {len(lines)} step(s){why}"]


def steps_of(steps: list[int]) -> str:
    """Return step numbers as text, with ranges of those that follow each other."""
    runs = np.split(steps, np.flatnonzero(np.diff(steps) > 1) + 1)
    texts = [str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs]
    return f"step{'s' * (len(steps) > 1)} {', '.join(texts)}"


def suspicion(models: dict[str, dict[str, Any]], baselines: Baselines) -> list[str]:
    """Return a line if a score suggests a leak, with the columns to check."""
    metrics = next(iter(models.values()))
    found = {
        name: metrics["test"][name]
        for name, limit in IMPLAUSIBLE.items()
        if metrics["test"].get(name, 0) >= limit
        and not (name == "accuracy" and metrics["primary"] == "average_precision")
    }
    if not found:
        return []
    name, value = next(iter(found.items()))
    columns = ", ".join(
        f"{column} ({score:.3f})" for column, score in list(baselines.columns.items())[:3]
    )
    return [
        f"too good to be true? {name} is {value:.4f}. Check for a leak; the best single "
        f"features: {columns}"
    ]
