"""Profiling a table: every column, its role, and how well it predicts the target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from coldstart.contract._contract import check_reserved
from coldstart.contract.columns import parse_column
from coldstart.data.profiling import _roles as roles
from coldstart.data.profiling import _times as times
from coldstart.data.profiling._choices import Decide, settle_choices
from coldstart.data.profiling._column_types import profile_column
from coldstart.data.profiling._dry_run import dry_run, ensure_a_feature
from coldstart.data.profiling._entities import find_entity
from coldstart.data.profiling._forecasting import set_up_forecast
from coldstart.data.profiling._leaks import find_leaks
from coldstart.data.profiling._profiles import ColumnProfile, Leak, TableProfile
from coldstart.data.profiling._series import find_regular_series
from coldstart.data.profiling._target import set_target
from coldstart.data.profiling._warnings import warn
from coldstart.data.reading._raw import RawTable
from coldstart.errors import UserError

DETAIL = 200_000  # rows that are looked at in detail
SPELLINGS = 60  # of unreadable values, in all rows
SLICE = 500_000  # rows that are checked at a time
ROW = "__row__"  # name of a column that exists while rows are sampled


def profile_table(
    raw: RawTable,
    target: str,
    decided: Mapping[str, Mapping[str, Any]] | None = None,
    horizon: int | None = None,
    decide: Decide | None = None,
) -> TableProfile:
    """Profile a table.

    Parameters
    ----------
    raw : RawTable
        The table as it is in the files.
    target : str
        Name of the target.
    decided : mapping of str to mapping, optional
        Settings of columns that the schema has already. The target's are kept, and if a column is
        the group, rows are scored by it.
    horizon : int, optional
        Number of steps to forecast.
    decide : callable, optional
        Answers close decisions about how columns are read.

    Returns
    -------
    TableProfile
        What is found.

    Raises
    ------
    UserError
        If the table has no rows, or its target cannot be predicted.
    """
    names = raw.frame.collect_schema().names()
    try:
        check_reserved(names)
    except ValueError as error:
        raise UserError(str(error)) from None
    rows = int(raw.frame.select(pl.len()).collect(engine="streaming").item())
    if not rows:
        raise UserError("the table has columns but no rows")
    table = sample_rows(raw.frame, rows)
    profiles = {name: profile_column(name, table[name]) for name in names}
    target_profile = profiles[target]
    decided = decided or {}
    settle_choices(profiles, decided, decide)
    set_target(target_profile, decided.get(target))
    found = TableProfile(profiles, target, rows, len(table), list(raw.findings))
    if rows > len(table):
        found.warnings.append(
            f"{len(table):,} of {rows:,} rows, sampled at random, were profiled in detail; "
            "all rows were checked against the draft"
        )
        check_all(raw, profiles)
    found.missing_target = count_missing(raw.frame, target_profile) if rows > len(table) else (
        target_profile.values.null_count()
    )  # fmt: skip
    if found.missing_target:
        target_profile.notes.append(
            f"{found.missing_target:,} rows have no value and are left out of training"
        )
    roles.assign_roles({name: one for name, one in profiles.items() if name != target})
    own = [name for name, one in profiles.items() if one.role != "id"]
    found.copies = len(table) - table.select(pl.struct(own).hash()).n_unique()
    choose_split(found, full=rows == len(table), horizon=horizon)
    roles_kept = {name: str(one.get("role", "feature")) for name, one in decided.items()}
    detect_leaks(found, roles_kept)
    if rows == len(table):
        dry_run(found)
    ensure_a_feature(found)
    for one in profiles.values():
        set_example(one)
    warn(found)
    return found


def sample_rows(frame: pl.LazyFrame, rows: int) -> pl.DataFrame:
    """Return all rows, or a random sample of them in order."""
    if rows <= DETAIL:
        return frame.collect(engine="streaming")
    every = rows / DETAIL
    chosen = pl.col(ROW).cast(pl.Int64).hash(seed=1) % 1_000_000 < int(1_000_000 / every)
    numbered = frame.with_row_index(ROW)  # pl.int_range would hold all rows' numbers in memory
    return numbered.filter(chosen).drop(ROW).collect(engine="streaming")


def check_all(raw: RawTable, profiles: Mapping[str, ColumnProfile]) -> None:
    """Find spellings in all rows that the draft cannot read, and count them as missing."""
    schema = raw.frame.collect_schema()
    unread: dict[str, pl.Expr] = {}
    for name, one in profiles.items():
        if one.type in ("category", "text", "image") or one.role == "ignore":
            continue
        column = parse_column(one.settings)
        known = column.known(pl.col(name), schema[name])
        wrong = known.is_not_null() & column.typed(known, schema[name]).is_null()
        values = known.filter(wrong).cast(pl.String).unique(maintain_order=True)
        unread[name] = values.head(SPELLINGS + 1).implode().alias(name)
    spellings: dict[str, dict[str, None]] = {name: {} for name in unread}
    # A slice at a time, since polars holds all values of a column to find the distinct ones.
    for rows in raw.slices(SLICE) if unread else ():
        for name, (some,) in rows.select(unread.values()).to_dict(as_series=False).items():
            spellings[name] |= dict.fromkeys(some)
            if len(spellings[name]) > SPELLINGS:
                del unread[name]
    for name, found in spellings.items():
        spelled = list(found)
        if len(spelled) > SPELLINGS:
            kind = profiles[name].type
            profiles[name].settings = {"type": "category"}
            profiles[name].read()
            profiles[name].notes.append(
                f"many values are not a {kind}, such as {spelled[0]!r}: a category"
            )
        elif spelled:
            profiles[name].missing(spelled)
            profiles[name].notes.append(f"counts as missing: {', '.join(map(repr, spelled[:3]))}")


def count_missing(frame: pl.LazyFrame, target_profile: ColumnProfile) -> int:
    """Count the rows without a target."""
    column, dtype = (
        parse_column(target_profile.settings),
        frame.collect_schema()[target_profile.name],
    )
    known = column.known(pl.col(target_profile.name), dtype)
    return int(frame.select(known.is_null().sum()).collect(engine="streaming").item())


def choose_split(found: TableProfile, full: bool, horizon: int | None) -> None:
    """Choose what decides the split: repeating entities, a regular series, or time."""
    profiles, target_profile = found.profiles, found.profiles[found.target]
    who = find_entity(profiles, target_profile)
    if who and who[0] >= 2:
        split_by_group(found, who[1], who[2])
    elif full and (series := find_regular_series(profiles, target_profile)):
        set_up_forecast(series, profiles, target_profile, horizon)
        found.split = f"by time ({series.time.name}): later rows test the forecasts"
    elif who:
        split_by_group(found, who[1], who[2])
    elif when := times.find_event_time(profiles, target_profile):
        split_by_time(found, when)
    else:
        found.split = "at random, stratified by class; copies of one row stay together"
        if target_profile.type == "number":
            found.split = "at random; copies of one row stay together"


def split_by_group(found: TableProfile, key: ColumnProfile, why: str) -> None:
    """Keep the rows of one entity in the same part."""
    missing = {k: v for k, v in key.settings.items() if k == "missing_values"}
    key.settings = {"type": "category", "role": "group", "nullable": False, **missing}
    key.read()
    key.notes.append(
        f"group: {why} ({key.distinct:,} in {len(key.raw):,} rows), "
        "so the split keeps them together"
    )
    found.split = f"by {key.name}: all rows of one are in the same part"


def split_by_time(found: TableProfile, when: ColumnProfile) -> None:
    """Split by time."""
    when.settings.update(role="time", nullable=False)
    days = when.values.cast(pl.Datetime("us"))
    span = (days.max() - days.min()).total_seconds() / 86400  # type: ignore[operator, union-attr]
    hours = bool((days.dt.truncate("1d") != days).any())
    if span > 365 or hours:
        when.settings["calendar"] = True
    when.notes.append("time: later rows test a model that was trained on earlier rows")
    found.split = f"by time ({when.name}): later rows test what was trained on earlier rows"
    for name, why in times.find_later_dates(found.profiles, when):
        found.profiles[name].leave_out("ignore", f"A leak. {why}")
        found.findings.leaks.append(Leak(name, float("nan"), why))


def detect_leaks(found: TableProfile, decided: Mapping[str, str]) -> None:
    """Leave leaks out."""
    late = found.findings.leaks
    group = split_group(found.profiles, decided)
    features = {
        name: one
        for name, one in found.profiles.items()
        if one.role == "feature"
        and "lag_of" not in one.settings
        and one is not group
        and one.type != "image"
    }
    time = next(iter(found.with_role("time")), None)
    found.findings = find_leaks(features, found.profiles[found.target], group, time)
    for leak in found.findings.leaks:
        if leak.column in found.profiles:
            found.profiles[leak.column].leave_out(
                "ignore", leak_reason(leak, found.findings.metric)
            )
    found.findings.leaks += late
    for name, why in found.findings.doubts.items():
        found.profiles[name].settings["available"] = "unconfirmed"
        found.profiles[name].notes.append(f"unconfirmed: {why}")


def split_group(
    profiles: Mapping[str, ColumnProfile], decided: Mapping[str, str]
) -> ColumnProfile | None:
    """Return the column that rows are split by group of: that of the schema, or of the draft."""
    roles = {name: one.role for name, one in profiles.items()}
    if {"time", "group"} & set(decided.values()):
        roles = dict.fromkeys(profiles, "")
    roles |= {name: role for name, role in decided.items() if name in profiles}
    return next((profiles[name] for name, role in roles.items() if role == "group"), None)


def leak_reason(leak: Leak, metric: str) -> str:
    """Describe why a leak is left out, for the schema."""
    return f"A leak. {leak.why} It would inflate {metric} to {leak.score:.3f}."


def set_example(one: ColumnProfile) -> None:
    """Give a feature a typical value."""
    if one.role not in ("feature", "series") and not one.settings.get("calendar"):
        return
    values = one.values.drop_nulls()
    if one.type == "image" or values.is_empty():
        return
    if one.type == "number":
        middle = float(np.sort(values.to_numpy())[len(values) // 2])
        value: object = int(middle) if middle == int(middle) else float(f"{middle:.6g}")
    elif one.type == "boolean":
        value = bool(values.mode()[0])
    elif one.type == "date":
        middle_day = values.sort()[len(values) // 2]
        value = middle_day.isoformat()
    elif one.type == "category":
        value = str(values.value_counts(sort=True)[values.name][0])[:1000]
    else:
        short = values.filter(values.str.len_chars() <= 80)
        value = str((short if len(short) else values)[len(short) // 2])[:80]
    one.settings["example"] = value
