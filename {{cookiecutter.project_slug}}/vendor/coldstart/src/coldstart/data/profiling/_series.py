"""Series: whether a table holds regular series, and which of their past values forecast them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from coldstart.data.profiling._entities import ENTITIES
from coldstart.data.profiling._profiles import ColumnProfile, typed, words
from coldstart.data.profiling._times import NOT_WHEN

STEPS = {  # seconds: name, season, longer lags
    3600: ("hour", 24, [24, 168]),
    86400: ("day", 7, [7, 14]),
    604800: ("week", 52, [52]),
    2629746: ("month", 12, [12]),
    7889238: ("quarter", 4, [4]),
    31556952: ("year", 1, []),
}
PARTS = ("quarter", "month", "week", "day", "hour", "season", "qtr", "mon", "weekday")


@dataclass
class Series:
    """A table of one or more regular series.

    Attributes
    ----------
    time : ColumnProfile
        The time column.
    settings : dict
        Its settings in the schema.
    series : ColumnProfile or None
        The column that names the series, if there are several.
    step : str
        Time between rows, such as "month".
    lags : list of int
        Rows back that help to forecast.
    season : int
        Length of a season in rows, 1 if there is none.
    autocorrelation : float
        Correlation of a value with the one before, or the one a season before.
    """

    time: ColumnProfile
    settings: dict[str, Any]
    series: ColumnProfile | None
    step: str
    lags: list[int] = field(default_factory=list)
    season: int = 1
    autocorrelation: float = 0.0


def find_regular_series(
    profiles: Mapping[str, ColumnProfile], target: ColumnProfile
) -> Series | None:
    """Return the regular series of the target, or None."""
    if target.type != "number" or target.known < 24:
        return None
    for profile in profiles.values():
        for settings, seconds in time_candidates(profile, target):
            found = series_of(profile, settings, seconds, profiles, target)
            if found:
                return found
    return None


def time_candidates(
    profile: ColumnProfile, target: ColumnProfile
) -> list[tuple[dict[str, Any], np.ndarray]]:
    """Return how a column may be the time: settings of a date, and seconds."""
    if profile is target or profile.values.null_count() or profile.role == "ignore":
        return []
    name = set(words(profile.name))
    if profile.type == "date":
        if name & NOT_WHEN:
            return []
        return [(dict(profile.settings), seconds(profile.values))]
    if profile.dtype != pl.String and not profile.dtype.is_numeric():
        return []
    numbers = profile.raw.cast(pl.Float64, strict=False)
    if numbers.null_count() or numbers.n_unique() < 8:
        return []
    values = numbers.to_numpy()
    years = bool(np.all((values > 1500) & (values < 2200)))
    whole = bool(np.all(values == np.round(values)))
    if years and whole and (name & {"year", "yr", "time", "date", "t", "period", "jahr", "season"}):
        ending = ".0" if profile.raw.str.ends_with(".0").all() else ""
        settings = {"type": "date", "format": f"%Y{ending}"}
        return [(settings, seconds(typed(profile.raw_frame, settings)[1]))]
    if years and not whole and name & {"year", "time", "date", "t", "index", "yr"}:
        return [({"type": "date", "format": "year"}, (values - 1970) * 31556952)]
    if whole and name & {"t", "time", "period", "step", "index", "week", "day", "month", "trend"}:
        evenly = len(np.unique(np.diff(np.unique(values)))) == 1
        return [({"type": "date", "format": "unix"}, values)] if evenly else []
    return []


def seconds(dates: pl.Series) -> np.ndarray:
    """Convert dates to seconds since 1970."""
    return dates.cast(pl.Datetime("us")).dt.epoch("s").to_numpy().astype(np.float64)


def series_of(
    time: ColumnProfile,
    settings: dict[str, Any],
    at: np.ndarray,
    profiles: Mapping[str, ColumnProfile],
    target: ColumnProfile,
) -> Series | None:
    """Return the series along one time column, if they are regular and autocorrelated."""
    keys: list[ColumnProfile | None] = [None]
    if len(np.unique(at)) < len(at):
        keys = [
            profile for profile in profiles.values()
            if profile is not time and profile is not target and not profile.values.null_count()
            and profile.type in ("category", "boolean", "number") and profile.distinct >= 2
            and profile.distinct <= len(at) / 8 and not set(words(profile.name)) & ENTITIES
        ]  # fmt: skip
    for key in keys:
        if key is not None and set(words(key.name)) & set(PARTS):
            # Year and quarter in two columns are one time; the rows' own order is theirs.
            part = key.raw.cast(pl.Float64, strict=False)
            if key.distinct in (4, 12) and not part.null_count():
                moved = at + (part.to_numpy() - 1) * 31556952 / key.distinct
                if np.all(np.diff(moved) > 0):
                    return series_of(time, settings, moved, profiles, target)
            continue
        codes = np.zeros(len(at), dtype=np.int64)
        if key is not None:
            codes = key.raw.fill_null("").rank("dense").to_numpy().astype(np.int64)
        order = np.lexsort((at, codes))
        when, which = at[order], codes[order]
        follows = which[1:] == which[:-1]
        gaps = np.diff(when)[follows]
        if len(gaps) < 16 or not np.all(gaps > 0):
            continue
        step = float(np.median(gaps))
        if float(np.mean(np.abs(gaps / step - 1) < 0.15)) < 0.75:
            continue
        y = target.values.to_numpy()[order]
        length = len(y) // len(np.unique(which))
        if length < (16 if key is None else 8):
            continue
        found = Series(time, settings, key, *name_step(step, settings, when), autocorrelation=0.0)
        measure_autocorrelation(found, y, which, length)
        if found.autocorrelation >= 0.5:
            return found
    return None


def name_step(step: float, settings: dict[str, Any], at: np.ndarray) -> tuple[str, list[int], int]:
    """Return the name of a step, and the lags and season to try, in rows."""
    counted = settings.get("format") == "unix" and step < 3600
    for length, (name, season, longer) in STEPS.items():
        if not counted and abs(step / length - 1) < 0.12:
            if name == "day":  # a shop that is closed on Sundays has weeks of six rows
                season = len(np.unique(at // length % 7))
                longer = [season, 2 * season]
            return name, [1, 2, 3, *longer], season
    if not counted and 1 < 86400 / step <= 1440 and step >= 60:
        day = round(86400 / step)
        return f"{step / 60:g} minutes", [1, 2, 3, day], day
    return "step", [1, 2, 3], 1


def measure_autocorrelation(found: Series, y: np.ndarray, which: np.ndarray, length: int) -> None:
    """Measure the autocorrelation, and choose the lags and the season."""

    def autocorrelation(steps: int, values: np.ndarray) -> float:
        same = which[steps:] == which[:-steps]
        now, then = values[steps:][same], values[:-steps][same]
        fine = ~np.isnan(now) & ~np.isnan(then)
        now, then = now[fine], then[fine]
        if len(now) < 10 or not now.std() or not then.std():
            return 0.0
        return float(np.corrcoef(now, then)[0, 1])

    centre = y.astype(np.float64).copy()
    for one in np.unique(which):
        centre[which == one] -= np.nanmean(centre[which == one])
    change = np.diff(centre, prepend=np.nan)
    change[np.flatnonzero(np.diff(which, prepend=which[0]))] = np.nan
    found.lags = sorted({lag for lag in found.lags if lag <= max(1, length // 4)})
    season = found.season
    if season == 1 and found.step == "step":
        tried = {
            lag: autocorrelation(lag, change) for lag in (4, 7, 12, 24, 52) if lag <= length // 4
        }
        season = max(tried, key=lambda lag: tried[lag]) if tried else 1
    if season > 1 and (season > length // 3 or autocorrelation(season, change) < 0.3):
        season = 1
    found.season = season
    # With the one before the season, what changed since then can be carried over.
    found.lags = sorted({*found.lags, 1, season, season + 1 if season > 1 else 1})
    found.autocorrelation = max(autocorrelation(1, centre), autocorrelation(season, centre))
