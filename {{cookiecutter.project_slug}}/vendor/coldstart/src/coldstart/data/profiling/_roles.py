"""Roles: columns that are not features, such as row numbers, personal data and duplicates."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import polars as pl

from coldstart.data.profiling._entities import ENTITIES, IDS
from coldstart.data.profiling._personal import is_organization, is_personal
from coldstart.data.profiling._profiles import ColumnProfile, share, words

POSTAL = {"zip", "zipcode", "postal", "postcode", "plz"}
ROW = re.compile(
    r"^(unnamed.*|column \d+|index|row.?(names?|id|num(ber)?|no)?|obs|x|\.+1|#|n)$", re.I
)
TIMELIKE = {
    "t",
    "time",
    "year",
    "month",
    "day",
    "week",
    "period",
    "date",
    "quarter",
    "step",
    "hour",
}
TIMELIKE |= {"yr", "season", "age", "dose", "rank", "order", "length", "size", "trial"}
UUID = r"(?i)^[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$|^[0-9a-f]{16,64}$"


def assign_roles(profiles: Mapping[str, ColumnProfile]) -> None:
    """Find identifiers, personal data, and columns that duplicate another."""
    # Of copies each code is there twice, and is still a row's own.
    different = pl.DataFrame(
        [profile.raw.alias(name) for name, profile in profiles.items()]
    ).n_unique()
    for profile in profiles.values():
        if profile.role == "feature" and not (is_personal(profile) or is_organization(profile)):
            is_identifier(profile, different)
    drop_duplicates(profiles)


def is_identifier(profile: ColumnProfile, different: int) -> bool:
    """Leave out row numbers and codes that are unique among so many different rows."""
    name = words(profile.name)
    known = profile.known
    if known < 0.95 * len(profile.raw) or known < 10:
        return False

    def leave_out(reason: str) -> bool:
        profile.settings = {"type": "category"}
        profile.leave_out("id", reason)
        return True

    unique = profile.distinct >= 0.98 * min(known, different) and not set(name) & POSTAL
    if profile.type == "number":
        values = profile.values.drop_nulls().to_numpy()
        whole = bool(np.all(values == np.round(values)))
        if not (unique and whole):
            return False
        in_order = bool(np.all(np.diff(values) == 1)) and values[0] in (0, 1)
        if (in_order and not set(name) & TIMELIKE) or ROW.match(profile.name.strip() or "x"):
            return leave_out("It numbers the rows.")
        if set(name) & (IDS | ENTITIES) or name[-1:] == ["id"]:
            return leave_out("A number of its own for each row.")
        return False
    if profile.type == "category" and unique:
        if share(profile, UUID) >= 0.9:
            return leave_out("A code of its own for each row.")
        several = share(profile, r"\s")
        if set(name) & IDS or ROW.match(profile.name.strip() or "x"):
            return leave_out("A code of its own for each row.")
        if several < 0.4:
            return leave_out("It is different in every row: a code or a name.")
        profile.settings = {"type": "text"}
        profile.notes.append("different in every row: read as words")
        profile.read()
    if profile.type == "text" and unique and share(profile, r"^(https?://|www\.)\S+$") >= 0.9:
        return leave_out("An address of its own for each row.")
    if profile.type == "text" and unique and share(profile, UUID) >= 0.9:
        return leave_out("A code of its own for each row.")
    return False


def drop_duplicates(profiles: Mapping[str, ColumnProfile]) -> None:
    """Of columns with the same content, keep the first."""
    first: dict[bytes, str] = {}
    for profile in profiles.values():
        if profile.role != "feature" or profile.known < 10:
            continue
        if profile.type in ("category", "boolean"):
            if profile.distinct > 0.8 * profile.known or profile.distinct < 2:
                continue
            text = profile.values.cast(pl.String).fill_null("\0")
            # The row where each label appears first: equal where two columns are one to one.
            rows = text.to_frame("label").with_row_index("row")
            first_rows = rows.select(pl.col("row").first().over("label")).to_series()
            key = b"labels" + first_rows.to_numpy().tobytes()
        elif profile.type in ("number", "date"):
            continue
        else:
            key = b"text" + str(profile.raw.hash(0).sum()).encode()
        if key in first:
            profile.leave_out("ignore", f"Says the same as {first[key]}.")
        else:
            first[key] = profile.name
    drop_rescaled(profiles)


def drop_rescaled(profiles: Mapping[str, ColumnProfile]) -> None:
    """Of numbers that are one number on several scales, keep the first."""
    numbers = [
        profile
        for profile in profiles.values()
        if profile.role == "feature" and profile.type in ("number", "date") and profile.distinct > 2
    ]
    if len(numbers) < 2:
        return
    rows = np.random.default_rng(0).permutation(len(numbers[0].values))[:5_000]
    table = np.stack(
        [profile.values.to_physical().cast(pl.Float64).to_numpy() for profile in numbers]
    )
    table = table[:, rows]
    missing = np.isnan(table)
    table = np.where(missing, np.nanmean(table, axis=1, keepdims=True), table)
    table = np.nan_to_num(table)
    table -= table.mean(1, keepdims=True)
    table /= np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-300)
    # Numbers are rounded. Of dates some hours apart, each says something of its own.
    apart = np.array([1e-12 if profile.type == "date" else 1e-6 for profile in numbers])
    alike = np.abs(table @ table.T) > 1 - np.minimum(apart[:, None], apart)
    for j, profile in enumerate(numbers):
        for i in np.flatnonzero(alike[j, :j]):
            if numbers[i].role == "feature" and bool((missing[i] == missing[j]).all()):
                profile.leave_out(
                    "ignore", f"Says the same as {numbers[i].name}, on another scale."
                )
                break
