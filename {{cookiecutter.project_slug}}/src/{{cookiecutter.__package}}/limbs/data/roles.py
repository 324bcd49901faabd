"""Roles: what is no feature, and what decides the split."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import polars as pl

from .profile import Look, words
from .spellings import vocabulary

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
EMAIL = r"^[^@\s]+@[^@\s]+\.[a-zA-Z]{2,}$"
PHONE = r"^\+?([\s()./-]*\d){7,15}(\s?x\d+)?$"
PHONE_SURE = r"^(\+\d{1,3}[\s-]?[\d\s()-]{7,}|\(\d{3}\)\s?\d{3}-\d{4}|\d{3}-\d{3}-\d{4})(\s?x\d+)?$"
IP = r"^\d{1,3}(\.\d{1,3}){3}$"
SSN = r"^\d{3}-\d{2}-\d{4}$"
CARD = r"^(\d{4}[ -]?){3}\d{4}$|^[A-Z]{2}\d{2}[A-Z0-9]{11,30}$"
STREET = r"(?i)^\d+\w? .*[a-z]|[a-zß.]+ \d+\w?$|(?i)\b(st|street|ave|avenue|road|rd|blvd|lane|ln)\b"
PERSON = (
    r"^[A-ZÀ-Þ][\w'\u2019.-]+(,? (Mr|Mrs|Miss|Dr|Ms)\.?)?"
    r"[ ,]+([A-ZÀ-Þ][\w'\u2019.-]*\s?){1,4}(\(.*\))?$"
)
GIVEN = vocabulary(
    "james john robert michael william david mary patricia jennifer linda elizabeth barbara susan "
    "jessica sarah karen nancy lisa maria anna emma olivia thomas charles christopher daniel "
    "matthew anthony mark paul steven andrew george kevin brian edward peter laura julia michelle "
    "kimberly emily ashley amanda melissa helen sandra jose juan carlos luis mohammed ali ahmed "
    "wei hans klaus jan pierre jean marie giovanni marco mr mrs miss ms dr"
)


def propose(looks: Mapping[str, Look]) -> None:
    """Find what is no feature: identifiers, what identifies a person, what says the same twice."""
    # Of copies each code is there twice, and is still a row's own.
    different = pl.DataFrame([look.raw.alias(name) for name, look in looks.items()]).n_unique()
    for look in looks.values():
        if look.role == "feature" and not person(look):
            identifier(look, different)
    twice(looks)


def share(look: Look, pattern: str) -> float:
    """Share of the known spellings that match."""
    known = look.raw.drop_nulls().head(5_000)
    return int(known.str.contains(pattern).sum()) / len(known) if len(known) else 0.0


def person(look: Look) -> bool:
    """Leave out what identifies a person."""
    if look.type not in ("category", "text", "number") or look.known < 2:
        return False
    name = set(words(look.name))
    joined = "".join(words(look.name))
    figures = look.type == "number"

    def left(what: str) -> bool:
        look.leave_out("ignore", f"It identifies a person ({what}).")
        return True

    if not figures:
        for pattern, what in ((EMAIL, "an e-mail address"), (IP, "an IP address")):
            if share(look, pattern) >= 0.8:
                return left(what)
        if share(look, SSN) >= 0.8:
            return left("a social security number")
        if share(look, CARD) >= 0.9 and look.distinct > 0.5 * look.known:
            return left("a card or account number")
        if share(look, PHONE_SURE) >= 0.8:
            return left("a telephone number")
    phone = {"phone", "telephone", "mobile", "tel", "fax", "cell"} & name
    if phone and share(look, PHONE) >= 0.8 and look.distinct > 0.3 * look.known:
        return left("a telephone number")
    if {
        "ssn",
        "passport",
        "iban",
        "cpf",
        "nhs",
        "social",
    } & name and look.distinct > 0.5 * look.known:
        return left("an official number")
    if figures:
        return False
    if name & {"address", "street", "addr"} and share(look, STREET) >= 0.5:
        return left("an address")
    parts = {"firstname", "lastname", "surname", "forename", "givenname", "familyname", "fullname"}
    parts |= {"middlename", "maidenname", "nachname", "vorname", "patientname", "customername"}
    parts |= {"username", "login", "employeename", "studentname", "passengername", "lname", "fname"}
    many = look.distinct > max(10, 0.05 * look.known)
    if many and any(joined.endswith(part) for part in parts):
        return left("a name")
    if many and joined == "name" and share(look, r"^[A-ZÀ-Þ][\w'.-]+ [A-ZÀ-Þ][\w'.-]+$") >= 0.9:
        return left("a name")
    if many:
        named = {"name", "names", "person", "customer", "patient", "author", "owner"} & name
        seen = look.raw.drop_nulls().unique().sample(min(500, look.distinct), seed=0).to_list()
        given = float(
            np.mean([bool(GIVEN & set(re.findall(r"[a-z]+", one.lower()))) for one in seen])
        )
        mostly = look.distinct > 0.3 * look.known
        enough = given >= (0.1 if mostly else 0.5)
        if (named and share(look, PERSON) >= 0.7 and enough) or (mostly and given >= 0.6):
            return left("a name")
    return False


def identifier(look: Look, different: int) -> bool:
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


def twice(looks: Mapping[str, Look]) -> None:
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


def on_one_line(looks: Mapping[str, Look]) -> None:
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


def entity(looks: Mapping[str, Look], target: Look) -> tuple[float, Look, str] | None:
    """Find the column whose values repeat because rows come from the same person or thing."""
    candidates: list[tuple[float, Look, str]] = []
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
        elif look.type == "number" and not set(name) & (IDS | ENTITIES):
            continue
        elif 10 <= distinct <= 0.5 * rows and (why := bound(look, looks, target)):
            candidates.append((1.5, look, why))
    if not candidates:
        return None
    return max(candidates, key=lambda one: (one[0], one[1].distinct))


def bound(key: Look, looks: Mapping[str, Look], target: Look) -> str:
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
