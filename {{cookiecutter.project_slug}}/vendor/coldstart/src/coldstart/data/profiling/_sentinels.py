"""Sentinels: numbers that stand for "missing"."""

from __future__ import annotations

from coldstart.data.profiling._profiles import ColumnProfile


def sentinels(profile: ColumnProfile) -> None:
    """Count repeated numbers far outside the rest as missing."""
    values = profile.values.drop_nulls()
    if len(values) < 20:
        return
    counts = values.alias("v").value_counts().sort("v")
    found, count = counts["v"].to_numpy(), counts["count"].to_numpy()
    missing = []
    low, high = 0, len(found) - 1
    while high - low >= 4:
        spread = float(found[high - 1] - found[low + 1])
        for end, inner, lowest in ((high, high - 1, found[low]), (low, low + 1, found[high])):
            rest = abs(float(found[inner] - lowest))
            gap = abs(float(found[end] - found[inner]))
            value, repeated = float(found[end]), int(count[end])
            figures = f"{abs(value):.10g}".replace(".", "")
            coded = (len(figures) >= 2 and set(figures) <= {"9"}) or figures in ("8888", "99998")
            coded = coded or value in (-1, -9, -8, 1e20, -1e20)
            least = max(2, 0.002 * len(values)) if coded else max(5, 0.01 * len(values))
            minus = value in (-1, -9, -99) and end == low and found[inner] >= 0 and rest >= 10
            far = gap > (0.5 if coded else 5.0) * rest
            if minus:
                least = max(3, 0.01 * len(values))
            if repeated >= least and ((coded and (far or minus)) or (far and gap > 10 * spread)):
                missing.append((value, repeated))
                high, low = (high - 1, low) if end == high else (high, low + 1)
                break
        else:
            break
    if not missing:
        return
    numbers = [value for value, _ in missing]
    spelled = profile.raw.filter(profile.values.is_in(numbers)).unique().to_list()
    profile.missing(sorted(spelled))
    shown = ", ".join(f"{value:.10g} ({rows} rows)" for value, rows in missing)
    kept = profile.values.drop_nulls().to_numpy()
    low_end, high_end = float(kept.min()), float(kept.max())
    profile.notes.append(f"{shown} is far outside the rest ({low_end:g} to {high_end:g}): missing")
