"""Forecasting: the settings of a table of regular series, with the values known in time."""

from __future__ import annotations

import polars as pl

from coldstart.data.profiling._profiles import ColumnProfile, words
from coldstart.data.profiling._series import Series
from coldstart.data.profiling._spellings import vocabulary

KNOWN_IN_ADVANCE = vocabulary(
    "holiday holidays weekend weekday workingday workday promo promotion month hour quarter week "
    "year day dow season school planned scheduled yr mnth hr"
)


def set_up_forecast(
    found: Series,
    profiles: dict[str, ColumnProfile],
    target: ColumnProfile,
    horizon: int | None = None,
) -> None:
    """Turn the table into a forecast, with lags of what is not known in time.

    A measured column is known up to the forecast origin, so its lag is as long as the horizon.
    Without a horizon it is one step, and so is the horizon.
    """
    time, series = found.time, found.series
    time.settings = {**found.settings, "role": "time"}
    time.read()
    has_hours = found.step == "hour" or "minutes" in found.step
    within_years = found.step in ("hour", "day", "week", "month", "quarter") or has_hours
    if within_years and found.settings["format"] != "unix":
        time.settings["calendar"] = True
    if found.settings["format"] == "unix" and not found.settings.get("reason"):
        time.notes.append("steps are counted: only their order matters")
    if series:
        series.settings = {
            "type": "category",
            "role": "series",
            **{k: v for k, v in series.settings.items() if k == "missing_values"},
        }
        series.read()
        series.notes.append("names the series; lags stay within each")
    several = f", {series.distinct} series" if series else ""
    target.settings["season"] = found.season
    target.notes.append(
        f"a regular series (one value per {found.step}{several}, autocorrelation "
        f"{found.autocorrelation:.2f}): forecast from earlier values, and compared with the value "
        f"{found.season} {found.step}(s) before"
    )
    derived: dict[str, ColumnProfile] = {}

    def lag(of: ColumnProfile, steps: int) -> None:
        name = f"{of.name} {steps} {found.step}{'s' * (steps > 1 and found.step[-1] != 's')} before"
        profile = ColumnProfile(name, of.raw, of.dtype)
        profile.settings = {"type": "number", "lag_of": of.name, "steps": steps}
        profile.values = of.values
        profile.original = of.original
        derived[name] = profile

    for steps in found.lags:
        lag(target, steps)
    for profile in list(profiles.values()):
        if profile in (time, series, target) or profile.role != "feature":
            continue
        if (
            set(words(profile.name)) & KNOWN_IN_ADVANCE
            or by_calendar(profile, time)
            or fixed(profile, series)
        ):
            profile.notes.append("known in advance")
            continue
        if profile.type == "number" and len(derived) < 40:
            lag(profile, horizon or 1)
        profile.settings["available"] = "with"
        profile.settings["reason"] = f"Not known when {target.name} is forecast" + (
            f"; its value {horizon or 1} {found.step}(s) before is used."
            if profile.type == "number"
            else "."
        )
    profiles.update(derived)
    measured = any(one.settings["lag_of"] != target.name for one in derived.values())
    ahead = found.season if found.season > 1 else max(found.lags)
    if horizon or measured:
        target.settings["horizon"] = ahead = horizon or 1
    target.notes.append(
        f"forecasts {ahead} {found.step}(s) ahead; for another horizon: "
        "make data FRESH=1 HORIZON=..."
    )


def by_calendar(profile: ColumnProfile, time: ColumnProfile) -> bool:
    """Return whether a column follows from the calendar."""
    if profile.distinct > 60 or profile.type == "text":
        return False
    dates = time.values.cast(pl.Datetime("us"))
    for part in (dates.dt.month(), dates.dt.weekday(), dates.dt.hour(), dates.dt.year()):
        if part.n_unique() < 2 or part.n_unique() > 0.3 * len(part):
            continue
        table = pl.DataFrame({"part": part, "value": profile.raw})
        if (table.group_by("part").agg(pl.col("value").n_unique())["value"] == 1).all():
            return True
    return False


def fixed(profile: ColumnProfile, series: ColumnProfile | None) -> bool:
    """Return whether a column is the same in all rows of a series."""
    if series is None:
        return False
    table = pl.DataFrame({"series": series.raw, "value": profile.raw})
    return bool((table.group_by("series").agg(pl.col("value").n_unique())["value"] == 1).all())
