"""Metrics of the predictions whose outcome is known, compared with those of the test set."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from coldstart._markdown import percent
from coldstart.bundle._bundle import Manifest
from coldstart.contract._contract import Contract
from coldstart.data._rows import check_weights
from coldstart.data._splitting import group_numbers
from coldstart.monitor._coverage import Coverage, measure_coverage
from coldstart.monitor._rows import LABEL, PREDICTION, TIME
from coldstart.train._clusters import describe_units, time_blocks
from coldstart.train._evaluation import HeldOutPredictions
from coldstart.train._intervals import interval
from coldstart.train._summary import number

FEW = 30  # outcomes, below which there is no conclusion
MAX_OUTCOMES = 100_000  # that are measured; of more a random sample is
WITHIN_CLASSES = ("roc_auc", "balanced_accuracy")  # which the prevalence does not change
MAX_PERIODS = 24  # weeks that are shown; a longer time is shown by the month


@dataclass(frozen=True)
class WeightedScore:
    """The primary metric of outcomes that are weighted to the prevalence of the test set.

    Average precision falls with the prevalence alone, for the same model: of the rows that are
    predicted to be of a rarer class, more are not.

    Attributes
    ----------
    label : str
        The second class.
    prevalence, tested_prevalence : float
        Its share among the outcomes, and in the test set.
    value : float
        The metric with weights.
    interval : tuple of two floats
        Its 95% confidence interval.
    """

    label: str
    prevalence: float
    tested_prevalence: float
    value: float
    interval: tuple[float, float]

    @classmethod
    def of(cls, held: HeldOutPredictions, label: str, tested_prevalence: float) -> WeightedScore:
        """Weight predictions with outcomes of both classes."""
        value = score_at(held, tested_prevalence)
        low_high = interval(held, prevalence=tested_prevalence)
        prevalence = float(np.average(held.target == 1, weights=held.sample_weight))
        return cls(label, prevalence, tested_prevalence, value, low_high)


@dataclass(frozen=True)
class LiveMetrics:
    """Metrics of the predictions whose outcome is known.

    Attributes
    ----------
    primary : str
        Name of the primary metric.
    rows : int
        Number of known outcomes.
    metrics : dict of str to float
        As the bundle has them of its test set.
    interval : tuple of two floats
        95% confidence interval of the primary metric.
    tested, tested_interval : dict and tuple, optional
        Those of the test set; None if the bundle has none.
    periods : list of tuple
        Start, number of outcomes and primary metric of each week or month; at the prevalence of the
        test set, if the rows are weighted to it.
    units : str
        How many groups or blocks of time the outcomes are in; empty if each row is a unit.
    weighted : WeightedScore, optional
        For two classes, the metric at the prevalence of the test set.
    conclusive : bool
        Whether the outcomes can show that the predictions got worse.
    coverage : Coverage, optional
        The share of the outcomes in their prediction interval or set, if they have one.
    """

    primary: str
    rows: int
    metrics: dict[str, float]
    interval: tuple[float, float]
    tested: dict[str, float] | None
    tested_interval: tuple[float, float] | None
    periods: list[tuple[str, int, float]]
    units: str = ""
    weighted: WeightedScore | None = None
    conclusive: bool = True
    coverage: Coverage | None = None

    @property
    def is_worse(self) -> bool:
        """Whether the whole interval lies below that of the test set, at its prevalence."""
        if self.tested_interval is None or self.rows < FEW or not self.conclusive:
            return False
        now = self.weighted.interval if self.weighted else self.interval
        return now[1] < self.tested_interval[0]

    def explain_coverage(self) -> list[str]:
        """Return a line on how many outcomes are in their prediction interval or set."""
        if (found := self.coverage) is None:
            return []
        (low, high), outcomes = found.interval, "the outcomes"
        kind, off = "interval", "intervals are too narrow"
        if found.size is not None:
            kind, off = "set", "sets are too small"
        if found.rows < self.rows:
            outcomes = f"{found.rows:,} outcomes with a logged set"
        line = (
            f"{percent(found.share)} of {outcomes} are in their {found.nominal:.0%} prediction "
            f"{kind} (95% CI {percent(low)} to {percent(high)})"
        )
        if found.size is not None:
            then = found.tested_size
            tested = "" if then is None else f" ({then:.2f} on the test set)"
            line += f"; a set has {found.size:.2f} classes on average{tested}"
        if high < found.nominal and found.rows >= FEW:
            line += f": the {off} for these rows"
        return [line]

    def explain_prevalence(self) -> list[str]:
        """Return a line if the outcomes have another prevalence than the test set."""
        if self.weighted is None:
            return []
        now, then = percent(self.weighted.prevalence), percent(self.weighted.tested_prevalence)
        if now == then:
            return []
        low, high = self.weighted.interval
        return [
            f"{self.weighted.label!r} is {now} of the outcomes and {then} of the test set, which "
            f"alone changes {self.primary}: weighted to {then}, it is "
            f"{number(self.weighted.value)} (95% CI {number(low)} to {number(high)})"
        ]


def measure_outcomes(
    joined: pl.DataFrame, contract: Contract, manifest: Manifest
) -> LiveMetrics | None:
    """Measure the predictions whose outcome is known; return None if there are none.

    Of more than two classes the log holds the predicted class and not all probabilities, so that
    only metrics of classes are measured. The log has no weights: outcomes that bring none are
    compared with the test rows as if those had none.

    Parameters
    ----------
    joined : DataFrame
        Predictions with the target.
    contract : Contract
        Of the model.
    manifest : Manifest
        Of its bundle.
    """
    tested: dict[str, Any] = manifest.metrics
    primary = tested.get("primary", "")
    weight = [name for name in contract.names("weight") if name in joined.columns]
    for name in weight:
        check_weights(joined[name])
        joined = joined.filter(pl.col(name) > 0)
    if contract.names("weight") and not weight:
        tested = tested.get("unweighted", {})
    if len(joined) > MAX_OUTCOMES:
        joined = joined.sample(MAX_OUTCOMES, seed=0)
    if joined.is_empty():
        return None
    classes, target = manifest.classes, contract.target
    held = replace(
        as_held_out(joined, target, classes),
        groups=units(joined, contract),
        metric=primary,
        sample_weight=joined[weight[0]].to_numpy().astype(np.float64) if weight else None,
    )
    if len(classes) > 2 and not held.scorer.uses_labels:
        held = replace(held, metric="f1_macro")
    name = held.primary
    metrics = held.measure()
    if classes:
        # As texts: an outcome of a class that the model does not know is wrong whatever it says.
        correct = joined[target].cast(pl.String) == joined[LABEL].cast(pl.String)
        metrics["accuracy"] = float(np.average(correct.to_numpy(), weights=held.sample_weight))
    if len(classes) > 2:
        metrics = {key: metrics[key] for key in dict.fromkeys([name, "f1_macro", "accuracy"])}
    low, high = interval(held) if len(joined) > 1 else (metrics[name], metrics[name])
    weighted, both = None, len(np.unique(held.target)) == 2
    if "prevalence" in tested and both and name not in WITHIN_CLASSES:
        weighted = WeightedScore.of(held, classes[1], tested["prevalence"])
    return LiveMetrics(
        name,
        len(joined),
        {key: float(value) for key, value in metrics.items()},
        (low, high),
        tested.get("test"),
        tuple(tested["interval"]) if "interval" in tested and name == (primary or name) else None,
        over_time(joined, held, weighted.tested_prevalence if weighted else None),
        describe_units(held.groups, contract),
        weighted,
        conclusive=both or len(classes) != 2,
        coverage=measure_coverage(joined, held, manifest),
    )


def units(joined: pl.DataFrame, contract: Contract) -> np.ndarray | None:
    """Return the group or the block of time of each outcome, if rows are split by one."""
    group = contract.names("group")
    if group and group[0] in joined.columns:
        return group_numbers(joined[group[0]])
    if contract.names("time") and TIME in joined.columns:
        return time_blocks(joined[TIME])
    return None


def as_held_out(joined: pl.DataFrame, target: str, classes: list[str]) -> HeldOutPredictions:
    """Return the predictions in the form that is evaluated.

    An outcome of a class that the model does not know is not the second of two classes; of more
    classes it is one more, which was not predicted.
    """
    predicted = joined[PREDICTION].to_numpy().astype(np.float64)
    rows = np.arange(len(joined))
    if not classes:
        true = joined[target].to_numpy().astype(np.float64)
        no_labels = np.zeros((1, len(predicted)), np.int64)
        return HeldOutPredictions(rows, true, predicted[None, :, None], no_labels)
    known = {name: number for number, name in enumerate(classes)}
    new = 0 if len(classes) == 2 else len(classes)
    true, labels = (
        joined[name]
        .cast(pl.String)
        .replace_strict(known, default=new, return_dtype=pl.Int64)
        .to_numpy()
        for name in (target, LABEL)
    )
    probabilities = np.eye(max(len(classes), new + 1))[labels]
    if len(classes) == 2:
        probabilities = np.column_stack([1 - predicted, predicted])
    return HeldOutPredictions(rows, true, probabilities[None], labels[None])


def score_at(held: HeldOutPredictions, prevalence: float | None) -> float:
    """Return the primary metric, weighted to a prevalence of the second of two classes if given."""
    return float(held.weighted_scores(np.ones((1, len(held.rows))), prevalence)[0])


def over_time(
    joined: pl.DataFrame, held: HeldOutPredictions, prevalence: float | None = None
) -> list[tuple[str, int, float]]:
    """Return the primary metric of each week, or of each month of a longer time."""
    if TIME not in joined.columns:
        return []
    times = joined[TIME]
    weeks = times.dt.truncate("1w")
    by_week = weeks.n_unique() <= MAX_PERIODS
    starts = weeks if by_week else times.dt.truncate("1mo")
    periods = []
    for start in starts.drop_nulls().unique().sort():
        among = held[(starts == start).fill_null(False).to_numpy()]
        name = f"{start:%Y-%m-%d}" if by_week else f"{start:%Y-%m}"
        value = score_at(among, prevalence)
        periods.append((name, len(among.target), value))
    return periods
