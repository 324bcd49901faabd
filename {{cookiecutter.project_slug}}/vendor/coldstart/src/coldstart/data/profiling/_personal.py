"""Personal data: columns that identify a person."""

from __future__ import annotations

import re

import numpy as np

from coldstart.data.profiling._profiles import ColumnProfile, share, words
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

PEOPLE = vocabulary(
    "name names person customer patient author owner contact seller buyer driver employee agent "
    "doctor physician manager teacher student player tenant member guest client witness"
)
COMPANY = vocabulary(
    "company companies organization organisation org firm employer vendor supplier business "
    "merchant manufacturer firma unternehmen lieferant entreprise societe fournisseur empresa "
    "proveedor azienda fornitore bedrijf leverancier"
)
LEGAL = (
    r"(?i)[\s,](inc|llc|ltd|limited|corp|corporation|co|plc|gmbh|ag|kg|ohg|sa|sas|sarl|srl|spa|bv|"
    r"nv|oy|ab|as|sp\.? ?z ?o\.?o|s\.?a\.?|s\.?r\.?l|b\.?v|l\.?l\.?c)\.?$"
)
SEVERAL = 5  # different values, and a column of names is one


def is_organization(profile: ColumnProfile) -> bool:
    """Leave out names of organizations that are written freely, and return whether it does.

    A model would learn the few rows of each. A few organizations with many rows stay a category.
    """
    if profile.type not in ("category", "text") or profile.distinct <= 0.2 * profile.known:
        return False
    legal = share(profile, LEGAL)
    if legal < 0.3 and not (set(words(profile.name)) & COMPANY and share(profile, r"[a-z]") > 0.9):
        return False
    profile.leave_out(
        "ignore",
        f"Names of organizations, {profile.distinct:,} in {profile.known:,} rows: too few rows of "
        "each to learn from. A group, such as their branch, would be a feature.",
    )
    return True


def is_personal(profile: ColumnProfile) -> bool:
    """Leave out a column that identifies a person, and return whether it does."""
    if profile.type not in ("category", "text", "number") or profile.known < 2:
        return False
    name = set(words(profile.name))
    joined = "".join(words(profile.name))
    figures = profile.type == "number"

    def left(what: str) -> bool:
        profile.leave_out("ignore", f"It identifies a person ({what}).")
        profile.settings["personal"] = True
        for listed in ("categories", "example"):  # git keeps schema.yaml
            profile.settings.pop(listed, None)
        return True

    if not figures:
        for pattern, what in ((EMAIL, "an e-mail address"), (IP, "an IP address")):
            if share(profile, pattern) >= 0.8:
                return left(what)
        if share(profile, SSN) >= 0.8:
            return left("a social security number")
        if share(profile, CARD) >= 0.9 and profile.distinct > 0.5 * profile.known:
            return left("a card or account number")
        if share(profile, PHONE_SURE) >= 0.8:
            return left("a telephone number")
    phone = {"phone", "telephone", "mobile", "tel", "fax", "cell"} & name
    if phone and share(profile, PHONE) >= 0.8 and profile.distinct > 0.3 * profile.known:
        return left("a telephone number")
    if {
        "ssn",
        "passport",
        "iban",
        "cpf",
        "nhs",
        "social",
    } & name and profile.distinct > 0.5 * profile.known:
        return left("an official number")
    if figures:
        return False
    if name & {"address", "street", "addr"} and share(profile, STREET) >= 0.5:
        return left("an address")
    parts = {"firstname", "lastname", "surname", "forename", "givenname", "familyname", "fullname"}
    parts |= {"middlename", "maidenname", "nachname", "vorname", "patientname", "customername"}
    parts |= {"username", "login", "employeename", "studentname", "passengername", "lname", "fname"}
    if profile.distinct >= SEVERAL and any(joined.endswith(part) for part in parts):
        return left("a name")
    many = profile.distinct > max(10, 0.05 * profile.known)
    if many and joined == "name" and share(profile, r"^[A-ZÀ-Þ][\w'.-]+ [A-ZÀ-Þ][\w'.-]+$") >= 0.9:
        return left("a name")
    if many:
        named = PEOPLE & name
        seen = (
            profile.raw.drop_nulls().unique().sample(min(500, profile.distinct), seed=0).to_list()
        )
        given = float(
            np.mean([bool(GIVEN & set(re.findall(r"[a-z]+", one.lower()))) for one in seen])
        )
        mostly = profile.distinct > 0.3 * profile.known
        enough = given >= (0.1 if mostly else 0.5)
        if (named and share(profile, PERSON) >= 0.7 and enough) or (mostly and given >= 0.6):
            return left("a name")
    return False
