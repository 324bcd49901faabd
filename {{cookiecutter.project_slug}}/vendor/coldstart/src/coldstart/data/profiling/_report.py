"""The data report: one HTML file that needs no network, warnings first."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from markupsafe import Markup

from coldstart._html import write_page
from coldstart.data.profiling._profiles import ColumnProfile, TableProfile

REPORT = Path("data/report.html")
COLUMNS = 300  # shown in the table of columns
ROLES = 60  # columns shown that are not features
WARNINGS = 50  # of columns
PLOTTED = 40  # columns shown with their distributions
ROWS = 10_000  # rows that these are drawn from
PERSONAL = "identifies a person"  # in the reason of a column whose values are not shown


def write_report(found: TableProfile) -> None:
    """Write the report.

    Parameters
    ----------
    found : TableProfile
        The findings.
    """
    target, findings = found.profiles[found.target], found.findings
    roles = not_features(found)
    facts = {
        "rows": f"{found.rows:,}",
        "columns": f"{sum('lag_of' not in one.settings for one in found.profiles.values()):,}",
        "features": f"{len(found.with_role('feature', 'series')):,}",
        "exact copies": f"{found.copies:,}",
        f"without {found.target}": f"{found.missing_target:,}",
    }
    subtitle = Markup(
        "Target: <span class=name>{}</span>, {}. Split {}. All decisions are in schema.yaml with "
        "their reasons, and can be overridden there."
    )
    write_page(
        REPORT,
        "profile.html",
        title=f"Profile of the data for {found.target}",
        subtitle=subtitle.format(found.target, target.type, found.split),
        facts=facts,
        leaks=leaks(found),
        warnings=warnings(found),
        roles=roles[:ROLES],
        more_roles=max(0, len(roles) - ROLES),
        reading=found.reading,
        metric=findings.metric,
        group=findings.group,
        scored=bool(findings.alone),
        nothing=0.5 if findings.metric == "ROC AUC" else 0.0,
        together=findings.together,
        columns=columns(found)[:COLUMNS],
        more_columns=max(0, len(found.profiles) - COLUMNS),
        rows=found.rows,
        all_columns=len(found.profiles),
        **distributions(found),
    )


def leaks(found: TableProfile) -> list[tuple[str, str]]:
    """Return the columns that are left out as leaks, and why."""
    metric = found.findings.metric
    lines = []
    for leak in found.findings.leaks:
        alone = "" if np.isnan(leak.score) else f" Alone it reaches a {metric} of {leak.score:.3f}."
        lines.append((leak.column, leak.why + alone))
    return lines


def warnings(found: TableProfile) -> list[tuple[str, str]]:
    """Return what the user should check: columns and why, and remarks without a column."""
    of_columns = [(one.name, text) for one in found.profiles.values() for text in one.warnings]
    return [
        *((one.column, f"{one.why} (alone {one.score:.3f})") for one in found.findings.warnings),
        *of_columns[:WARNINGS],
        *(("", text) for text in found.warnings),
    ]


def not_features(found: TableProfile) -> list[tuple[str, str, str]]:
    """Return the columns that are not features, why, and their role."""
    leaking = {leak.column for leak in found.findings.leaks}
    return [
        (one.name, one.settings.get("reason") or " ".join(one.notes), one.role)
        for one in found.with_role("time", "group", "series", "id", "ignore")
        if one.name not in leaking
    ]


def columns(found: TableProfile) -> list[dict[str, Any]]:
    """Return what the table shows of each column, the strongest features first."""
    alone = found.findings.alone
    leaking = {leak.column for leak in found.findings.leaks}
    ranked = sorted(
        found.profiles.values(), key=lambda one: (one.role != "target", -alone.get(one.name, -1.0))
    )
    rows = []
    for one in ranked:
        why = ". ".join(t.rstrip(".") for t in [one.settings.get("reason", ""), *one.notes] if t)
        unused = "out" if one.role in ("id", "ignore") else ""
        rows.append(
            {
                "kind": "leak" if one.name in leaking else unused,
                "name": one.name,
                "type": one.type,
                "role": one.role,
                "score": alone.get(one.name),
                "missing": one.values.null_count() / max(1, len(one.values)),
                "distinct": one.distinct,
                "outliers": outliers(one),
                "examples": "" if PERSONAL in why else examples(one),
                "why": why,
            }
        )
    return rows


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


def distributions(found: TableProfile) -> dict[str, Any]:
    """Return skrub's report, distributions and associations between columns, and its extent."""
    from skrub import TableReport  # type: ignore[import-untyped]

    alone = found.findings.alone
    shown = [
        one
        for one in found.profiles.values()
        if "lag_of" not in one.settings
        and PERSONAL not in one.settings.get("reason", "")
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
    return {"distributions": Markup(snippet), "sampled": len(table), "plotted": len(shown)}
