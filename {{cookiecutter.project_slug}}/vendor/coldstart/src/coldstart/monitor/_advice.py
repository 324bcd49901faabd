"""Advice: what to do about the findings, the most urgent first."""

from __future__ import annotations

from markupsafe import Markup

from coldstart.monitor._comparison import Comparison
from coldstart.monitor._live_metrics import FEW

EMPTIED = 0.05  # rise of the share of missing values that is worth a question
ASK_SOURCE = Markup(
    "Ask the source of <span class=name>{}</span> what changed: values {}. Fix a mistake at the "
    "source; training again does not."
)
RETRAIN = Markup(
    "Train on newer rows: <code>make collect</code> (or <code>make data</code>), <code>make "
    "train</code>, <code>make promote</code>."
)
WORSE = Markup("The predictions got worse. {} Until then, warn the users of the predictions.")
NOT_WORSE = Markup(
    "The rows changed, but the metrics on known outcomes are not significantly lower than on the "
    "test set. Train on newer rows when it suits you; <code>make promote</code> shows whether the "
    "new model is better."
)
UNKNOWN = Markup(
    "Only outcomes show whether the predictions are still good. Collect some, then run <code>make "
    "monitor OUTCOMES=known.csv</code>. If you cannot get them soon: {}"
)
COLUMNS = [
    "Look at the drifted columns below. Which changes did you expect (a season, a new customer), "
    "and which are mistakes?",
    Markup(
        "If all changes are expected, a model that is trained on newer rows brings newer reference "
        "rows. Until then, raise <code>--threshold</code> and <code>--share</code>."
    ),
]


def advice(found: Comparison) -> list[str]:
    """Return what to do about the findings, as HTML.

    Parameters
    ----------
    found : Comparison
        The findings.
    """
    broken = [one.name for one in found.findings if one.broken]
    emptied = [
        one.name
        for one in found.findings
        if one.drifted and not one.broken and one.missing[1] - one.missing[0] >= EMPTIED
    ]
    lines: list[str] = []
    if broken:
        what = "have another unit, spelling or meaning, or are missing"
        lines.append(ASK_SOURCE.format(", ".join(broken), what))
    if emptied:
        lines.append(ASK_SOURCE.format(", ".join(emptied), "are missing more often than before"))
    if found.reasons:
        lines += [on_predictions(found), *COLUMNS]
    return lines or ["Nothing now. Run make monitor again on a schedule."]


def on_predictions(found: Comparison) -> str:
    """Return what to do about the predictions."""
    live = found.live
    if live and live.is_worse:
        return WORSE.format(RETRAIN)
    if live and live.tested_interval and live.rows >= FEW and live.conclusive:
        return NOT_WORSE
    return UNKNOWN.format(RETRAIN)
