"""The model card, written from the run alone."""

from __future__ import annotations

import os
from typing import Any

from coldstart._markdown import code, percent, table
from coldstart._provenance import JOB
from coldstart.bundle._bundle import Manifest, confirmed_score
from coldstart.bundle._predictor import BundlePredictor
from coldstart.data._dataset import Dataset
from coldstart.model_card._datasheet import data, left_out
from coldstart.model_card._limitations import limitations
from coldstart.model_card._reproduce import origin, reproduce
from coldstart.train._baselines import Baselines
from coldstart.train._calibration import calibration
from coldstart.train._clusters import count_clusters
from coldstart.train._conformal import share_covered
from coldstart.train._evaluation import HeldOutPredictions
from coldstart.train._intervals import interval
from coldstart.train._slices import LEAST_RARER, LEAST_ROWS, predict_out_of_time, worst_slices
from coldstart.train._summary import NAIVE, number, span

SLICED = 50  # columns, those that tell most alone
WATTS = 10  # that a busy core is taken to draw
ALONE = "Model types trained with it: `make leaderboard`."


def model_card(
    dataset: Dataset,
    manifest: Manifest,
    held: HeldOutPredictions,
    baselines: Baselines,
    predictor: BundlePredictor,
) -> str:
    """Describe a model in Markdown.

    Parameters
    ----------
    dataset : Dataset
        The prepared rows.
    manifest : Manifest
        The model's manifest, with its metrics.
    held : HeldOutPredictions
        Predictions of the test rows.
    baselines : Baselines
        Predictions of the test rows by the baselines.
    predictor : BundlePredictor
        The bundle, to predict the out-of-time rows.

    Returns
    -------
    str
        The card.

    References
    ----------
    Mitchell et al., "Model Cards for Model Reporting", 2019.
    """
    sections = {
        "Purpose": purpose(dataset, manifest),
        "Data": data(dataset, manifest),
        "Excluded columns": left_out(dataset),
        "Metrics": metrics(manifest, held),
        "Prediction sets" if manifest.classes else "Prediction intervals": certainty(manifest),
        "Forecast horizon": forecast_horizon(manifest),
        "Subgroups": subgroups(dataset, manifest, held, baselines),
        "Calibration": calibrated(dataset, manifest, held),
        "Out-of-time set": out_of_time(dataset, manifest, predictor),
        "Limitations": [f"- {one}" for one in limitations(dataset, manifest, held)],
        "Compute": compute(manifest),
        "Reproduce": ["\n\n".join(reproduce(manifest))],
        "Provenance": [origin(manifest.provenance)],
    }
    parts = [f"## {title}\n\n" + "\n".join(lines) for title, lines in sections.items() if lines]
    return "\n\n".join([f"# Model card: {manifest.family}", *parts]) + "\n"


def purpose(dataset: Dataset, manifest: Manifest) -> list[str]:
    """Describe what the model predicts, and how a class is chosen."""
    column = dataset.contract.columns[manifest.target]
    about = column.description.strip()
    about += "." if about and about[-1] not in ".!?" else ""
    lines = [f"The model predicts {code(manifest.target)}. {about}".strip()]
    if manifest.members:
        *others, last = [f"{share:.0%} {name}" for name, share in manifest.members.items()]
        shares = f"{', '.join(others)} and {last}"
        lines.append(f"It is an ensemble, a weighted average of other models: {shares}.")
    if manifest.threshold is not None:
        lines.append(
            f"It predicts {code(manifest.classes[1])} from a probability of "
            f"{manifest.threshold:.3f}, which {manifest.decision} on the validation rows."
        )
    elif manifest.weights and len(set(manifest.weights)) > 1:
        lines.append(
            "The predicted class has the largest product of probability and class weight. The "
            f"choice of weights {manifest.decision} on the validation rows."
        )
    lines.append("Use it for rows collected like these. Evaluate it first on any others.")
    return lines


def metrics(manifest: Manifest, held: HeldOutPredictions) -> list[str]:
    """Compare all metrics with those of the baselines."""
    found, name = manifest.metrics, manifest.metrics["primary"]
    low, high = found["interval"]
    units = f" ({found['units']})" if found.get("units") else ""
    what = "these" if units else "the test rows"
    without = confirmed_score(found, code)
    beside = {
        "model": found["test"],
        f"single-feature baseline ({code(found['column']['name'])})": found["column"],
    }
    if "naive" in found:
        beside["seasonal naive forecast"] = found["naive"]
    beside["dummy baseline"] = found["baseline"]
    rows = [[one, *(number(values[one]) for values in beside.values())] for one in found["test"]]
    return [
        f"On {len(held.target):,} test rows{units}, {name} is {number(found['test'][name])} "
        f"(95% CI {span(low, high)}, a jackknife of {what}: it does not cover the "
        "choice of the training rows). "
        f"On the validation rows, which chose the model, it is {number(found['validation'])}. The "
        "test rows also decide in the promotion gate, so after many promotions this score is "
        "slightly optimistic.",
        "",
        *([f"**W{without[1:]}.**", ""] if without else []),
        *table(["metric", *beside], rows),
        "",
        ALONE,
        "",
        f"The exported graph differs from the fitted pipeline by at most {found['parity']:.1e}.",
    ]


def forecast_horizon(manifest: Manifest) -> list[str]:
    """Compare recursive forecasts with the naive ones, step by step."""
    if not (lines := manifest.metrics.get("horizon")):
        return []
    names = {name: title for name, title in NAIVE.items() if name in lines[0]}
    rows = [
        [
            str(line["step"]),
            f"{line['forecasts']:,}",
            number(line["rmse"]),
            number(line["mae"]),
            *(number(line[name]) for name in names),
            *within(manifest, line),
        ]
        for line in lines
    ]
    heads = ["step", "forecasts", "RMSE", "MAE", *(f"RMSE, {title}" for title in names.values())]
    heads += ["interval", "coverage"] if within(manifest, lines[0]) else []
    return [
        f"`make predict` forecasts up to {len(lines)} step(s) after the last known value, and "
        "refuses later rows. The strategy is recursive: each prediction is an earlier value of the "
        "steps after it. These are the errors of forecasts from origins in the test set. Features "
        "that are not lags have their true values there.",
        "",
        *table(heads, rows),
    ]


def within(manifest: Manifest, line: dict[str, Any]) -> list[str]:
    """Return the interval of a step and its coverage; empty cells for a step without."""
    margins = manifest.conformal.margins if manifest.conformal else []
    if not margins:
        return []
    if "coverage" not in line:
        return ["", ""]
    return [f"± {number(margins[line['step'] - 1])}", percent(line["coverage"])]


def certainty(manifest: Manifest) -> list[str]:
    """Describe the prediction intervals or sets, and how often they contained the outcome."""
    conformal, found = manifest.conformal, manifest.metrics.get("coverage")
    if conformal is None or not found:
        return []
    share = f"{conformal.coverage:.0%}"
    if "shortage" in found:
        return [f"There are none for a coverage of {share}: {found['shortage']}."]
    low, high = found["interval"]
    if conformal.least is None:
        margin = f"± {number(conformal.margins[0])} around it"
        if conformal.floor is not None:
            least = number(conformal.margins[0] * conformal.floor)
            margin = f"± {percent(conformal.margins[0])} of it (at least ± {least})"
        what = f"A prediction comes with a {share} interval, {margin}"
        why = "the errors"
    else:
        what = (
            f"A prediction comes with a {share} set: the predicted class, and each class with a "
            f"probability of at least {conformal.least:.3f}, {found['size']:.2f} classes on average"
        )
        why = "the probabilities of the true class"
    lines = [
        f"{what}. It is the quantile of {why} in {conformal.units:,} validation rows or groups "
        "(split conformal prediction). Of the test outcomes, "
        f"{percent(found['test'])} (95% CI {percent(low)}–{percent(high)}) are in theirs. "
        "The coverage is that of all rows on average: some kinds of rows have less, and it falls "
        "when the data drifts."
    ]
    known, evaluated = len(conformal.margins), manifest.horizon
    if conformal.least is None and known < evaluated:
        lines[0] += (
            f" Steps {known + 1} to {evaluated} of a forecast have no interval: too few validation "
            "rows are so far ahead."
        )
    return lines


def with_families(card: str, models: dict[str, dict[str, Any]]) -> str:
    """Put the metrics of the model types of one training, the best first, into a card."""
    if len(models) == 1:
        return card.replace(ALONE, "No other model type was trained with it.", 1)
    name = next(iter(models.values()))["primary"]
    rows = [
        [
            family,
            number(found["validation"]),
            number(found["test"][name]),
            " to ".join(map(number, found["interval"])),
        ]
        for family, found in models.items()
    ]
    heads = ["model type", f"validation {name}", f"test {name}", "95% CI"]
    lines = [
        "Model types trained with it, evaluated on the same rows:",
        "",
        *table(heads, rows),
    ]
    return card.replace(ALONE, "\n".join(lines), 1)


def subgroups(
    dataset: Dataset, manifest: Manifest, held: HeldOutPredictions, baselines: Baselines
) -> list[str]:
    """List the lowest-performing subgroups of the test rows, not by values that are personal."""
    known = dataset.contract.columns
    columns = [name for name in baselines.columns if not known[name].personal][:SLICED]
    count, worst = worst_slices(dataset, held, baselines.dummy, columns)
    least = f"at least {LEAST_ROWS} test rows" + (
        f" and {LEAST_RARER} of the rarer class" if len(dataset.classes) == 2 else ""
    )
    if not worst:
        return [f"No value of a column has {least}."]
    rows = [
        [
            one.name,
            f"{len(one.rows):,}",
            number(one.score),
            " to ".join(map(number, interval(held[one.rows]))),
            number(one.dummy),
            number(one.skill),
        ]
        for one in worst
    ]
    name = manifest.metrics["primary"]
    heads = ["subgroup", "rows", name, "95% CI", "dummy baseline", "skill"]
    return [
        f"The lowest-performing of {count} subgroups with {least}: frequent values of categories "
        "and quartiles of numbers, one column at a time. Skill is how far the score is from the "
        "dummy baseline (0) to a perfect score (1), since a score is low where the task is hard. "
        "The lowest of many subgroups looks worse than it is: chance helps to choose it.",
        "",
        *table(heads, rows),
    ]


def calibrated(dataset: Dataset, manifest: Manifest, held: HeldOutPredictions) -> list[str]:
    """Compare predicted probabilities with observed frequencies."""
    share = bool(dataset.classes)
    show = percent if share else number
    if not share:
        what = "Predicted values"
    elif len(dataset.classes) == 2:
        what = f"Probabilities of {code(dataset.classes[1])}"
    else:
        what = "Probabilities of the predicted class"
    rows = [
        [
            f"{one.rows:,}",
            show(one.predicted),
            show(one.observed),
            " to ".join(map(show, one.interval)),
        ]
        for one in calibration(held)
    ]
    predicted = "mean predicted probability" if share else "mean prediction"
    observed = "observed frequency" if share else "observed mean"
    heads = ["test rows", predicted, observed, "95% CI"]
    sigmoid = manifest.calibration
    corrected = (
        [
            "The probabilities are corrected by a sigmoid, which lowered their log loss on "
            f"validation rows that did not determine it (slope {sigmoid['slope']:.2f}; below 1 the "
            "model was too certain).",
            "",
        ]
        if sigmoid
        else []
    )
    return [*corrected, f"{what}, from the lowest to the highest:", "", *table(heads, rows)]


def out_of_time(dataset: Dataset, manifest: Manifest, predictor: BundlePredictor) -> list[str]:
    """Evaluate the model on the rows after the test rows."""
    held = predict_out_of_time(dataset, predictor)
    if held is None:
        return []
    name = manifest.metrics["primary"]
    low, high = interval(held)
    units = count_clusters(dataset, held.rows)
    covered, inside = share_covered(manifest.conformal, held), ""
    if covered and manifest.conformal:
        share, (least, most) = covered
        inside = (
            f" Of these outcomes {percent(share)} (95% CI {percent(least)}–{percent(most)}) are in "
            f"their {manifest.conformal.coverage:.0%} prediction interval or set."
        )
    return [
        f"{len(held.rows):,} rows{f' ({units})' * bool(units)} are in no other part. On them "
        f"{name} is {number(held.score())} (95% CI {span(low, high)}); on the test rows "
        f"it is {number(manifest.metrics['test'][name])}.{inside} "
        "`make monitor PART=out_of_time` shows which columns have drifted."
    ]


def compute(manifest: Manifest) -> list[str]:
    """Report time and energy of the training."""
    seconds, busy = manifest.metrics["fit_seconds"], manifest.metrics["cpu_seconds"]
    lines = [
        f"All fits took {seconds:.1f} s ({busy:.1f} s of CPU time) on a machine with "
        f"{os.cpu_count()} cores: about {busy * WATTS / 3600:.2g} Wh. This estimate assumes "
        f"{WATTS} W for a busy core and leaves out GPU, memory and other processes."
    ]
    if JOB:
        lines.append("The machine was rented: `make leaderboard` shows its cost.")
    return lines
