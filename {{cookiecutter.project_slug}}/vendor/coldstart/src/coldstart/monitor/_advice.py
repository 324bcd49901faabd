"""Advice: what to do about what was found, the most urgent first."""

from __future__ import annotations

from html import escape

from coldstart.monitor._comparison import Comparison
from coldstart.monitor._outcomes import FEW

EMPTIED = 0.05  # rise of the share of missing values, from which it is worth a question
OF_COLUMNS = [
    "Look at the drifted columns below: which of these changes were to be expected (a season, a "
    "new customer), and which are mistakes?",
    "If all is as it should be, a model that is trained on newer rows brings a newer reference; "
    "until then <code>--threshold</code> and <code>--share</code> may be raised.",
]


def advice(found: Comparison) -> list[str]:
    """Say what to do; HTML."""
    broken = [one.name for one in found.findings if one.broken]
    emptied = [
        one.name
        for one in found.findings
        if one.drifted and not one.broken and one.missing[1] - one.missing[0] >= EMPTIED
    ]
    lines = []
    for names, what in (
        (broken, "came in another unit, spelling or meaning, or not at all"),
        (emptied, "are missing more often than before"),
    ):
        if names:
            lines.append(
                f"Ask whoever sends <span class=name>{escape(', '.join(names))}</span> what "
                f"changed there: values {what}. A mistake is mended at the source, not by training."
            )
    if found.reasons:
        lines += [of_answers(found), *OF_COLUMNS]
    return lines or ["Nothing now. Let a scheduled job look again: the limb's README shows one."]


def of_answers(found: Comparison) -> str:
    """Say what to do about the answers."""
    live = found.live
    if live and live.fell:
        return (
            "The answers got worse. Train on rows that hold what is new: <code>make collect</code> "
            "(or <code>make data</code>), <code>make train</code>, <code>make promote</code>. "
            "Until then tell those who rely on the answers."
        )
    if live and live.tested and live.rows >= FEW:
        return (
            "The rows are others, but the answers whose outcome is known are not worse than in the "
            "test beyond chance. There is no hurry: a training on newer rows, and "
            "<code>make promote</code>, will show whether it is worth it."
        )
    return (
        "Whether the answers are still good, only what came true can tell: collect outcomes, and "
        "<code>make monitor OUTCOMES=known.csv</code>. If they cannot be had soon, train on newer "
        "rows and compare: <code>make train</code>, <code>make promote</code>."
    )
