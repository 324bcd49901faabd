"""The comparison: rows of now beside those that the model was fitted on and tested with."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

import polars as pl

from coldstart.bundle._bundle import REFERENCE, TESTED
from coldstart.bundle._predictor import BundlePredictor
from coldstart.errors import UserError
from coldstart.monitor._bins import bin_labels, bin_numbers
from coldstart.monitor._drift import BROKEN, Finding, Tally
from coldstart.monitor._live_metrics import LiveMetrics, measure_outcomes
from coldstart.monitor._outcomes import (
    Outcomes,
    explain_new_classes,
    explain_units,
    explain_weights,
)
from coldstart.monitor._rows import (
    LABEL,
    PREDICTION,
    TIME,
    Rows,
    feature_types,
    with_predictions,
)
from coldstart.serve._live_model import reference_rows


@dataclass
class Comparison:
    """Compared rows, and the findings.

    Attributes
    ----------
    predictor : BundlePredictor
        The model.
    name : str
        Where the rows are from.
    rows : int
        Number of rows.
    threshold : float
        Distance from which a column has drifted.
    findings : list of Finding
        Of the columns, the largest distance first.
    prediction : Finding
        Of the predictions.
    live : LiveMetrics or None
        Metrics of the predictions with a known outcome.
    first, last : datetime or None
        Times of the first and last row, where they are known.
    absent : list of str
        Features that the rows do not have: the prediction log leaves personal columns out.
    notes : list of str
        What the reader should know of the rows.
    reasons : list of str
        Why this is drift; empty if it is not.
    """

    predictor: BundlePredictor
    name: str
    rows: int
    threshold: float
    findings: list[Finding]
    prediction: Finding
    live: LiveMetrics | None
    first: dt.datetime | None
    last: dt.datetime | None
    absent: list[str]
    notes: list[str]
    reasons: list[str] = field(default_factory=list)

    @property
    def version(self) -> str:
        """The model's version in the registry."""
        return self.predictor.number


def compare(
    predictor: BundlePredictor,
    rows: Rows,
    outcomes: Outcomes | None,
    threshold: float,
    share: float,
) -> Comparison:
    """Count the rows by the reference's bins, a slice at a time, and compare the counts.

    Parameters
    ----------
    predictor : BundlePredictor
        The model.
    rows : Rows
        The rows, with predictions.
    outcomes : Outcomes or None
        Their outcomes, if they do not bring them.
    threshold : float
        Distance from which a column has drifted.
    share : float
        Share of drifted columns from which the rows have.

    Raises
    ------
    UserError
        If there are no rows, or the bundle has no reference rows.
    """
    contract = predictor.contract
    tallies, predictions = empty_tallies(predictor)
    total, seen, times = 0, set[str](), list[dt.datetime]()
    for some in rows:
        total += len(some)
        seen.update(some.columns)
        for name, tally in tallies.items():
            if name in some.columns:
                tally.add(some[name])
        predictions.add(some[predictions.name])
        if TIME in some.columns:
            extremes = some[TIME].drop_nulls()
            times = sorted([*times, *extremes.sort()[[0, -1]]]) if len(extremes) else times
        if outcomes is None and contract.target in some.columns:
            outcomes = Outcomes.of(contract)
        if outcomes:
            outcomes.add(some)
    if not total:
        raise UserError("; ".join([f"{rows.name} has no rows to compare", *rows.notes()]))

    findings = [tally.finding(threshold) for tally in tallies.values() if tally.name in seen]
    findings.sort(key=lambda one: (one.drifted, one.score), reverse=True)
    notes, live = rows.notes(), None
    if outcomes:
        joined = outcomes.joined(total)
        live = measure_outcomes(joined, contract, predictor.manifest)
        notes = [
            *notes,
            *outcomes.notes,
            *explain_new_classes(joined, contract, predictor.manifest),
            *explain_units(joined, contract),
            *explain_weights(joined, contract, predictor.manifest),
        ]
    found = Comparison(
        predictor=predictor,
        name=rows.name,
        rows=total,
        threshold=threshold,
        findings=findings,
        prediction=predictions.finding(threshold),
        live=live,
        first=times[0] if times else None,
        last=times[-1] if times else None,
        absent=[name for name in tallies if name not in seen],
        notes=notes,
    )
    found.reasons = reasons(found, share)
    return found


def empty_tallies(predictor: BundlePredictor) -> tuple[dict[str, Tally], Tally]:
    """Return a tally of each feature, and one of the predictions, that have counted no rows yet.

    Features are compared with rows that the model was fitted on. Predictions are compared with
    those of the test set, since a model is more certain of the rows it was fitted on.

    Raises
    ------
    UserError
        If the bundle has no reference rows.
    """
    if not (predictor.folder / REFERENCE).is_file():
        raise UserError(f"{predictor.folder} has no {REFERENCE} to compare with; run: make train")
    columns = feature_types(predictor.contract)
    rows = [row for row, _ in reference_rows(predictor)]
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
    values = kept_predictions(predictor)
    if values is None:
        values = with_predictions(predictor, fitted)[name]
    bins = bin_labels(values, rare=0) if many else bin_numbers(values)
    return tallies, Tally.of(name, bins, values)


def kept_predictions(predictor: BundlePredictor) -> pl.Series | None:
    """Return one prediction of each test row; None if the bundle does not keep them."""
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
    """Return why this is drift, a line for each reason."""
    drifted = [one for one in found.findings if one.drifted]
    broken = [one.name for one in drifted if one.broken]
    lines = []
    if found.live and found.live.is_worse:
        lines.append(f"{found.live.primary} is significantly lower than on the test set")
    if found.prediction.drifted:
        lines.append("the predictions have drifted")
    if found.findings and len(drifted) >= share * len(found.findings):
        lines.append(f"{len(drifted)} of {len(found.findings)} columns have drifted")
    if broken:
        lines.append(f"broken columns (distance {BROKEN:g} or more): {', '.join(broken)}")
    return lines
