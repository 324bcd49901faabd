"""The study of a table: every column looked at, with a role, and held against the target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from coldstart.contract.columns import parse_column
from coldstart.data.profiling import _roles as roles
from coldstart.data.profiling import _times as times
from coldstart.data.profiling._column_profile import ColumnProfile
from coldstart.data.profiling._dry_run import smoke_test, something_to_learn
from coldstart.data.profiling._entities import entity
from coldstart.data.profiling._forecasting import forecast
from coldstart.data.profiling._leaks import Findings, Leak, find
from coldstart.data.profiling._profile import look
from coldstart.data.profiling._series import regular
from coldstart.data.profiling._target import settle
from coldstart.data.profiling._warnings import warn
from coldstart.data.reading._raw import RawTable
from coldstart.errors import UserError

DETAIL = 200_000  # rows that are looked at in detail
SPELLINGS = 60  # of unreadable values, in all rows


@dataclass
class TableProfile:
    """What was found out about a table.

    Attributes
    ----------
    rows, detail
        How many rows there are, and how many of them were looked at in detail.
    missing_target, copies
        Rows without a target, and rows that are exact copies of another (in detail).
    reading
        How the files are written.
    doubts
        What a person should look at, about the table as a whole.
    split
        How rows will be divided, and why.
    """

    looks: dict[str, ColumnProfile]
    target: str
    rows: int
    detail: int
    reading: list[str]
    findings: Findings = field(default_factory=Findings)
    missing_target: int = 0
    copies: int = 0
    doubts: list[str] = field(default_factory=list)
    split: str = ""

    def with_role(self, *names: str) -> list[ColumnProfile]:
        """Columns that have one of some roles."""
        return [look for look in self.looks.values() if look.role in names]


def study(raw: RawTable, target: str) -> TableProfile:
    """Look at a table.

    Raises
    ------
    UserError
        If it has no rows, or its target cannot be predicted.
    """
    names = raw.frame.collect_schema().names()
    rows = int(raw.frame.select(pl.len()).collect(engine="streaming").item())
    if not rows:
        raise UserError("the table has columns but no rows")
    table = detail(raw.frame, rows)
    looks = {name: look(name, table[name]) for name in names}
    aim = looks[target]
    settle(aim)
    found = TableProfile(looks, target, rows, len(table), list(raw.findings))
    if rows > len(table):
        found.doubts.append(
            f"{len(table):,} of {rows:,} rows, drawn at random, were looked at in detail; "
            "all of them were checked against the draft"
        )
        check_all(raw.frame, looks)
    found.missing_target = count_missing(raw.frame, aim) if rows > len(table) else (
        aim.values.null_count()
    )  # fmt: skip
    roles.propose({name: one for name, one in looks.items() if name != target})
    told = [name for name, one in looks.items() if one.role != "id"]
    found.copies = len(table) - table.select(pl.struct(told).hash()).n_unique()
    divide(found, full=rows == len(table))
    hunt(found)
    if rows == len(table):
        smoke_test(found)
    something_to_learn(found)
    for one in looks.values():
        example(one)
    warn(found)
    return found


def detail(frame: pl.LazyFrame, rows: int) -> pl.DataFrame:
    """All rows, or if they are too many a random part of them, in order."""
    if rows <= DETAIL:
        return frame.collect(engine="streaming")
    every = rows / DETAIL
    chosen = pl.int_range(pl.len()).hash(seed=1) % 1_000_000 < int(1_000_000 / every)
    return frame.filter(chosen).collect(engine="streaming")


def check_all(frame: pl.LazyFrame, looks: Mapping[str, ColumnProfile]) -> None:
    """Find spellings in all rows that the draft cannot read, and count them as missing."""
    schema = frame.collect_schema()
    unread = []
    for name, one in looks.items():
        if one.type in ("category", "text") or one.role == "ignore":
            continue
        column = parse_column(one.settings)
        known = column.known(pl.col(name), schema[name])
        wrong = known.is_not_null() & column.typed(known, schema[name]).is_null()
        spelled = known.filter(wrong).cast(pl.String).unique().head(SPELLINGS + 1)
        unread.append(spelled.implode().alias(name))
    if not unread:
        return
    table = frame.select(unread).collect(engine="streaming")
    for name in table.columns:
        spelled = table[name][0].to_list()
        if len(spelled) > SPELLINGS:
            looks[name].settings = {"type": "category"}
            looks[name].read()
            looks[name].notes.append(f"many values are no {name}, such as {spelled[0]!r}: labels")
        elif spelled:
            looks[name].missing(spelled)
            looks[name].notes.append(f"counts as missing: {', '.join(map(repr, spelled[:3]))}")


def count_missing(frame: pl.LazyFrame, aim: ColumnProfile) -> int:
    """Rows without a target."""
    column, dtype = parse_column(aim.settings), frame.collect_schema()[aim.name]
    known = column.known(pl.col(aim.name), dtype)
    return int(frame.select(known.is_null().sum()).collect(engine="streaming").item())


def divide(found: TableProfile, full: bool) -> None:
    """Choose what decides the split: entities that repeat, a regular series, or time."""
    looks, aim = found.looks, found.looks[found.target]
    who = entity(looks, aim)
    if who and who[0] >= 2:
        group(found, who[1], who[2])
    elif full and (series := regular(looks, aim)):
        forecast(series, looks, aim)
        found.split = f"by time ({series.time.name}): a forecast is judged by later rows"
    elif who:
        group(found, who[1], who[2])
    elif when := times.moment(looks, aim):
        by_time(found, when)
    else:
        found.split = "at random, with the classes in the same shares; copies stay together"
        if aim.type == "number":
            found.split = "at random; copies of one row stay together"


def group(found: TableProfile, key: ColumnProfile, why: str) -> None:
    """Keep the rows of one entity on the same side of the split."""
    missing = {k: v for k, v in key.settings.items() if k == "missing_values"}
    key.settings = {"type": "category", "role": "group", "nullable": False, **missing}
    key.read()
    key.notes.append(
        f"group: {why} ({key.distinct:,} in {len(key.raw):,} rows), so none may be on both sides"
    )
    found.split = f"by {key.name}: all rows of one are on the same side"


def by_time(found: TableProfile, when: ColumnProfile) -> None:
    """Split by time."""
    when.settings.update(role="time", nullable=False)
    days = when.values.cast(pl.Datetime("us"))
    span = (days.max() - days.min()).total_seconds() / 86400  # type: ignore[operator, union-attr]
    hours = bool((days.dt.truncate("1d") != days).any())
    if span > 365 or hours:
        when.settings["calendar"] = True
    when.notes.append("time: later rows judge a model that was fitted on earlier ones")
    found.split = f"by time ({when.name}): later rows judge what was fitted on earlier ones"
    for name, why in times.afterwards(found.looks, when):
        found.looks[name].leave_out("ignore", f"A leak. {why}")
        found.findings.leaks.append(Leak(name, float("nan"), why))


def hunt(found: TableProfile) -> None:
    """Leave leaks out."""
    late = found.findings.leaks
    features = {
        name: one
        for name, one in found.looks.items()
        if one.role == "feature" and "lag_of" not in one.settings
    }
    found.findings = find(features, found.looks[found.target])
    for leak in found.findings.leaks:
        if leak.column in found.looks:
            found.looks[leak.column].leave_out("ignore", reason(leak, found.findings.metric))
    found.findings.leaks += late


def reason(leak: Leak, metric: str) -> str:
    """Why a leak is left out, for the contract."""
    return f"A leak. {leak.why} It would fake a {metric} of {leak.score:.3f}."


def example(one: ColumnProfile) -> None:
    """Give a feature a typical value."""
    if one.role not in ("feature", "series") and not one.settings.get("calendar"):
        return
    values = one.values.drop_nulls()
    if values.is_empty():
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
