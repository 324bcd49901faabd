"""The types: every way of writing a value is read as meant, or not at all."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coldstart.contract.columns import BaseColumn, Boolean, Category, Date, Number, Text
from coldstart.contract.columns._text import plain


def read(column: BaseColumn, values: list[Any]) -> list[Any]:
    """Type the values as reading does."""
    frame = pl.DataFrame({"x": values})
    dtype = frame.schema["x"]
    known = frame.select(column.known(pl.col("x"), dtype))
    return known.select(column.typed(pl.col("x"), dtype))["x"].to_list()


def number(**how: Any) -> Number:
    return Number(type="number", **how)


@pytest.mark.parametrize(
    ("how", "text", "value"),
    [
        ({}, "+3", 3),
        ({}, ".5", 0.5),
        ({}, "1e-3", 0.001),
        ({}, "1,5", None),
        ({}, "inf", None),
        ({"thousands": ","}, "1,234,567.5", 1234567.5),
        ({"thousands": ","}, "12,34,567", 1234567),  # as in India
        ({"thousands": ","}, "1,23", None),
        ({"thousands": ","}, "1234", 1234),
        ({"thousands": ".", "decimal": ","}, "-1.234,5", -1234.5),
        ({"thousands": ".", "decimal": ","}, "1.5", None),
        ({"decimal": ","}, "1,5", 1.5),
        ({"decimal": ","}, "1.5", None),
        ({"thousands": " ", "decimal": ","}, "1 234,5", 1234.5),
        ({"thousands": " ", "decimal": ","}, "1\u202f234\u00a0567,5", 1234567.5),
        ({"thousands": "'"}, "1'234", 1234),
        ({"thousands": ",", "affixes": ["$"]}, "$28,000", 28000),
        ({"thousands": ",", "affixes": ["$"]}, "-$28,000", -28000),
        ({"affixes": ["%"]}, "14.07 %", 14.07),
        ({"affixes": ["g", "kg", "kgs"]}, "5 kgs", 5),
        ({"affixes": ["()"]}, "(5)", -5),
        ({"affixes": ["-"]}, "5-", -5),
        ({"multipliers": {"k": 1000, "M": 1_000_000}}, "12k", 12000),
        ({"multipliers": {"k": 1000, "M": 1_000_000}}, "1.5 M", 1_500_000),
        ({"multipliers": {"k": 1000}}, "7", 7),
    ],
)
def test_numbers_as_people_write_them(how: dict[str, Any], text: str, value: float | None) -> None:
    assert read(number(**how), [text]) == [value]


@settings(deadline=None, max_examples=50)
@given(
    values=st.lists(st.decimals(-(10**9), 10**9, places=2), min_size=1, max_size=20),
    row_ids=st.sampled_from([",.", ".,", " ,", "'.", "_."]),
    currency=st.sampled_from(["$", "€", "CHF", "kg", "%"]),
    before=st.booleans(),
)
def test_any_number_in_any_style_is_read_back(
    values: list[Any], row_ids: str, currency: str, before: bool
) -> None:
    thousands, decimal = row_ids
    swap = str.maketrans({",": thousands, ".": decimal})
    texts = [f"{value:,}".translate(swap) for value in values]
    texts = [f"{currency} {text}" if before else text + currency for text in texts]
    how = number(thousands=thousands, decimal=decimal, affixes=[currency])
    assert read(how, texts) == [float(value) for value in values]


def test_typed_files_need_no_parsing_and_still_have_missing_values() -> None:
    assert read(number(missing_values=["-999"]), [1, -999, None]) == [1.0, None, None]
    assert read(number(), [1.5, float("nan"), float("inf")]) == [1.5, None, None]
    day = dt.datetime(2024, 5, 1, 13, 30)
    assert read(Date(type="date"), [day]) == [day.date()]
    assert read(Date(type="date", format="%Y-%m-%d %H:%M"), [day]) == [day]
    assert read(Boolean(type="boolean"), [True, None]) == [True, None]
    assert read(Category(type="category"), [7, None]) == ["7", None]


@pytest.mark.parametrize(
    ("format", "text", "value"),
    [
        (["%Y-%m-%d", "%d.%m.%Y"], "31.01.2024", dt.date(2024, 1, 31)),
        ("%m/%d/%y", "3/7/24", dt.date(2024, 3, 7)),
        ("%Y%m%d", "20240131", dt.date(2024, 1, 31)),
        ("%d %B %Y", "31 January 2024", dt.date(2024, 1, 31)),
        ("%Y-%m", "2024-02", dt.date(2024, 2, 1)),
        ("%b %Y", "Feb 2024", dt.date(2024, 2, 1)),
        ("%Y", "2024", dt.date(2024, 1, 1)),
        ("%Y-%m-%d %H", "2024-01-31 12", dt.datetime(2024, 1, 31, 12)),
        ("%m/%d/%Y %I:%M %p", "1/2/2024 3:04 PM", dt.datetime(2024, 1, 2, 15, 4)),
        ("%Y-%m-%dT%H:%M:%S%#z", "2024-01-31T12:30:00+02:00", dt.datetime(2024, 1, 31, 10, 30)),
        ("unix", "1700000000", dt.datetime(2023, 11, 14, 22, 13, 20)),
        ("unix ms", "1700000000000", dt.datetime(2023, 11, 14, 22, 13, 20)),
        ("%Y-%m-%d", "2024-02-30", None),
    ],
)
def test_dates_as_people_write_them(format: Any, text: str, value: Any) -> None:
    assert read(Date(type="date", format=format), [text]) == [value]


def test_a_date_is_calendar_and_elapsed_time_but_a_time_column_only_calendar() -> None:
    day = dt.date(2001, 1, 1)
    feature = Date(type="date").encode([day, None])
    assert [column[1] for column in feature] == [None] * 4
    assert [column[0] for column in feature[2:]] == [0, pytest.approx(1, abs=0.01)]
    time = Date(type="date", role="time", calendar=True, format="%Y-%m-%d %H:%M")
    assert time.is_feature
    assert [column[0] for column in time.encode([dt.datetime(2001, 1, 1, 6, 30)])[2:]] == [0, 6.5]
    assert not Date(type="date", role="time").is_feature


@pytest.mark.parametrize(
    ("format", "spelling", "sent"),
    [
        ("%d.%m.%Y", "31.12.9999", dt.date(9999, 12, 31)),
        (["%Y-%m-%d", "%d.%m.%Y"], "1900-01-01", dt.date(1900, 1, 1)),
        ("%d.%m.%Y %H:%M", "31.12.9999 00:00", dt.datetime(9999, 12, 31)),
    ],
)
def test_a_date_that_means_missing_is_missing_in_a_file_and_in_a_request(
    format: Any, spelling: str, sent: dt.date
) -> None:
    column = Date(type="date", format=format, missing_values=[spelling, "n/a"])
    assert read(column, [spelling]) == [None]
    assert column.encode([sent]) == column.encode([None])
    assert column.encode([dt.datetime(2024, 5, 1)]) != column.encode([None])


def test_words_of_every_script_stay_words() -> None:
    assert plain("Été, Straße") == "ete, strasse"
    assert plain("東京").split() == ["u6771", "u4eac"]
    assert plain("да нет").split() == ["u434u430", "u43du435u442"]
    assert plain("good🐦bird").split() == ["good", "u1f426", "bird"]


def test_a_text_is_its_words_and_pairs_of_words_each_once() -> None:
    ((found, missing),) = Text(type="text").encode(["Not good, not GOOD!", None])
    assert found.split() == ["not", "good", "not_good", "good_not"]
    assert missing == "_missing"
    assert Text(type="text").encode(["?!"]) == [["_wordless"]]
