"""Times: which date is that of the row's event, and which dates are known only afterwards."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from coldstart.data.profiling._profiles import ColumnProfile, words
from coldstart.data.profiling._spellings import vocabulary

WHEN = {"date", "datetime", "timestamp", "time", "day", "ts", "month", "datum", "fecha", "week"}
EVENT = vocabulary(
    "created order ordered purchase purchased transaction event start started begin pickup issue "
    "issued invoice visit admission admitted sale sold posted published reported observation "
    "departure call application applied checkin arrival opened received"
)
NOT_WHEN = vocabulary(
    "birth dob born birthday birthdate due expiry expires expiration expired end ended close "
    "closed "
    "closing maturity next until deadline hire hired join joined signup registered registration "
    "since last update updated modified built founded warranty death died dropoff return returned "
    "discharge discharged delivered delivery completed resolved finish finished"
)
AFTER_EVENT = vocabulary(
    "end ended close closed closing death died dropoff return returned discharge discharged "
    "delivered completed resolved finish finished arrival"
)


def find_event_time(
    profiles: Mapping[str, ColumnProfile], target: ColumnProfile
) -> ColumnProfile | None:
    """Return the date column that says when the row's event happened."""
    best: tuple[float, ColumnProfile] | None = None
    for profile in profiles.values():
        if profile.role != "feature" or profile.type != "date" or profile.values.null_count():
            continue
        name = set(words(profile.name))
        values = profile.values
        score = 2.0 * bool(name & WHEN) + 2.0 * bool(name & EVENT) - 10.0 * bool(name & NOT_WHEN)
        score += 1.0 * bool(values.is_sorted() or values.is_sorted(descending=True))
        if score < 0 or profile.distinct < 10:
            continue
        if best is None or score > best[0]:
            best = score, profile
    return best[1] if best else None


def find_later_dates(
    profiles: Mapping[str, ColumnProfile], time: ColumnProfile
) -> list[tuple[str, str]]:
    """Return the dates after the row's own time, by value and by name."""
    found = []
    for profile in profiles.values():
        if profile is time or profile.role != "feature" or profile.type != "date":
            continue
        if not set(words(profile.name)) & AFTER_EVENT:
            continue
        order = profile.values.cast(pl.Datetime("us")) >= time.values.cast(pl.Datetime("us"))
        if int(order.sum()) >= 0.98 * max(1, profile.known):
            found.append((profile.name, f"It is later than {time.name}: known afterwards."))
    return found
