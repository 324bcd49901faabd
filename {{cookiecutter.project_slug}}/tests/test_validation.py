"""Validation: every way in which data and contract can disagree is named, all at once."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest

from {{cookiecutter.__package}}.contract import Contract
from {{cookiecutter.__package}}.errors import UserError
from {{cookiecutter.__package}}.validation import SHOWN, validate

CONTRACT = Contract.model_validate(
    {
        "columns": {
            "height": {
                "type": "number",
                "minimum": 0,
                "maximum": 100,
                "missing_values": ["UNKNOWN", "-1"],
            },
            "day": {"type": "date", "format": "%m/%d/%Y", "nullable": False},
            "sky": {"type": "category", "categories": ["clear", "cloudy"], "unseen": "refuse"},
            "bird": {"type": "category", "categories": ["gull"]},
            "engine": {"type": "boolean", "true_values": ["on"], "false_values": ["off"]},
            "hit": {
                "type": "boolean",
                "role": "target",
                "true_values": [],
                "false_values": ["None"],
            },
        }
    }
)
GOOD = {
    "height": "10",
    "day": "12/31/1999",
    "sky": "clear",
    "bird": "gull",
    "engine": "on",
    "hit": "None",
}


def table(*changes: dict[str, Any]) -> pl.DataFrame:
    """Return a good row for each change, with the change made."""
    return pl.DataFrame(
        [GOOD | change for change in changes], schema=dict.fromkeys(GOOD, pl.String)
    )


def complaints(raw: pl.DataFrame) -> list[str]:
    """Return what validation says, without the heading."""
    with pytest.raises(UserError) as caught:
        validate(raw, CONTRACT)
    head, *places = str(caught.value).splitlines()
    assert f"disagree in {len(places)} place(s)" in head
    return [place.strip() for place in places]


def test_good_rows_come_back_typed_in_the_order_of_contract_and_table() -> None:
    raw = table({}, {"height": "2.5", "hit": "Engine Shut Down", "engine": "off"}).select(
        sorted(GOOD)
    )
    typed = validate(raw, CONTRACT)
    assert typed.columns == list(CONTRACT.columns)
    day = dt.date(1999, 12, 31)
    assert typed.rows() == [
        (10.0, day, "clear", "gull", True, False),
        (2.5, day, "clear", "gull", False, True),
    ]


def test_every_violation_is_listed_with_line_column_and_value() -> None:
    raw = table(
        {"height": "101", "sky": "green"},
        {},
        {"height": "high", "day": "31/12/1999", "engine": "maybe", "hit": None},
        {"day": None, "height": "-0.5"},
    )
    found = complaints(raw)
    expected = [
        ("line 2, height", "'101'", "100"),
        ("line 2, sky", "'green'", "clear"),
        ("line 4, day", "'31/12/1999'", "not a date"),
        ("line 4, engine", "'maybe'", "not a boolean"),
        ("line 4, height", "'high'", "not a number"),
        ("line 4, hit", "None", "missing"),
        ("line 5, day", "None", "missing"),
        ("line 5, height", "'-0.5'", "0"),
    ]
    assert len(found) == len(expected)
    for line, parts in zip(found, expected, strict=True):
        assert all(part in line for part in parts), line


@pytest.mark.parametrize("value", ["ten", "1,5", "nan", "inf", "1e999", "0x10", "10 m"])
def test_what_is_not_a_finite_number_is_refused(value: str) -> None:
    (found,) = complaints(table({}, {"height": value}))
    assert found == f"line 3, height: {value!r} is not a number"


@pytest.mark.parametrize("value", ["02/30/1999", "1999-12-31", "yesterday", "12/31/99x"])
def test_a_day_that_is_not_in_the_calendar_is_refused(value: str) -> None:
    (found,) = complaints(table({"day": value}))
    assert found == f"line 2, day: {value!r} is not a date"


def test_the_limits_themselves_are_allowed() -> None:
    typed = validate(table({"height": "0"}, {"height": "100"}), CONTRACT)
    assert typed["height"].to_list() == [0, 100]


def test_blanks_and_the_spellings_of_missing_become_null() -> None:
    words = ["UNKNOWN", "-1", "", "   ", None, " 7 "]
    typed = validate(table(*({"height": word} for word in words)), CONTRACT)
    assert typed["height"].to_list() == [None, None, None, None, None, 7]


def test_a_spelling_of_missing_counts_in_its_own_column_alone() -> None:
    typed = validate(table({"bird": "UNKNOWN"}), CONTRACT)
    assert typed["bird"].to_list() == ["UNKNOWN"]


def test_an_open_list_of_categories_takes_a_new_one() -> None:
    assert validate(table({"bird": "owl"}), CONTRACT)["bird"].to_list() == ["owl"]


def test_a_missing_target_is_refused_even_where_the_contract_forgot_nullable() -> None:
    (found,) = complaints(table({}, {}, {"hit": ""}))
    assert found == "line 4, hit: '' is missing"


def test_unknown_and_absent_columns_are_all_named() -> None:
    raw = table({}).rename({"sky": "skies"}).drop("height").with_columns(extra=pl.lit("1"))
    assert sorted(complaints(raw)) == [
        "extra: in the data but not in the contract",
        "height: in the contract but not in the data",
        "skies: in the data but not in the contract",
        "sky: in the contract but not in the data",
    ]


def test_a_flood_of_violations_is_counted_and_cut() -> None:
    with pytest.raises(UserError) as caught:
        validate(table(*[{"height": "x"}] * (SHOWN + 7)), CONTRACT)
    head, *places, last = str(caught.value).splitlines()
    assert f"{SHOWN + 7} place(s)" in head
    assert len(places) == SHOWN
    assert last.strip() == "... and 7 more"
