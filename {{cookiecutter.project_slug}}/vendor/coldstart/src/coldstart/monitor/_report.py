"""The drift report: one HTML file that needs no network; the verdict first, then what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from coldstart._html import write_page
from coldstart.monitor._advice import advice
from coldstart.monitor._comparison import Comparison
from coldstart.monitor._drift import BROKEN, SHUFFLES, Finding
from coldstart.monitor._live_metrics import FEW, LiveMetrics
from coldstart.train._metrics import TITLES
from coldstart.train._summary import number

REPORT = Path("data/drift.html")
PLOTTED = 40  # columns whose bins are shown
LONGEST = 12  # bins of a column that are shown


def write_report(found: Comparison) -> None:
    """Write the report.

    Parameters
    ----------
    found : Comparison
        The findings.
    """
    span = f", {found.first:%Y-%m-%d} to {found.last:%Y-%m-%d}" if found.first else ""
    drifted = sum(one.drifted for one in found.findings)
    facts = {
        "rows": f"{found.rows:,}",
        "model": f"version {found.version}",
        "columns drifted": f"{drifted} of {len(found.findings)}",
        "predictions": "drifted" if found.prediction.drifted else "no drift",
    }
    live, notes = found.live, [*found.notes]
    if live:
        metric = TITLES[live.primary]
        facts[f"{metric} now"] = number(live.metrics[live.primary])
        notes += live.explain_coverage() + live.explain_prevalence()
    if found.absent:
        notes.append(f"not in the rows, so not compared: {', '.join(found.absent)}")
    shown = found.findings[:PLOTTED]
    write_page(
        REPORT,
        "drift.html",
        title=f"{'Drift' if found.reasons else 'No drift'}: {found.predictor.contract.target}",
        subtitle=f"{found.name}{span}",
        facts=facts,
        found=found,
        notes=notes,
        advice=advice(found),
        cards=[
            card("predictions", found.prediction),
            *(card(one.name, one) for one in shown),
        ],
        more=len(found.findings) - len(shown),
        fitted=max((int(one.tally.reference.sum()) for one in found.findings), default=0),
        live=live,
        **(live_values(live) if live else {}),
        number=number,
        few=FEW,
        broken=BROKEN,
        shuffles=SHUFFLES,
    )


def live_values(live: LiveMetrics) -> dict[str, Any]:
    """Return what the template shows of metrics on known outcomes."""
    rows = []
    for name, value in live.metrics.items():
        tested = live.tested.get(name) if live.tested else None
        is_primary = name == live.primary
        rows.append(
            (
                name.replace("_", " "),
                number(value),
                between(live.interval) if is_primary else "",
                "" if tested is None else number(tested),
                between(live.tested_interval) if is_primary and live.tested_interval else "",
            )
        )
    low = live.tested_interval[0] if live.tested_interval else None
    return {
        "metrics": rows,
        "metric": live.primary.replace("_", " "),
        "low": low,
        "top": max(1e-9, low or 0, *(value for *_, value in live.periods or [("", 0, 0.0)])),
    }


def between(interval: tuple[float, float]) -> str:
    """Return an interval in words."""
    return f"{number(interval[0])} to {number(interval[1])}"


def card(title: str, one: Finding) -> dict[str, Any]:
    """Return the bins of a column, of many those that changed most."""
    then, now = (counts / counts.sum() for counts in (one.tally.reference, one.tally.served))
    there = [i for i in range(len(then)) if then[i] or now[i]]
    chosen = sorted(sorted(there, key=lambda i: -abs(now[i] - then[i]))[:LONGEST])
    labels = one.tally.bins.labels
    return {
        "title": title,
        "drifted": one.drifted,
        "bins": [{"label": labels[i][:60], "then": then[i], "now": now[i]} for i in chosen],
        "top": max(max(then[i], now[i]) for i in chosen),
        "left_out": len(there) - len(chosen),
        "new": one.new,
    }
