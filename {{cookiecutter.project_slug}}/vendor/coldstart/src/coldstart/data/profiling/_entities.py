"""Entities: people or things that several rows are about."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from coldstart.data.profiling._profiles import ColumnProfile, share, words
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


def find_entity(
    profiles: Mapping[str, ColumnProfile], target: ColumnProfile
) -> tuple[float, ColumnProfile, str] | None:
    """Find the column whose values repeat because rows are about the same person or thing."""
    candidates: list[tuple[float, ColumnProfile, str]] = []
    rows = len(target.raw)
    for profile in profiles.values():
        if profile is target or profile.role not in ("feature", "ignore") or profile.type == "date":
            continue
        if profile.role == "ignore" and not profile.personal:
            continue
        if profile.raw.null_count() or profile.values.null_count():
            continue
        distinct = profile.distinct
        repeated = int(profile.values.is_duplicated().sum())
        if distinct < 5 or repeated < 0.2 * rows or distinct > 0.9 * rows:
            continue
        if profile.type == "number" and not bool((profile.values == profile.values.round()).all()):
            continue
        name = words(profile.name)
        code = bool(set(name) & IDS) or name[-1:] == ["id"]
        counting = set(name) & {"count", "number", "num", "age", "n", "type", "size", "total"}
        person_like = set(name) & ENTITIES and not counting and name[-1] not in THINGS
        if profile.role == "ignore":
            kind = "mail" in profile.settings["reason"] or "number" in profile.settings["reason"]
            if kind and distinct < 0.7 * rows:
                candidates.append((1.0, profile, "people repeat"))
        elif person_like and (code or profile.type != "number" or distinct >= 10):
            if profile.type == "number" and not code and len(name) > 1:
                continue
            candidates.append((3.0 + code, profile, "its name is that of an entity"))
        elif (
            code
            and distinct >= 10
            and not set(name) & THINGS
            and set(name) & {"id", "uuid", "guid"}
        ):
            candidates.append((2.0, profile, "an identifier that repeats"))
        elif name == ["name"] and profile.type == "category" and 10 <= distinct <= rows / 3:
            candidates.append((1.0, profile, "several rows have the same name"))
        elif profile.type == "number" and not set(name) & (IDS | ENTITIES):
            continue
        elif 10 <= distinct <= 0.5 * rows and (
            why := determines_columns(profile, profiles, target)
        ):
            candidates.append((1.5, profile, why))
    if not candidates:
        return None
    return max(candidates, key=lambda one: (one[0], one[1].distinct))


def determines_columns(
    key: ColumnProfile, profiles: Mapping[str, ColumnProfile], target: ColumnProfile
) -> str:
    """Return why a key identifies an entity: it determines the target, or most other columns."""
    if (
        len(profiles) > 100
        or key.type == "text"
        or share(key, r"\S\s+\S") > 0.5  # several words describe a thing, and do not name it
        or (key.type == "number" and key.distinct > 0.3 * key.known)
    ):
        return ""
    others = [
        profile
        for profile in profiles.values()
        if profile is not key and profile.known > 0.5 * len(key.raw)
    ]
    others = [
        profile for profile in others
        if profile.distinct > 1
        and (profile.values.drop_nulls().value_counts()["count"].max() or 0) < 0.8 * profile.known  # type: ignore[operator]
    ]  # fmt: skip
    if not others:
        return ""
    table = pl.DataFrame(
        [key.raw.alias("key"), *(profile.raw.alias(str(i)) for i, profile in enumerate(others))]
    )
    groups = table.group_by("key").agg(pl.len().alias("rows"), pl.exclude("key").n_unique())
    groups = groups.filter(pl.col("rows") > 1)
    if len(groups) < 10:
        return ""
    constant = [
        profile
        for i, profile in enumerate(others)
        if int((groups[str(i)] == 1).sum()) >= 0.98 * len(groups)
    ]
    if target in constant:
        return f"{target.name} is the same in all rows of one {key.name}"
    if len(groups) >= 20 and len(constant) >= max(3, 0.5 * len(others)):
        return f"{len(constant)} other columns are the same in all rows of one {key.name}"
    return ""
