"""Interview questions, with this project's numbers from the champion's bundle."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from coldstart._markdown import code
from coldstart.bundle._bundle import REFERENCE, Manifest, registered_version, verify_bundle
from coldstart.contract._contract import Contract
from coldstart.train._metrics import TITLES
from coldstart.train._summary import number

TEXT = Path(__file__).with_name("questions.md")
MANY_GAPS = 0.2  # share of missing values from which a column is named
MAX_NAMED = 3


@dataclass(frozen=True)
class ChampionFacts:
    """What the champion's bundle says of the project.

    Parameters
    ----------
    folder : Path
        The bundle.
    """

    folder: Path

    @cached_property
    def manifest(self) -> Manifest:
        """The bundle's manifest."""
        return verify_bundle(self.folder)

    @cached_property
    def contract(self) -> Contract:
        """The bundle's schema."""
        return Contract.load(self.folder / "schema.yaml")

    @property
    def metrics(self) -> dict[str, Any]:
        """All metrics."""
        return self.manifest.metrics

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of the training."""
        found: dict[str, Any] = self.manifest.provenance["settings"]
        return found

    def score(self, of: str) -> str:
        """Return the primary metric of the model (`test`) or of a baseline, in words."""
        name = self.metrics["primary"]
        return f"{TITLES[name]} {number(self.metrics[of][name])}"

    def missing_shares(self) -> dict[str, float]:
        """Return the share of reference rows in which each feature is missing, most first."""
        path = self.folder / REFERENCE
        if not path.is_file():
            return {}
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        shares = {
            name: sum(not row.get(name) for row in rows) / len(rows)
            for name in self.contract.features
        }
        return dict(sorted(shares.items(), key=lambda item: -item[1]))


def split(facts: ChampionFacts) -> str:
    """Describe the split."""
    if time := facts.contract.names("time"):
        dates = facts.settings["split"]
        until = [dates[name] for name in ("train_until", "validate_until", "test_until")]
        ends = f"; the parts end before {', '.join(until)}" if all(until) else ""
        return f"The rows are split by {code(time[0])}{ends}."
    if group := facts.contract.names("group"):
        return f"The rows are split by {code(group[0])}: no group is on both sides."
    return "No column is a time or a group, so the rows are split at random."


def left_out(facts: ChampionFacts) -> str:
    """Name the columns that are left out for a reason."""
    columns = facts.contract.columns.items()
    named = [f"{code(name)} ({one.reason.rstrip('.')})" for name, one in columns if one.reason]
    if not named:
        return "No column is left out for a reason that schema.yaml names."
    return f"Left out: {'; '.join(named[:MAX_NAMED])}."


def missing(facts: ChampionFacts) -> str:
    """Name the features that are missing most often."""
    named = [
        f"{code(name)} ({share:.0%})"
        for name, share in facts.missing_shares().items()
        if share >= MANY_GAPS
    ]
    if not named:
        return f"No feature is missing in {MANY_GAPS:.0%} of the reference rows or more."
    return f"Missing most often in the reference rows: {', '.join(named[:MAX_NAMED])}."


def personal(facts: ChampionFacts) -> str:
    """Name the columns that are marked as personal."""
    named = [code(name) for name, one in facts.contract.columns.items() if one.personal]
    return f"Marked as personal: {', '.join(named) if named else 'no column'}."


def metric(facts: ChampionFacts) -> str:
    """Give the primary metric, and the accuracy of model and dummy baseline."""
    test, dummy = facts.metrics["test"], facts.metrics["baseline"]
    text = f"The champion has {facts.score('test')} on the test rows."
    if "accuracy" in test:
        text += (
            f" Its accuracy is {number(test['accuracy'])}; that of the dummy baseline is "
            f"{number(dummy['accuracy'])}."
        )
    return text


def baselines(facts: ChampionFacts) -> str:
    """Give the scores of the baselines."""
    named = {
        "dummy baseline": "baseline",
        f"single-feature baseline ({code(facts.metrics['column']['name'])})": "column",
        "seasonal naive forecast": "naive",
    }
    shown = [f"{title} {facts.score(of)}" for title, of in named.items() if facts.metrics.get(of)]
    return f"Champion {facts.score('test')}; {'; '.join(shown)}."


def interval(facts: ChampionFacts) -> str:
    """Give the interval of the score."""
    low, high = facts.metrics["interval"]
    units = f"; the test rows are {facts.metrics['units']}" if facts.metrics.get("units") else ""
    return f"{facts.score('test')} (95% CI {number(low)} to {number(high)}{units})."


def chosen(facts: ChampionFacts) -> str:
    """Give the score that the champion was chosen by."""
    return (
        f"The champion, {facts.manifest.family}, was chosen by its validation score of "
        f"{number(facts.metrics['validation'])}; on the test rows it has {facts.score('test')}."
    )


def calibration(facts: ChampionFacts) -> str:
    """Give the calibration error."""
    error = facts.metrics["test"].get("calibration_error")
    return f"The champion's calibration error is {number(error)}." if error is not None else ""


def threshold(facts: ChampionFacts) -> str:
    """Give the threshold."""
    limit, classes = facts.manifest.threshold, facts.manifest.classes
    if limit is None:
        return "The target does not have two classes, so there is no threshold."
    return (
        f"The champion predicts {code(classes[1])} from a probability of {limit:.3f}, which "
        f"{facts.manifest.decision}."
    )


def tuned(facts: ChampionFacts) -> str:
    """Say whether the champion was trained with tuned values."""
    values = facts.settings.get("tuned", {}).get(facts.manifest.family)
    if not values:
        return "The champion has the values of models.py; no tuned ones are in config.yaml."
    return f"The champion has tuned values: {', '.join(f'{k} {v:.3g}' for k, v in values.items())}."


def parity(facts: ChampionFacts) -> str:
    """Give the largest difference between graph and fitted model."""
    return f"The largest difference that was measured is {facts.metrics['parity']:.1e}."


def version(facts: ChampionFacts) -> str:
    """Name the champion."""
    number = registered_version(facts.folder).get("version", "unregistered")
    return f"The champion is version {number}, {facts.manifest.family}."


def compute(facts: ChampionFacts) -> str:
    """Give the time of the training."""
    return f"All fits of the champion took {facts.metrics['cpu_seconds']:.1f} s of CPU time."


def reproduce(facts: ChampionFacts) -> str:
    """Give the commit and the data."""
    origin = facts.manifest.provenance
    return f"Commit {origin['git_commit'][:12]}, data {origin['data'][:12]}."


ANSWERS: dict[str, Callable[[ChampionFacts], str]] = {
    one.__name__: one
    for one in (
        *(split, left_out, missing, personal, metric, baselines, interval, chosen, calibration),
        *(threshold, tuned, parity, version, compute, reproduce),
    )
}


def render_questions(package: str = "PACKAGE", facts: ChampionFacts | None = None) -> str:
    """Return the questions and answers in Markdown.

    Parameters
    ----------
    package : str
        Name of the project's package, for the paths to look up.
    facts : ChampionFacts, optional
        Without them the answers are the general ones, without numbers.
    """
    text = TEXT.read_text(encoding="utf-8").replace("{package}", package)

    def fill(match: re.Match[str]) -> str:
        answer = ANSWERS[match[1]](facts) if facts else ""
        return f"In this project: {answer}" if answer else ""

    return re.sub(r"\n{3,}", "\n\n", re.sub(r"\{(\w+)\}", fill, text))
