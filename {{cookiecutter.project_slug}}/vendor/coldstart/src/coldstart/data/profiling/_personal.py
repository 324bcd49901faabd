"""Persons: columns that identify one."""

from __future__ import annotations

import re

import numpy as np

from coldstart.data.profiling._column_profile import ColumnProfile, share, words
from coldstart.data.profiling._spellings import vocabulary

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


def person(look: ColumnProfile) -> bool:
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
