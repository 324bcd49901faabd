"""Roles: columns that are no features: row numbers, persons, and what says the same twice."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import polars as pl

from coldstart.data.profiling._column_profile import ColumnProfile, share, words
from coldstart.data.profiling._entities import ENTITIES, IDS
from coldstart.data.profiling._personal import person

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


def propose(looks: Mapping[str, ColumnProfile]) -> None:
    """Find what is no feature: identifiers, what identifies a person, what says the same twice."""
    # Of copies each code is there twice, and is still a row's own.
    different = pl.DataFrame([look.raw.alias(name) for name, look in looks.items()]).n_unique()
    for look in looks.values():
        if look.role == "feature" and not person(look):
            identifier(look, different)
    twice(looks)


def identifier(look: ColumnProfile, different: int) -> bool:
    """Leave out row numbers and codes that are unique in so many different rows."""
    name = words(look.name)
    known = look.known
    if known < 0.95 * len(look.raw) or known < 10:
        return False

    def left(reason: str) -> bool:
        look.settings = {"type": "category"}
        look.leave_out("id", reason)
        return True

    unique = look.distinct >= 0.98 * min(known, different) and not set(name) & POSTAL
    if look.type == "number":
        values = look.values.drop_nulls().to_numpy()
        whole = bool(np.all(values == np.round(values)))
        if not (unique and whole):
            return False
        in_order = bool(np.all(np.diff(values) == 1)) and values[0] in (0, 1)
        if (in_order and not set(name) & TIMELIKE) or ROW.match(look.name.strip() or "x"):
            return left("It numbers the rows.")
        if set(name) & (IDS | ENTITIES) or name[-1:] == ["id"]:
            return left("A number of its own for each row.")
        return False
    if look.type == "category" and unique:
        if share(look, UUID) >= 0.9:
            return left("A code of its own for each row.")
        several = share(look, r"\s")
        if set(name) & IDS or ROW.match(look.name.strip() or "x"):
            return left("A code of its own for each row.")
        if several < 0.4:
            return left("It is different in every row: a code or a name.")
        look.settings = {"type": "text"}
        look.notes.append("different in every row: read as words")
        look.read()
    if look.type == "text" and unique and share(look, r"^(https?://|www\.)\S+$") >= 0.9:
        return left("An address of its own for each row.")
    if look.type == "text" and unique and share(look, UUID) >= 0.9:
        return left("A code of its own for each row.")
    return False


def twice(looks: Mapping[str, ColumnProfile]) -> None:
    """Of columns that say the same, keep the first."""
    first: dict[bytes, str] = {}
    for look in looks.values():
        if look.role != "feature" or look.known < 10:
            continue
        if look.type in ("category", "boolean"):
            if look.distinct > 0.8 * look.known or look.distinct < 2:
                continue
            text = look.values.cast(pl.String).fill_null("\0")
            _, at, codes = np.unique(
                text.to_numpy().astype(str), return_index=True, return_inverse=True
            )
            order = np.empty(len(at), dtype=np.int64)
            order[np.argsort(at)] = np.arange(len(at))
            # Labels numbered as they first appear: equal where two columns are one to one.
            key = b"labels" + order[codes].astype(np.int32).tobytes()
        elif look.type in ("number", "date"):
            continue
        else:
            key = b"text" + str(look.raw.hash(0).sum()).encode()
        if key in first:
            look.leave_out("ignore", f"Says the same as {first[key]}.")
        else:
            first[key] = look.name
    on_one_line(looks)


def on_one_line(looks: Mapping[str, ColumnProfile]) -> None:
    """Of numbers that are one number on several scales, keep the first."""
    numbers = [
        look
        for look in looks.values()
        if look.role == "feature" and look.type in ("number", "date") and look.distinct > 2
    ]
    if len(numbers) < 2:
        return
    rows = np.random.default_rng(0).permutation(len(numbers[0].values))[:5_000]
    table = np.stack([look.values.to_physical().cast(pl.Float64).to_numpy() for look in numbers])
    table = table[:, rows]
    missing = np.isnan(table)
    table = np.where(missing, np.nanmean(table, axis=1, keepdims=True), table)
    table = np.nan_to_num(table)
    table -= table.mean(1, keepdims=True)
    table /= np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-300)
    alike = np.abs(table @ table.T) > 1 - 1e-6
    for j, look in enumerate(numbers):
        for i in np.flatnonzero(alike[j, :j]):
            if numbers[i].role == "feature" and bool((missing[i] == missing[j]).all()):
                look.leave_out("ignore", f"Says the same as {numbers[i].name}, on another scale.")
                break
