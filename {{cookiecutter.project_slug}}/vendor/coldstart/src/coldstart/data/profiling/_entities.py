"""Entities: persons or things that several rows are about."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from coldstart.data.profiling._column_profile import ColumnProfile, share, words
from coldstart.data.profiling._spellings import vocabulary

ENTITIES = vocabulary(
    "patient customer client user subject person participant player student member household "
    "account session visitor device donor employee driver author speaker respondent child mother "
    "animal volunteer borrower applicant buyer subscriber passenger guest worker teacher couple "
    "family twin rat mouse dog cat chick cow pig sheep subj pid uid cust mrn nhs pt individual "
    "case caseid patientid customerid userid personid memberid accountid custid subjectid "
    "studentid sessionid deviceid playerid employeeid clientid visitorid houseid hhid"
)
THINGS = vocabulary(
    "store shop product item category department dept region country state city type location "
    "station route brand genre team vendor supplier channel org branch warehouse zone county "
    "group class sector industry segment plan model make currency language school site"
)
IDS = {"id", "ids", "uuid", "guid", "key", "pk", "idx", "index", "serial", "ref", "rowid", "hash"}
IDS |= {"no", "nr", "record", "reference", "sku", "rownames", "rowname", "obs", "identifier", "vin"}
IDS |= {word for word in ENTITIES if word.endswith("id")} | {"recordid", "orderid", "invoiceid"}


def entity(
    looks: Mapping[str, ColumnProfile], target: ColumnProfile
) -> tuple[float, ColumnProfile, str] | None:
    """Find the column whose values repeat because rows come from the same person or thing."""
    candidates: list[tuple[float, ColumnProfile, str]] = []
    rows = len(target.raw)
    for look in looks.values():
        if look is target or look.role not in ("feature", "ignore") or look.type == "date":
            continue
        if look.role == "ignore" and "identifies a person" not in look.settings.get("reason", ""):
            continue
        if look.raw.null_count() or look.values.null_count():
            continue
        distinct = look.distinct
        repeated = int(look.values.is_duplicated().sum())
        if distinct < 5 or repeated < 0.2 * rows or distinct > 0.9 * rows:
            continue
        if look.type == "number" and not bool((look.values == look.values.round()).all()):
            continue
        name = words(look.name)
        code = bool(set(name) & IDS) or name[-1:] == ["id"]
        counting = set(name) & {"count", "number", "num", "age", "n", "type", "size", "total"}
        person_like = set(name) & ENTITIES and not counting and name[-1] not in THINGS
        if look.role == "ignore":
            kind = "mail" in look.settings["reason"] or "number" in look.settings["reason"]
            if kind and distinct < 0.7 * rows:
                candidates.append((1.0, look, "persons repeat"))
        elif person_like and (code or look.type != "number" or distinct >= 10):
            if look.type == "number" and not code and len(name) > 1:
                continue
            candidates.append((3.0 + code, look, "its name says who the row is about"))
        elif (
            code
            and distinct >= 10
            and not set(name) & THINGS
            and set(name) & {"id", "uuid", "guid"}
        ):
            candidates.append((2.0, look, "an identifier that repeats"))
        elif name == ["name"] and look.type == "category" and 10 <= distinct <= rows / 3:
            candidates.append((1.0, look, "several rows are about what has one name"))
        elif look.type == "number" and not set(name) & (IDS | ENTITIES):
            continue
        elif 10 <= distinct <= 0.5 * rows and (why := bound(look, looks, target)):
            candidates.append((1.5, look, why))
    if not candidates:
        return None
    return max(candidates, key=lambda one: (one[0], one[1].distinct))


def bound(key: ColumnProfile, looks: Mapping[str, ColumnProfile], target: ColumnProfile) -> str:
    """Whether the target, or most other columns, are the same in all rows of one key."""
    if (
        len(looks) > 100
        or key.type == "text"
        or share(key, r"\S\s+\S") > 0.5  # words are said of a thing, and are not its name
        or (key.type == "number" and key.distinct > 0.3 * key.known)
    ):
        return ""
    others = [
        look for look in looks.values() if look is not key and look.known > 0.5 * len(key.raw)
    ]
    others = [
        look for look in others
        if look.distinct > 1
        and (look.values.drop_nulls().value_counts()["count"].max() or 0) < 0.8 * look.known  # type: ignore[operator]
    ]  # fmt: skip
    if not others:
        return ""
    table = pl.DataFrame(
        [key.raw.alias("key"), *(look.raw.alias(str(i)) for i, look in enumerate(others))]
    )
    groups = table.group_by("key").agg(pl.len().alias("rows"), pl.exclude("key").n_unique())
    groups = groups.filter(pl.col("rows") > 1)
    if len(groups) < 10:
        return ""
    constant = [
        look
        for i, look in enumerate(others)
        if int((groups[str(i)] == 1).sum()) >= 0.98 * len(groups)
    ]
    if target in constant:
        return f"{target.name} is the same in all rows of one {key.name}"
    if len(groups) >= 20 and len(constant) >= max(3, 0.5 * len(others)):
        return f"{len(constant)} other columns are the same in all rows of one {key.name}"
    return ""
