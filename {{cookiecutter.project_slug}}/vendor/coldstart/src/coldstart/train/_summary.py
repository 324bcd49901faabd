"""The summary of a training: a table of models and baselines, and an assessment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from coldstart.train._baselines import Baselines

SHOWN = {
    "average_precision": "AP",
    "roc_auc": "AUC",
    "f1_macro": "macro F1",
    "r2": "R²",
    "accuracy": "accuracy",
    "rmse": "RMSE",
    "mae": "MAE",
    "brier": "Brier",
    "calibration_error": "ECE",
}
FEW = 200  # rows below which a score is a rough estimate
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
    heads = ["validation", f"test {SHOWN[name]}", "95% CI"]
    rows = [["", *heads, *(SHOWN[other] for other in others), "fit"]]
    for title, metrics in models.items():
        low, high = metrics["interval"]
        rows.append(
            [
                title,
                number(metrics["validation"]),
                number(metrics["test"][name]),
                f"{number(low)}–{number(high)}",
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


def table(models: dict[str, dict[str, Any]]) -> list[str]:
    """Return the lines of that table, for the terminal."""
    rows = cells(models)
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
    print(*table(metrics), sep="\n")
    print(*verdict(metrics, baselines), *suspicion(metrics, baselines), sep="\n")


def number(value: float) -> str:
    """Return a number with three decimals, or with five digits if it is large."""
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.5g}"


def verdict(models: dict[str, dict[str, Any]], baselines: Baselines) -> list[str]:
    """Return lines that compare the best model with the baselines."""
    metrics = next(iter(models.values()))
    name, (low, high) = metrics["primary"], metrics["interval"]
    rows = len(baselines.dummy.target)
    lines = []
    if all(each["interval"][0] <= each["baseline"][name] for each in models.values()):
        lines.append(
            "no signal: no model is significantly better than the dummy baseline; these columns "
            "do not predict the target, or the rows are too few"
        )
    elif metrics["test"][name] <= metrics["column"][name]:
        lines.append(
            f"the single-feature baseline ({metrics['column']['name']}) does as well as the model"
        )
    if "naive" in metrics and metrics["test"][name] <= metrics["naive"][name]:
        lines.append("the seasonal naive forecast is as good as the best model")
    if rows < FEW:
        lines.append(
            f"{rows} rows: the 95% CI is {number(low)}–{number(high)}; "
            "treat the score as a rough estimate"
        )
    return lines


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
