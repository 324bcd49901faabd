"""The data report: one HTML file that needs no network, warnings first."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from pathlib import Path

import numpy as np
import polars as pl

from coldstart.data.profiling._profiles import ColumnProfile, TableProfile

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
    target_profile = found.profiles[found.target]
    findings = found.findings
    title = f"Profile of the data for {found.target}"
    facts = [
        ("rows", f"{found.rows:,}"),
        ("columns", f"{sum('lag_of' not in one.settings for one in found.profiles.values()):,}"),
        ("features", f"{len(found.with_role('feature', 'series')):,}"),
        ("exact copies", f"{found.copies:,}"),
        (f"without {found.target}", f"{found.missing_target:,}"),
    ]
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p class=soft>Target: <span class=name>{escape(found.target)}</span>, "
        f"{escape(target_profile.type)}. Split {escape(found.split)}. All decisions are in schema.yaml with "
        "their reasons, and can be overridden there.</p>",
        "<div class=facts>"
        + "".join(f"<div><b>{value}</b>{escape(name)}</div>" for name, value in facts)
        + "</div>",
        leaks_section(found),
        warnings_section(found),
        roles_section(found),
        reading_section(found),
        columns_section(found),
        distributions_section(found),
    ]
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(
        "<!doctype html><html lang=en><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style><main>{''.join(parts)}</main>"
        f"<!-- {findings.metric} --></html>",
        encoding="utf-8",
    )


def html_list(lines: Iterable[str]) -> str:
    """Format a list. Its lines are HTML."""
    return "<ul>" + "".join(f"<li>{line}</li>" for line in lines) + "</ul>"


def about_column(name: str, text: str) -> str:
    """Format a remark about a column."""
    return f"<span class=name>{escape(name)}</span>: {escape(text)}"


def leaks_section(found: TableProfile) -> str:
    """List the columns that are left out as leaks."""
    metric = found.findings.metric
    lines = []
    for leak in found.findings.leaks:
        faked = "" if np.isnan(leak.score) else f" Alone it reaches a {metric} of "
        faked += "" if np.isnan(leak.score) else f"{leak.score:.3f}."
        lines.append(about_column(leak.column, leak.why + faked))
    if not lines:
        return "<h2>Leaks</h2><p>No column reveals the target beyond what is plausible.</p>"
    return (
        f"<h2>Leaks: left out</h2><div class='box bad'>{html_list(lines)}<p class=soft>To use one all "
        "the same, give it <code>role: feature</code> in schema.yaml: only if it is known before "
        "the outcome.</p></div>"
    )


def warnings_section(found: TableProfile) -> str:
    """List what the user should check."""
    lines = [
        about_column(leak.column, f"{leak.why} (alone {leak.score:.3f})")
        for leak in found.findings.warnings
    ]
    lines += [about_column(one.name, d) for one in found.profiles.values() for d in one.warnings][
        :50
    ]
    lines += [escape(warning) for warning in found.warnings]
    return f"<h2>Check</h2><div class='box warn'>{html_list(lines)}</div>" if lines else ""


def roles_section(found: TableProfile) -> str:
    """List the columns that are not features, and how to override that."""
    leaking = {leak.column for leak in found.findings.leaks}
    lines = []
    for one in found.with_role("time", "group", "series", "id", "ignore"):
        if one.name not in leaking:
            why = one.settings.get("reason") or " ".join(one.notes)
            lines.append(f"{about_column(one.name, why)} <code>role: {one.role}</code>")
    if not lines:
        return ""
    more = [f"... and {len(lines) - 60} more"] if len(lines) > 60 else []
    return (
        f"<h2>Not used as features, and why</h2>{html_list(lines[:60] + more)}<p class=soft>To make one a "
        "feature, take its role out of schema.yaml.</p>"
    )


def reading_section(found: TableProfile) -> str:
    """Describe how the files are written."""
    return (
        f"<h2>How the files are written</h2>{html_list(map(escape, found.reading))}"
        if found.reading
        else ""
    )


def columns_section(found: TableProfile) -> str:
    """Show all columns, the strongest features first."""
    alone, metric = found.findings.alone, found.findings.metric
    nothing = 0.5 if metric == "ROC AUC" else 0.0
    leaking = {leak.column for leak in found.findings.leaks}
    ranked = sorted(
        found.profiles.values(), key=lambda one: (one.role != "target", -alone.get(one.name, -1.0))
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
        more = f"<p class=soft>{len(ranked) - COLUMNS:,} more columns, with lower scores.</p>"
    together = ""
    if metric and alone:
        together = (
            f"<p>The bar is the {metric} of each column alone, measured out of fold on at "
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
    """Return a few values."""
    common = one.raw.drop_nulls().head(2_000).value_counts(sort=True)[one.raw.name].head(3)
    return ", ".join(text[:40] for text in common.to_list())


def outliers(one: ColumnProfile) -> str:
    """Count numbers further outside the middle half than three times its width."""
    if one.type != "number" or one.known < 20 or not one.values.dtype.is_numeric():
        return ""
    values = one.values.drop_nulls().to_numpy()
    low, high = np.quantile(values, [0.25, 0.75])
    count = int(((values < low - 3 * (high - low)) | (values > high + 3 * (high - low))).sum())
    return f"{count:,}" if count and high > low else ""


def distributions_section(found: TableProfile) -> str:
    """Show skrub's report: distributions, and associations between columns."""
    from skrub import TableReport  # type: ignore[import-untyped]

    alone = found.findings.alone
    shown = [
        one
        for one in found.profiles.values()
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
    # Addresses in licenses and explanations are not requests, but nothing here may make one.
    snippet = re.sub(r'(src|href)="https?://[^"]*"', r'\1="#"', snippet)
    return (
        "<h2>Distributions and associations</h2>"
        f"<p class=soft>{len(table):,} of {found.rows:,} rows and {len(shown)} of "
        f"{len(found.profiles)} columns, the strongest; columns that identify people are not "
        f"shown.</p><div class=wide>{snippet}</div>"
    )
