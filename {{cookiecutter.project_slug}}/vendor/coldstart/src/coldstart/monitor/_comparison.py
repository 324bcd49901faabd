"""The comparison: what the model was fitted on and tested with, beside rows of now."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

import polars as pl

from coldstart.bundle._bundle import REFERENCE, TESTED
from coldstart.bundle._predictor import BundlePredictor
from coldstart.errors import UserError
from coldstart.monitor._bins import of_labels, of_numbers
from coldstart.monitor._drift import BROKEN, Finding, Tally
from coldstart.monitor._outcomes import Live, Outcomes, judge
from coldstart.monitor._rows import LABEL, PREDICTION, TIME, Rows, answered, types
from coldstart.serve._live_model import reference_rows


@dataclass
class Comparison:
    """What was compared, and what came of it.

    Attributes
    ----------
    name
        Of the rows, for people.
    findings
        Of the columns, the most drifted first.
    prediction
        Of the answers.
    live
        How good they were, where outcomes are known.
    first, last
        Times of the first and last row, where they are known.
    absent
        Features that the rows do not have: the record leaves personal columns out.
    said
        What a person should know of the rows.
    reasons
        Why this is drift; none if it is not.
    """

    predictor: BundlePredictor
    name: str
    rows: int
    threshold: float
    findings: list[Finding]
    prediction: Finding
    live: Live | None
    first: dt.datetime | None
    last: dt.datetime | None
    absent: list[str]
    said: list[str]
    reasons: list[str] = field(default_factory=list)

    @property
    def version(self) -> str:
        """Of the model."""
        return self.predictor.version.get("version", "unregistered")


def compare(
    predictor: BundlePredictor, rows: Rows, outcomes: Outcomes | None, threshold: float, share: float
) -> Comparison:
    """Count the rows by the reference's bins, a slice at a time, and compare the counts.

    Parameters
    ----------
    threshold, share
        Distance from which a column has drifted, and share of such columns from which all has.

    Raises
    ------
    UserError
        If there are no rows, or the bundle has no reference.
    """
    contract = predictor.contract
    tallies, answers = begin(predictor)
    total, seen, times = 0, set[str](), list[dt.datetime]()
    for some in rows:
        total += len(some)
        seen.update(some.columns)
        for name, tally in tallies.items():
            if name in some.columns:
                tally.add(some[name])
        answers.add(some[answers.name])
        if TIME in some.columns:
            extremes = some[TIME].drop_nulls()
            times = sorted([*times, *extremes.sort()[[0, -1]]]) if len(extremes) else times
        if outcomes is None and contract.target in some.columns:
            outcomes = Outcomes(contract.target)
        if outcomes:
            outcomes.add(some)
    if not total:
        raise UserError("; ".join([f"{rows.name} has nothing to compare", *rows.said()]))

    findings = [tally.finding(threshold) for tally in tallies.values() if tally.name in seen]
    findings.sort(key=lambda one: (one.drifted, one.score), reverse=True)
    said, live = rows.said(), None
    if outcomes:
        live = judge(outcomes.joined(total), contract, predictor.manifest)
        said += outcomes.said
    found = Comparison(
        predictor=predictor,
        name=rows.name,
        rows=total,
        threshold=threshold,
        findings=findings,
        prediction=answers.finding(threshold),
        live=live,
        first=times[0] if times else None,
        last=times[-1] if times else None,
        absent=[name for name in tallies if name not in seen],
        said=said,
    )
    found.reasons = reasons(found, share)
    return found


def begin(predictor: BundlePredictor) -> tuple[dict[str, Tally], Tally]:
    """Begin to count: each feature, and the answers.

    Features are held against rows that the model was fitted on. Answers are held against
    those of the test rows, since a model answers with more certainty what it was fitted on.

    Raises
    ------
    UserError
        If the bundle has no reference.
    """
    if not (predictor.folder / REFERENCE).is_file():
        raise UserError(f"{predictor.folder} has no {REFERENCE} to compare with; run: make train")
    columns, rows = types(predictor.contract), [row for row, _ in reference_rows(predictor)]
    fitted = pl.DataFrame(
        [
            pl.Series(name, [row.get(name) for row in rows], kind, strict=False)
            for name, kind in columns.items()
        ]
    )
    tallies = {
        name: Tally.of_column(name, column, fitted[name])
        for name, column in predictor.contract.features.items()
    }
    many = len(predictor.manifest.classes) > 2
    name = LABEL if many else PREDICTION
    values = answered(predictor, fitted)[name] if (found := tested(predictor)) is None else found
    bins = of_labels(values, rare=0) if many else of_numbers(values)
    return tallies, Tally.of(name, bins, values)


def tested(predictor: BundlePredictor) -> pl.Series | None:
    """What the model answered to each test row, once; None if the bundle does not tell."""
    path, classes = predictor.folder / TESTED, predictor.manifest.classes
    if not path.is_file():
        return None
    table = pl.read_csv(path).filter(pl.col("repeat") == 0)
    width = len(table.select(pl.col("^prediction .*$")).columns)
    if width != max(1, len(classes)):  # one of the classes was never fitted
        return None
    if len(classes) > 2:
        return pl.Series([classes[number] for number in table["label"]], dtype=pl.String)
    return table[f"prediction {width - 1}"]


def reasons(found: Comparison, share: float) -> list[str]:
    """Why this is drift, a line each."""
    drifted = [one for one in found.findings if one.drifted]
    broken = [one.name for one in drifted if one.broken]
    lines = []
    if live := found.live if found.live and found.live.fell else None:
        lines.append(f"the answers are worse than those of the test rows ({live.primary})")
    if found.prediction.drifted:
        lines.append("the predictions have drifted")
    if found.findings and len(drifted) >= share * len(found.findings):
        lines.append(f"{len(drifted)} of {len(found.findings)} columns have drifted")
    if broken:
        lines.append(f"{', '.join(broken)} can hardly be the same column ({BROKEN:g} or more)")
    return lines
