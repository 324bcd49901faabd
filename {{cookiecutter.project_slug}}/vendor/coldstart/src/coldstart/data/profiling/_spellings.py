"""How numbers, booleans and missing values are spelled in a text column."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any


def vocabulary(text: str) -> set[str]:
    """Split words at blanks."""
    return set(text.split())


# In lower case. Between numbers or dates each of these means that nothing is known ...
MISSING = {
    "na", "n/a", "n.a.", "n.a", "#n/a", "#na", "#n/a n/a", "<na>", "nan", "-nan", "1.#qnan",
    "1.#ind", "null", "(null)", "[null]", "#null!", "nil", "none", "nat", "missing", "(missing)",
    "unknown", "(unknown)", "unk", "undefined", "not available", "not applicable", "not known",
    "no data", "not recorded", "blank", "(blank)", "(empty)", "empty", "?", "??", "???", "-", "--",
    "---", "\u2013", "\u2014", ".", "..", "...", "_", "*", "**", "/", "x", "xx", "\\n", "#value!",
    "#ref!",
    "#div/0!", "#name?", "#num!", "inf", "-inf", "+inf", "infinity", "n.d.", "nd", "n.b.", "k.a.",
    "k. a.", "keine angabe", "s/d", "n/d", "tbd", "tba", "withheld", "0000-00-00",
    "0000-00-00 00:00:00", "00/00/0000", "'", '""', "''",
}  # fmt: skip
# ... but among labels many of them are labels; these are none.
NO_LABEL = {
    "na", "n/a", "n.a.", "n.a", "#n/a", "#na", "<na>", "nan", "null", "(null)", "[null]", "#null!",
    "nil", "nat", "?", "??", "-", "--", "---", "\u2013", "\u2014", ".", "..", "...", "\\n",
    "#value!", "#ref!", "#div/0!", "#name?", "#num!", "(blank)", "(missing)", "undefined",
    "''", '""', "n.d.", "n/d", "s/d", "k.a.", "k. a.", "keine angabe",
}  # fmt: skip
CONTINENTS = {"AF", "AN", "AS", "EU", "NA", "OC", "SA"}
STATES = vocabulary(
    "AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM "
    "NY NC ND OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY DC PR GU VI AS MP FM PW MH AB BC MB "
    "NB NL NS NT NU ON PE QC SK YT CQ"
)

TRUE = {"true", "t", "yes", "y", "1", "1.0", "on", "ja", "oui", "si", "sí", "sim", "wahr", "да"}
FALSE = {"false", "f", "no", "n", "0", "0.0", "off", "nein", "non", "não", "falsch", "нет"}

CURRENCY = r"(?:(?:us|a|au|c|ca|nz|hk|s|r|mx)?[$€£¥₹₽₩₪฿₺₴₫₦]|usd|eur|gbp|chf|inr|rs\.?|jpy|cny|"
CURRENCY += r"aud|cad|sek|nok|dkk|kr\.?|zł|pln|rub|brl|zar|mxn|sgd|hkd)"
PREFIX = re.compile(rf"^(?:{CURRENCY}|~|≈|<|>|<=|>=|≤|≥|=|ca\.?|approx\.?|about|circa)$", re.I)
UNIT = re.compile(
    rf"^(?:{CURRENCY}|%|‰|°|°c|°f|c°|deg|kg|g|mg|µg|ug|t|lbs?\.?|oz\.?|st|km|m|cm|mm|µm|nm|mi|"
    r"miles?|ft\.?|feet|in\.?|inch(?:es)?|\"|'|yd|yards?|s|secs?|seconds?|ms|mins?\.?|minutes?|h|"
    r"hrs?\.?|hours?|days?|d|weeks?|wks?|months?|mos?|yrs?\.?|years?|years? old|y/o|mph|km/h|kmh|"
    r"kph|knots|kn|kts?|m/s|kw|kwh|mw|mwh|w|wh|v|kv|mv|a|ma|hz|khz|mhz|ghz|gb|mb|kb|tb|bytes|l|ml|"
    r"cl|dl|gal|hp|bhp|ps|cv|cc|ccm|cm3|cm³|nm|rpm|mpg|l/100 ?km|km/l|kmpl|km/kg|m2|m²|"
    r"sq\.? ?ft\.?|"
    r"sqft|sq\.? ?m\.?|sqm|qm|acres?|ha|pts?\.?|points?|psi|pa|hpa|kpa|bar|mbar|kcal|cal|kj|j|"
    r"ppm|ppb|db|px|pcs?|people|persons|units?|x|\+|\*|/5|/10|/100|mmhg|bpm|mg/dl|mmol/l|g/l|g/dl)$",
    re.I,
)
SCALES = {
    "k": 1e3, "thousand": 1e3, "tsd": 1e3, "m": 1e6, "mn": 1e6, "mm": 1e6, "mio": 1e6, "mil": 1e6,
    "million": 1e6, "millions": 1e6, "b": 1e9, "bn": 1e9, "billion": 1e9, "billions": 1e9,
    "mrd": 1e9, "t": 1e12, "tn": 1e12, "trillion": 1e12,
}  # fmt: skip
MIXED_UNITS = (  # in one column, units of one kind are made one
    {"mg": 1e-3, "g": 1.0, "kg": 1e3, "t": 1e6},
    {"mm": 1e-3, "cm": 1e-2, "m": 1.0, "km": 1e3},
    {"ms": 1e-3, "s": 1.0, "sec": 1.0, "min": 60.0, "mins": 60.0, "h": 3600.0, "hr": 3600.0,
     "hrs": 3600.0, "hour": 3600.0, "hours": 3600.0, "day": 86400.0, "days": 86400.0},
    {"kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12},
    {"day": 1.0, "days": 1.0, "week": 7.0, "weeks": 7.0, "month": 30.4, "months": 30.4,
     "year": 365.25, "years": 365.25},
)  # fmt: skip
BLANKS = "\u00a0\u2009\u202f "
NUMBER = re.compile(
    r"^(?P<open>\()?\s*(?P<sign>[+-])?\s*(?P<prefix>[^\d.,+()-]*?)\s*[+-]?"
    rf"(?P<core>\d(?:[\d.,'_{BLANKS}]*\d)?[.,]?|[.,]\d+)(?P<power>[eE][+-]?\d+)?"
    r"(?P<gap>\s*)(?P<suffix>/\d+|[^\d\s()].*?)?\s*(?P<close>\))?$"
)
DOTTED = re.compile(r"[1-9]\d{0,2}(\.\d{3})+")
ENOUGH = 0.5  # of a column's spellings must look like numbers before a style is sought


def is_missing(text: str) -> bool:
    """Return whether a word means "missing" where numbers or dates are expected."""
    return text.lower() in MISSING


def find_missing_labels(texts: Collection[str]) -> list[str]:
    """Return the spellings that mean "missing" although the column holds categories."""
    found = [text for text in texts if text.lower() in NO_LABEL]
    rest = [text for text in texts if text.lower() not in NO_LABEL]
    if len(rest) < 2:  # "NA or not" is all that the column says
        return []
    codes = [text for text in rest if re.fullmatch("[A-Z]{2}", text)]
    countries = len(codes) >= 10 and len(set(codes) & STATES) < 0.8 * len(codes)
    continents = len(codes) >= 3 and set(codes) <= CONTINENTS
    if "NA" in found and len(codes) >= 0.7 * len(rest) and (countries or continents):
        found.remove("NA")  # Namibia, or North America
    return found


def booleans(texts: Iterable[str]) -> tuple[list[str], list[str]] | None:
    """Return the spellings of true and of false, if a column has no others."""
    spelled = list(texts)
    true = sorted(text for text in spelled if text.lower() in TRUE)
    false = sorted(text for text in spelled if text.lower() in FALSE)
    if not true or not false or len(true) + len(false) < len(spelled):
        return None
    return true, false


def number_style(texts: Collection[str]) -> dict[str, Any] | None:
    """Return the settings of a Number that read most of these spellings, or None.

    The caller checks whether the settings do read them.
    """
    if sum(bool(NUMBER.match(text)) for text in list(texts)[:60]) < ENOUGH * min(60, len(texts)):
        return None
    found = [match for text in texts if (match := NUMBER.match(text))]
    if not found or len(found) < ENOUGH * len(texts):
        return None
    prefixes = Counter(match["prefix"].strip() for match in found if match["prefix"].strip())
    suffixes = Counter(match["suffix"].strip() for match in found if match["suffix"])
    affixes, multipliers = _endings(found, prefixes, suffixes)
    if affixes is None:
        return None
    affixes += sorted(prefix for prefix in prefixes if PREFIX.match(prefix))
    if any(match["open"] and match["close"] for match in found):
        affixes.append("()")
    if suffixes["-"] and re.search(r"\d\s*-$", "\n".join(texts), re.M):
        affixes.append("-")
    decimal, thousands = number_marks([match["core"] for match in found])
    style: dict[str, Any] = {"type": "number"}
    if decimal != ".":
        style["decimal"] = decimal
    if thousands:
        style["thousands"] = thousands
    if affixes:
        # The longest first: "g" must not be taken out of "kg".
        style["affixes"] = sorted(dict.fromkeys(affixes), key=lambda text: (-len(text), text))
    if multipliers:
        style["multipliers"] = multipliers
    return style


def _endings(
    found: list[re.Match[str]], prefixes: Counter[str], suffixes: Counter[str]
) -> tuple[list[str] | None, dict[str, float]]:
    """Return affixes to ignore and endings that multiply, or None if they are neither."""
    if not suffixes:
        return [], {}
    money = any(re.fullmatch(CURRENCY, prefix, re.I) for prefix in prefixes)
    low = {suffix.lower() for suffix in suffixes}
    for family in MIXED_UNITS:
        if len(low) > 1 and low <= set(family) and len({family[one] for one in low}) > 1:
            endings = sorted(suffixes, key=len, reverse=True)
            return [], {ending: family[ending.lower()] for ending in endings}
    scaled = {suffix for suffix in suffixes if suffix.lower() in SCALES}
    if low <= {"m"} and not money and "M" not in scaled:
        scaled = set()  # metres
    if low <= {"t"} or low <= {"mm"}:
        scaled = set()
    multipliers = {one: SCALES[one.lower()] for one in sorted(scaled, key=len, reverse=True)}
    affixes = []
    for suffix, count in suffixes.items():
        if suffix in multipliers or suffix == "-":
            continue
        spaced = sum(match["suffix"] == suffix and bool(match["gap"]) for match in found) == count
        usual = count >= 0.9 * len(found) and len({match["core"] for match in found}) >= 5
        if UNIT.match(suffix) or (spaced and usual and len(suffix) <= 20):
            affixes.append(suffix)
        elif count > 0.02 * len(found):
            return None, {}  # "12A" is a code
    return affixes, multipliers


def number_marks(cores: Collection[str]) -> tuple[str, str]:
    """Return the decimal mark and the thousands separator of unsigned numbers."""
    blank = f"[{BLANKS}]"
    for mark, pattern in ((" ", blank), ("'", "'"), ("_", "_")):
        groups = r"^\d{1,3}(?:" + pattern + r"\d{3})+"
        grouped = [core for core in cores if re.search(groups, core)]
        if grouped:
            rest = [re.sub(pattern, "", core) for core in cores]
            return (",", mark) if _decimal(rest) == "," else (".", mark)
    both = [core for core in cores if "." in core and "," in core]
    if both:
        comma_last = sum(core.rfind(",") > core.rfind(".") for core in both)
        return (",", ".") if comma_last > len(both) / 2 else (".", ",")
    commas, dots = ([core for core in cores if mark in core] for mark in ",.")
    if commas and dots and _decimal(commas) == "," and all(map(DOTTED.fullmatch, dots)):
        return ",", "."  # 12,5 beside 1.234
    decimal = _decimal(cores)
    if decimal == "," or any("," in core for core in cores):
        return (",", "") if decimal == "," else (".", ",")
    return _dots(cores)


def _decimal(cores: Collection[str]) -> str:
    """Return whether commas are decimal commas."""
    commas = [core for core in cores if "," in core]
    thousands = [core for core in commas if re.fullmatch(r"[1-9]\d{0,2}(,\d{2,3})*,\d{3}", core)]
    return "," if len(thousands) < 0.9 * len(commas) and not any("." in c for c in cores) else "."


def _dots(cores: Collection[str]) -> tuple[str, str]:
    """Return whether dots separate thousands: 1.234.567, or 950 beside 1.024 and 12.500."""
    dotted = [core for core in cores if "." in core]
    groups = [core for core in dotted if DOTTED.fullmatch(core)]
    if dotted and len(groups) == len(dotted):
        small = [core for core in cores if "." not in core]
        several = any(core.count(".") > 1 for core in groups)
        steps = len(dotted) >= 5 and len(small) >= 5 and all(len(core) <= 3 for core in small)
        if several or steps:
            return ",", "."
    return ".", ""


def open_mark(texts: Iterable[str]) -> str:
    """Return the mark of numbers such as 1.234, which may be decimal or between thousands.

    Empty if there is no mark, or if a number such as 1.5, 0.123 or 1.234.567 decides what it is.
    """
    found = (match["core"] for text in texts if (match := NUMBER.match(text)))
    marked = [core for core in found if "." in core or "," in core]
    for mark in ".,":
        if marked and all(re.fullmatch(rf"[1-9]\d{{0,2}}\{mark}\d{{3}}", core) for core in marked):
            return mark
    return ""
