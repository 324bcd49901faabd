"""Validation: every way in which data and contract can disagree is named, all at once."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest
from pydantic import TypeAdapter, ValidationError

from coldstart.contract._contract import Contract
from coldstart.data._validation import SHOWN, TableValidator, check_names
from coldstart.errors import UserError

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
BIRD = {"type": "category"}
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


def validate(*slices: pl.DataFrame) -> pl.DataFrame:
    """Type the slices of a table, whose header is line 1, and check it."""
    check_names(slices[0].columns, CONTRACT)
    typing = TableValidator(CONTRACT.columns)
    typed = pl.concat([typing(rows) for rows in slices])
    typing.check(lambda row: f"line {row + 2}")
    return typed


def complaints(*slices: pl.DataFrame) -> list[str]:
    """Return what validation says, without the heading."""
    with pytest.raises(UserError) as caught:
        validate(*slices)
    head, *feature_slices = str(caught.value).splitlines()
    assert head == "the data does not match schema.yaml:"
    return [place.strip() for place in feature_slices]


def test_good_rows_come_back_typed_in_the_order_of_contract_and_table() -> None:
    raw = table({}, {"height": "2.5", "hit": "Engine Shut Down", "engine": "off"}).select(
        sorted(GOOD)
    )
    typed = validate(raw)
    assert typed.columns == list(CONTRACT.columns)
    day = dt.date(1999, 12, 31)
    assert typed.rows() == [
        (10.0, day, "clear", "gull", True, False),
        (2.5, day, "clear", "gull", False, True),
    ]


def test_each_rule_that_is_broken_has_a_line_with_count_first_place_and_remedy() -> None:
    raw = table(
        {"height": "101", "sky": "green"},
        {},
        {"height": "high", "day": "31/12/1999", "engine": "maybe"},
        {"day": None, "height": "-0.5"},
        {"height": "low", "engine": "perhaps"},
    )
    expected = {
        ("height", "2 value(s) not a number"): ("'high' (line 4)", "missing_values"),
        ("height", "1 value(s) below the minimum 0"): ("'-0.5' (line 5)", "limit"),
        ("height", "1 value(s) above the maximum 100"): ("'101' (line 2)", "limit"),
        ("day", "1 value(s) not a date"): ("'31/12/1999' (line 4)", "format"),
        ("day", "1 value(s) missing"): ("None (line 5)", "nullable: true"),
        ("sky", "1 value(s) not one of the categories"): ("'green' (line 2)", "categories"),
        ("engine", "2 value(s) not a boolean"): ("'maybe' (line 4)", "true_values"),
    }
    for slices in ([raw], [raw[:2], raw[2:3], raw[3:]]):
        found = complaints(*slices)
        assert len(found) == len(expected)
        for (column, rule), parts in expected.items():
            (line,) = [line for line in found if line.startswith(f"{column}: {rule}")]
            assert all(part in line for part in parts), line


@pytest.mark.parametrize("value", ["ten", "1,5", "nan", "inf", "1e999", "0x10", "10 m"])
def test_what_is_not_a_finite_number_is_refused(value: str) -> None:
    (found,) = complaints(table({}, {"height": value}))
    assert found.startswith(f"height: 1 value(s) not a number, the first is {value!r} (line 3)")


@pytest.mark.parametrize("value", ["02/30/1999", "1999-12-31", "yesterday", "12/31/99x"])
def test_a_day_that_is_not_in_the_calendar_is_refused(value: str) -> None:
    (found,) = complaints(table({"day": value}))
    assert found.startswith(f"day: 1 value(s) not a date, the first is {value!r} (line 2)")


def test_the_limits_themselves_are_allowed() -> None:
    typed = validate(table({"height": "0"}, {"height": "100"}))
    assert typed["height"].to_list() == [0, 100]


def test_blanks_and_the_spellings_of_missing_become_null() -> None:
    words = ["UNKNOWN", "-1", "", "   ", None, " 7 "]
    typed = validate(table(*({"height": word} for word in words)))
    assert typed["height"].to_list() == [None, None, None, None, None, 7]


def test_a_spelling_of_missing_counts_in_its_own_column_alone() -> None:
    typed = validate(table({"bird": "UNKNOWN"}))
    assert typed["bird"].to_list() == ["UNKNOWN"]


def test_an_open_list_of_categories_takes_a_new_one() -> None:
    assert validate(table({"bird": "owl"}))["bird"].to_list() == ["owl"]


def test_a_text_that_requests_refuse_for_its_length_is_refused_here_as_well() -> None:
    listed = "l" * 1500
    columns = {
        "free": {"type": "category"},
        "listed": {"type": "category", "categories": [listed, "m"]},
        "note": {"type": "text"},
    }
    contract = Contract.model_validate({"columns": columns | {"hit": {"role": "target", **BIRD}}})
    fitting = {"free": "f" * 1000, "listed": listed, "note": "n" * 100_000, "hit": "h" * 2000}
    typing = TableValidator(contract.columns)
    typing(pl.DataFrame([fitting]))
    typing.check(str)
    for name in columns:
        kind = contract.columns[name].request_type()
        TypeAdapter(kind).validate_python(fitting[name])
        with pytest.raises(ValidationError):
            TypeAdapter(kind).validate_python(fitting[name] + "x")
    typing(pl.DataFrame([{name: text + "x" for name, text in fitting.items()}]))
    with pytest.raises(UserError) as caught:
        typing.check(str)
    free, long, note = str(caught.value).splitlines()[1:]
    assert "free: 1 value(s) longer than 1,000 characters, the first is 'fff" in free
    assert free.endswith("change categories, or to type: text, or correct the data")
    assert "longer than 1,500 characters" in long
    assert "longer than 100,000 characters" in note
    assert max(map(len, (free, long, note))) < 300


def test_unknown_and_absent_columns_are_named_with_what_may_be_meant() -> None:
    raw = table({}).rename({"sky": "the sky"}).drop("height").with_columns(extra=pl.lit("1"))
    assert sorted(complaints(raw)) == [
        "extra: in the data but not in schema.yaml; describe it there (role: ignore, if unused)",
        "height: in schema.yaml but not in the data",
        "sky: in schema.yaml but not in the data",
        "the sky: in the data but not in schema.yaml; is it sky?",
    ]


def test_a_flood_of_violations_is_counted_and_cut() -> None:
    raw = table({}).with_columns(pl.lit("1").alias(f"extra {i}") for i in range(SHOWN + 7))
    *feature_slices, last = complaints(raw)
    assert len(feature_slices) == SHOWN
    assert last == "... and 7 more"
