"""The model card, written from the run alone."""

from __future__ import annotations

import os
from typing import Any

from coldstart._markdown import code, percent, table
from coldstart._provenance import JOB
from coldstart.bundle._bundle import Manifest
from coldstart.bundle._predictor import BundlePredictor
from coldstart.data._dataset import Dataset
from coldstart.model_card._datasheet import data, left_out
from coldstart.model_card._limitations import limitations
from coldstart.model_card._reproduce import again, origin
from coldstart.train._baselines import Baselines
from coldstart.train._calibration import calibration
from coldstart.train._evaluation import HeldOutPredictions, interval
from coldstart.train._slices import LEAST_RARER, LEAST_ROWS, predict_out_of_time, worst_slices
from coldstart.train._summary import number

SLICED = 50  # columns, those that tell most alone
WATTS = 10  # that a busy core is taken to draw
ALONE = "The families that were trained with it: `make leaderboard`."


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
    held
        Predictions of the test rows.
    scorer
        The bundle, to ask of later rows.

    References
    ----------
    Mitchell et al., "Model Cards for Model Reporting", 2019.
    """
    sections = {
        "Purpose": purpose(dataset, manifest),
        "Data": data(dataset, manifest),
        "Left out": left_out(dataset),
        "Metrics": metrics(manifest, held),
        "Slices": slices(dataset, manifest, held, baselines),
        "Calibration": calibrated(dataset, held),
        "Out-of-time set": out_of_time(dataset, manifest, predictor),
        "Limits": [f"- {one}" for one in limitations(dataset, manifest, held)],
        "What the training took": took(manifest),
        "The same again": ["\n\n".join(again(manifest.family, manifest.provenance))],
        "Origin": [origin(manifest.provenance)],
    }
    parts = [f"## {title}\n\n" + "\n".join(lines) for title, lines in sections.items() if lines]
    return "\n\n".join([f"# Model card: {manifest.family}", *parts]) + "\n"


def purpose(dataset: Dataset, manifest: Manifest) -> list[str]:
    """What it answers, and how the answer is chosen."""
    column = dataset.contract.columns[manifest.target]
    about = column.description.strip()
    about += "." if about and about[-1] not in ".!?" else ""
    told = [f"It predicts {code(manifest.target)}. {about}".strip()]
    if manifest.threshold is not None:
        told.append(
            f"It answers {code(manifest.classes[1])} from a probability of "
            f"{manifest.threshold:.3f}, where F1 on the validation rows is best."
        )
    elif manifest.weights and len(set(manifest.weights)) > 1:
        told.append(
            "Its answer is the class whose probability, times a weight that favours rare ones, "
            "is largest: that made the mean F1 on the validation rows best."
        )
    told.append("It is meant for rows that come about as these did; for others, judge it first.")
    return told


def metrics(manifest: Manifest, held: HeldOutPredictions) -> list[str]:
    """All metrics, beside those of what needs no model."""
    found, name = manifest.metrics, manifest.metrics["primary"]
    low, high = found["interval"]
    beside = {"model": found["test"], f"{code(found['column']['name'])} alone": found["column"]}
    if "naive" in found:
        beside["a season ago"] = found["naive"]
    beside["ignoring the input"] = found["baseline"]
    rows = [[one, *(number(values[one]) for values in beside.values())] for one in found["test"]]
    return [
        f"On {len(held.target):,} test rows, {name} is {number(found['test'][name])}, between "
        f"{number(low)} and {number(high)} with 95 % confidence (bootstrap of the test rows: it "
        "covers which rows were judged, not which the model was fitted on). "
        f"On the validation rows, which chose it, it was {number(found['validation'])}.",
        "",
        *table(["metric", *beside], rows),
        "",
        ALONE,
        "",
        f"The exported graph differs from the fitted pipeline by at most {found['parity']:.1e}.",
    ]


def with_families(card: str, models: dict[str, dict[str, Any]]) -> str:
    """Put the metrics of the families of one training, the best first, into a card."""
    if len(models) == 1:
        return card.replace(ALONE, "No other family was trained with it.", 1)
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
    heads = ["family", f"validation {name}", f"test {name}", "95 % interval"]
    lines = [
        "The same rows judged the families that were trained with it:",
        "",
        *table(heads, rows),
    ]
    return card.replace(ALONE, "\n".join(lines), 1)


def slices(
    dataset: Dataset, manifest: Manifest, held: HeldOutPredictions, baselines: Baselines
) -> list[str]:
    """The worst slices of the test rows."""
    columns = list(baselines.columns)[:SLICED]
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
    heads = ["slice", "rows", name, "95 % interval", "ignoring the input", "skill"]
    return [
        f"The worst of {count} slices with {least}: frequent values of categories and quarters of "
        "numbers, a column at a time. The skill is how far the score is on the way from ignoring "
        "the input to 1, since a slice's score is low already where the task is hard. Of many "
        "slices the worst looks worse than it is: chance has helped to choose it.",
        "",
        *table(heads, rows),
    ]


def calibrated(dataset: Dataset, held: HeldOutPredictions) -> list[str]:
    """What was said, beside what came true."""
    share = bool(dataset.classes)
    show = percent if share else number
    if not share:
        what = "Predicted values"
    elif len(dataset.classes) == 2:
        what = f"Probabilities of {code(dataset.classes[1])}"
    else:
        what = "Probabilities of the likeliest class"
    rows = [
        [f"{one.rows:,}", show(one.said), show(one.true), " to ".join(map(show, one.interval))]
        for one in calibration(held)
    ]
    heads = ["test rows", "said", "came true" if share else "was", "95 % interval"]
    return [f"{what}, from the lowest to the highest:", "", *table(heads, rows)]


def out_of_time(dataset: Dataset, manifest: Manifest, predictor: BundlePredictor) -> list[str]:
    """How the model does on the rows after the test rows."""
    held = predict_out_of_time(dataset, predictor)
    if held is None:
        return []
    name = manifest.metrics["primary"]
    low, high = interval(held)
    return [
        f"{len(held.rows):,} rows were neither learned from nor chosen by, nor are they among the "
        f"test rows. On them {name} is {number(held.score())}, between {number(low)} and "
        f"{number(high)}; on the test rows it is {number(manifest.metrics['test'][name])}. "
        "`make monitor PART=out_of_time` tells which columns have moved."
    ]


def took(manifest: Manifest) -> list[str]:
    """Time, energy and price of the training."""
    seconds, busy = manifest.metrics["fit_seconds"], manifest.metrics["cpu_seconds"]
    told = [
        f"All fits together took {seconds:.1f} s, and {busy:.1f} s of CPU time, on a machine with "
        f"{os.cpu_count()} cores: about {busy * WATTS / 3600:.2g} Wh. That is an estimate, from "
        f"{WATTS} W for a busy core; a GPU, memory and whatever else ran are not in it."
    ]
    if JOB:
        told.append("The machine was rented: `make leaderboard` tells what it has cost.")
    return told
