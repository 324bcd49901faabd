"""The report: one HTML file with what was found, the doubtful first, that needs no network."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from pathlib import Path

import numpy as np
import polars as pl

from coldstart.data.profiling._column_profile import ColumnProfile
from coldstart.data.profiling._table_profile import TableProfile

REPORT = Path("data/report.html")
COLUMNS = 300  # shown in the table of columns
PLOTTED = 40  # columns shown with their distributions
ROWS = 10_000  # rows that these are drawn from

STYLE = """
:root { color-scheme: light; --ink: #1c2430; --soft: #5b6675; --line: #d9dfe7; --bar: #2f6fb2;
  --bad: #b3261e; --warn: #8a5a00; --back: #f6f8fa; }
* { box-sizing: border-box; }
body { margin: 0; font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: #fff; }
main { max-width: 76rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; } h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; }
p { margin: .25rem 0 .75rem; max-width: 50rem; } .soft { color: var(--soft); }
ul { padding-left: 1.2rem; margin: .25rem 0; } li { margin: .3rem 0; max-width: 55rem; }
code, .name { font-family: ui-monospace, monospace; font-size: .9em; overflow-wrap: anywhere; }
.facts { display: flex; flex-wrap: wrap; gap: .5rem 2rem; margin: 1rem 0; padding: 0; }
.facts div { min-width: 6rem; } .facts b { display: block; font-size: 1.3rem; }
.box { border-left: 4px solid var(--line); background: var(--back); padding: .6rem 1rem; }
.bad { border-color: var(--bad); } .warn { border-color: var(--warn); }
.wide { overflow-x: auto; border: 1px solid var(--line); }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; padding: .4rem .6rem; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { background: var(--back); white-space: nowrap; } td.n, th.n { text-align: right; }
td.why { min-width: 16rem; } td.name { min-width: 8rem; } .out .name { color: var(--soft); }
.track { display: inline-block; width: 5rem; height: .6rem; background: var(--line); }
.track i { display: block; height: 100%; background: var(--bar); }
.leak i { background: var(--bad); }
"""


def write_report(found: TableProfile) -> None:
    """Write the report."""
    aim = found.looks[found.target]
    findings = found.findings
    title = f"What the table says about {found.target}"
    facts = [
        ("rows", f"{found.rows:,}"),
        ("columns", f"{sum('lag_of' not in one.settings for one in found.looks.values()):,}"),
        ("features", f"{len(found.with_role('feature', 'series')):,}"),
        ("exact copies", f"{found.copies:,}"),
        (f"without {found.target}", f"{found.missing_target:,}"),
    ]
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p class=soft>Target: <span class=name>{escape(found.target)}</span>, "
        f"{escape(aim.type)}. Split {escape(found.split)}. All decisions stand in schema.yaml with "
        "their reasons, and can be overruled there.</p>",
        "<div class=facts>"
        + "".join(f"<div><b>{value}</b>{escape(name)}</div>" for name, value in facts)
        + "</div>",
        leaks(found),
        doubts(found),
        roles(found),
        reading(found),
        columns(found),
        distributions(found),
    ]
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(
        "<!doctype html><html lang=en><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style><main>{''.join(parts)}</main>"
        f"<!-- {findings.metric} --></html>",
        encoding="utf-8",
    )


def items(lines: Iterable[str]) -> str:
    """A list; its lines are HTML."""
    return "<ul>" + "".join(f"<li>{line}</li>" for line in lines) + "</ul>"


def named(name: str, text: str) -> str:
    """What is said about a column."""
    return f"<span class=name>{escape(name)}</span>: {escape(text)}"


def leaks(found: TableProfile) -> str:
    """Columns that are left out because they give the target away."""
    metric = found.findings.metric
    lines = []
    for leak in found.findings.leaks:
        faked = "" if np.isnan(leak.score) else f" Alone it would have faked {metric} "
        faked += "" if np.isnan(leak.score) else f"{leak.score:.3f}."
        lines.append(named(leak.column, leak.why + faked))
    if not lines:
        return "<h2>Leaks</h2><p>No column gives the target away beyond what is plausible.</p>"
    return (
        f"<h2>Leaks: left out</h2><div class='box bad'>{items(lines)}<p class=soft>To use one all "
        "the same, give it <code>role: feature</code> in schema.yaml: only if it is known before "
        "the outcome.</p></div>"
    )


def doubts(found: TableProfile) -> str:
    """What a person should look at."""
    lines = [
        named(leak.column, f"{leak.why} (alone {leak.score:.3f})") for leak in found.findings.doubts
    ]
    lines += [named(one.name, d) for one in found.looks.values() for d in one.doubts][:50]
    lines += [escape(doubt) for doubt in found.doubts]
    return f"<h2>Look at</h2><div class='box warn'>{items(lines)}</div>" if lines else ""


def roles(found: TableProfile) -> str:
    """Roles other than feature, and how to overrule them."""
    leaking = {leak.column for leak in found.findings.leaks}
    lines = []
    for one in found.with_role("time", "group", "series", "id", "ignore"):
        if one.name not in leaking:
            why = one.settings.get("reason") or " ".join(one.notes)
            lines.append(f"{named(one.name, why)} <code>role: {one.role}</code>")
    if not lines:
        return ""
    more = [f"... and {len(lines) - 60} more"] if len(lines) > 60 else []
    return (
        f"<h2>No features, and why</h2>{items(lines[:60] + more)}<p class=soft>To make one a "
        "feature, take its role out of schema.yaml.</p>"
    )


def reading(found: TableProfile) -> str:
    """How the files are written."""
    return f"<h2>How it is written</h2>{items(map(escape, found.reading))}" if found.reading else ""


def columns(found: TableProfile) -> str:
    """All columns, the most telling first."""
    alone, metric = found.findings.alone, found.findings.metric
    nothing = 0.5 if metric == "ROC AUC" else 0.0
    leaking = {leak.column for leak in found.findings.leaks}
    ranked = sorted(
        found.looks.values(), key=lambda one: (one.role != "target", -alone.get(one.name, -1.0))
    )
    rows = []
    for one in ranked[:COLUMNS]:
        score = alone.get(one.name)
        bar = ""
        if score is not None:
            width = 100 * min(1.0, max(0.0, (score - nothing) / (1 - nothing)))
            kind = "track leak" if one.name in leaking else "track"
            bar = f"<span class='{kind}'><i style='width:{width:.0f}%'></i></span> {score:.3f}"
        missing = one.values.null_count() / max(1, len(one.values))
        why = ". ".join(t.rstrip(".") for t in [one.settings.get("reason", ""), *one.notes] if t)
        shown = "" if "identifies a person" in why else examples(one)
        rows.append(
            f"<tr class={'out' if one.role in ('id', 'ignore') else 'in'}>"
            f"<td class=name>{escape(one.name)}</td><td>{one.type}</td><td>{one.role}</td>"
            f"<td style='white-space:nowrap'>{bar}</td><td class=n>{missing:.1%}</td>"
            f"<td class=n>{one.distinct:,}</td><td class=n>{outliers(one)}</td>"
            f"<td class=name>{escape(shown)}</td><td class=why>{escape(why)}</td></tr>"
        )
    more = ""
    if len(ranked) > COLUMNS:
        more = f"<p class=soft>{len(ranked) - COLUMNS:,} more columns, that tell less.</p>"
    together = ""
    if metric and alone:
        together = (
            f"<p>The bar is how much each column tells alone: {metric}, measured out of fold on at "
            f"most 20,000 rows ({nothing:g} is nothing, 1 is everything). All that are kept "
            f"together: {found.findings.together:.3f}.</p>"
        )
    head = "".join(
        f"<th{' class=n' if name in ('missing', 'different', 'outliers') else ''}>{name}</th>"
        for name in ("column", "type", "role", "alone", "missing", "different", "outliers",
                     "such as", "why")
    )  # fmt: skip
    return (
        f"<h2>Columns</h2>{together}<div class=wide><table><tr>{head}</tr>{''.join(rows)}</table>"
        f"</div>{more}"
    )


def examples(one: ColumnProfile) -> str:
    """A few values."""
    common = one.raw.drop_nulls().head(2_000).value_counts(sort=True)[one.raw.name].head(3)
    return ", ".join(text[:40] for text in common.to_list())


def outliers(one: ColumnProfile) -> str:
    """How many numbers lie more than three times the middle half's width outside it."""
    if one.type != "number" or one.known < 20 or not one.values.dtype.is_numeric():
        return ""
    values = one.values.drop_nulls().to_numpy()
    low, high = np.quantile(values, [0.25, 0.75])
    count = int(((values < low - 3 * (high - low)) | (values > high + 3 * (high - low))).sum())
    return f"{count:,}" if count and high > low else ""


def distributions(found: TableProfile) -> str:
    """The report of skrub: distributions, and which columns go together."""
    from skrub import TableReport  # type: ignore[import-untyped]

    alone = found.findings.alone
    shown = [
        one
        for one in found.looks.values()
        if "lag_of" not in one.settings
        and "identifies a person" not in one.settings.get("reason", "")
        and one.known
    ]
    shown.sort(key=lambda one: (one.role != "target", -alone.get(one.name, -1.0)))
    shown = shown[:PLOTTED]
    table = pl.DataFrame({one.name: one.values for one in shown})
    if len(table) > ROWS:
        table = table.sample(ROWS, seed=0)
    snippet = TableReport(table, verbose=0).html_snippet()
    # Addresses in licences and explanations are no requests, but nothing here may make one.
    snippet = re.sub(r'(src|href)="https?://[^"]*"', r'\1="#"', snippet)
    return (
        "<h2>Distributions and associations</h2>"
        f"<p class=soft>{len(table):,} of {found.rows:,} rows and {len(shown)} of "
        f"{len(found.looks)} columns, the most telling; columns that identify persons are not "
        f"shown.</p><div class=wide>{snippet}</div>"
    )
