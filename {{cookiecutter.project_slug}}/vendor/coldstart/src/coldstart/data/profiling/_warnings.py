"""Warnings about the table as a whole."""

from __future__ import annotations

import re

import numpy as np
import polars as pl

from coldstart.data.profiling._profiles import TableProfile


def warn(found: TableProfile) -> None:
    """Warn about the table as a whole."""
    rows = found.rows - found.missing_target
    features = len(found.with_role("feature", "series"))
    if rows < 100:
        found.warnings.append(f"{rows} rows are few: scores will be uncertain")
    if features > rows:
        found.warnings.append(f"{features:,} features for {rows:,} rows: many will fit by chance")
    when = found.with_role("time")
    target_profile = found.profiles[found.target]
    if when and target_profile.type != "category" and "season" not in target_profile.settings:
        y = target_profile.values.cast(pl.Float64).to_numpy()
        t = when[0].values.cast(pl.Datetime("us")).rank().to_numpy()
        fine = ~np.isnan(y)
        if fine.sum() > 50 and np.std(y[fine]):
            r = float(np.corrcoef(y[fine], t[fine])[0, 1])
            if abs(r) > 0.3:
                found.warnings.append(
                    f"{found.target} {'rises' if r > 0 else 'falls'} over time (correlation "
                    f"{r:.2f} with {when[0].name}): a model may soon be out of date"
                )
    for one in found.profiles.values():
        if one.role == "feature" and one.type == "category" and one.distinct > 0.5 * one.known > 20:
            one.warnings.append("more categories than a model can learn: is it an identifier?")
    for one in found.profiles.values():
        alike: dict[str, list[str]] = {}
        if one.type == "category" and one.role in ("feature", "target", "series"):
            for label in one.settings.get("categories", []):
                plain = re.sub(r"[\s_]+|(?<=\w)-(?=\w)", " ", label.rstrip("."))
                alike.setdefault(plain.strip().casefold(), []).append(repr(label))
        for labels in alike.values():
            if len(labels) > 1:
                one.warnings.append(
                    f"{' and '.join(labels)} are different categories: are they the same?"
                )
