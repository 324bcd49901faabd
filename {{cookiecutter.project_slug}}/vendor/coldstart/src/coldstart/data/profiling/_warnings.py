"""Doubts: what a person should look at, about the table as a whole."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from coldstart.data.profiling._table_profile import TableProfile


def warn(found: TableProfile) -> None:
    """Say what is doubtful about the table as a whole."""
    rows = found.rows - found.missing_target
    features = len(found.with_role("feature", "series"))
    if rows < 100:
        found.doubts.append(f"{rows} rows can tell little: scores will be uncertain")
    if features > rows:
        found.doubts.append(f"{features:,} features for {rows:,} rows: many will fit by chance")
    when = found.with_role("time")
    aim = found.looks[found.target]
    if when and aim.type != "category" and "season" not in aim.settings:
        y = aim.values.cast(pl.Float64).to_numpy()
        t = when[0].values.cast(pl.Datetime("us")).rank().to_numpy()
        fine = ~np.isnan(y)
        if fine.sum() > 50 and np.std(y[fine]):
            r = float(np.corrcoef(y[fine], t[fine])[0, 1])
            if abs(r) > 0.3:
                found.doubts.append(
                    f"{found.target} {'rises' if r > 0 else 'falls'} over time (correlation "
                    f"{r:.2f} with {when[0].name}): what is learned may not last"
                )
    for one in found.looks.values():
        if one.role == "feature" and one.type == "category" and one.distinct > 0.5 * one.known > 20:
            one.doubts.append("more labels than a model can know: is it an identifier?")
    for one in found.looks.values():
        alike: dict[str, list[str]] = {}
        if one.type == "category" and one.role in ("feature", "target", "series"):
            for label in one.settings.get("categories", []):
                plain = re.sub(r"[\s_]+|(?<=\w)-(?=\w)", " ", label.rstrip("."))
                alike.setdefault(plain.strip().casefold(), []).append(repr(label))
        for labels in alike.values():
            if len(labels) > 1:
                one.doubts.append(f"{' and '.join(labels)} are different labels: the same?")
