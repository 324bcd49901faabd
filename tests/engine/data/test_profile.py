"""What a column is, told from how its values are written."""

from __future__ import annotations

import datetime as dt
import random
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coldstart.data.profiling._column_types import profile_column
from coldstart.data.profiling._profiles import ColumnProfile
from coldstart.data.profiling._target import find_column, set_target
from coldstart.errors import UserError


def of(values: Sequence[object], name: str = "x", times: int = 1) -> ColumnProfile:
    return profile_column(name, pl.Series(name, list(values) * times, strict=False))


NUMBERS = {
    "dollars": (["$28,000", "$1,200,500", "-$300", "$17"], [28000, 1200500, -300, 17]),
    "percent": (["14.07%", "3.5%", "100%"], [14.07, 3.5, 100]),
    "thousands by letter": (["12k", "3.5M", "1.2k", "900"], [12000, 3.5e6, 1200, 900]),
    "decimal comma after blanks": (["1 234,5", "17,25", "1 000 000,0"], [1234.5, 17.25, 1e6]),
    "no-break blanks": (["1\u00a0234", "17", "22\u00a0500"], [1234, 17, 22500]),
    "dots and a comma": (["1.234,56", "12,5", "1.000.000,00"], [1234.56, 12.5, 1e6]),
    "commas and a dot": (["1,234.56", "12.5", "1,000,000.00"], [1234.56, 12.5, 1e6]),
    "dots between thousands": (
        ["1.234", "12.500", "950", "7", "81.000", "330", "2.250", "42", "9.999", "512"],
        [1234, 12500, 950, 7, 81000, 330, 2250, 42, 9999, 512],
    ),
    "decimal commas beside dots between thousands": (["12,5", "1.234", "0,75"], [12.5, 1234, 0.75]),
    "apostrophes": (["1'234", "12'345'678", "5"], [1234, 12345678, 5]),
    "parentheses": (["(1,234)", "500", "(7)"], [-1234, 500, -7]),
    "a unit": (["5 kg", "12.5 kg", "7 kg"], [5, 12.5, 7]),
    "units of two sizes": (["5 kg", "500 g", "1.5 kg"], [5000, 500, 1500]),
    "money in millions": (["€110.5M", "€500K", "€0"], [110.5e6, 5e5, 0]),
    "a plus behind": (["10,000+", "500+", "1,000,000+"], [10000, 500, 1e6]),
    "signs and exponents": (["1e-3", "+3", "-2.5E2", ".5"], [0.001, 3, -250, 0.5]),
}


@pytest.mark.parametrize("case", NUMBERS)
def test_numbers_are_understood_however_they_are_written(case: str) -> None:
    written, meant = NUMBERS[case]
    seen = of(written)
    assert seen.type == "number"
    assert seen.values.to_list() == pytest.approx(meant)


STYLES = st.sampled_from(
    [("{:,.2f}", ",", "."), ("{:,.2f}", ".", ","), ("{:,.2f}", " ", ","), ("{:,.2f}", "'", ".")]
)


@settings(max_examples=60, deadline=None)
@given(
    numbers=st.lists(
        st.integers(-(10**9), 10**9).map(lambda n: n / 100), min_size=30, max_size=60, unique=True
    ),
    style=STYLES,
    before=st.sampled_from(["", "$", "€ "]),
    after=st.sampled_from(["", "%", " kg"]),
)
def test_numbers_in_any_style_are_read_as_they_were_meant(
    numbers: list[float], style: tuple[str, str, str], before: str, after: str
) -> None:
    numbers = [*numbers, 1234567.25, 0.5]  # both marks are in use
    form, thousands, decimal = style
    swap = str.maketrans({",": thousands, ".": decimal})
    written = [f"{before}{form.format(number).translate(swap)}{after}" for number in numbers]
    seen = of(list(written))
    assert seen.type == "number"
    assert seen.values.to_list() == pytest.approx(numbers)


@pytest.mark.parametrize(
    "spelling", ["NA", "n/a", "NULL", "nil", "none", "NaN", ".", "-", "--", "?", "#N/A", "unknown"]
)
def test_a_spelling_of_missing_between_numbers_is_missing(spelling: str) -> None:
    seen = of([*map(str, range(20)), f" {spelling} ", "  "])
    assert seen.type == "number"
    assert seen.values.null_count() == 2
    assert seen.settings["missing_values"] == [spelling]


def test_a_word_that_may_be_a_label_stays_one() -> None:
    codes = ["DE", "FR", "GB", "ES", "IT", "PL", "SE", "CH", "AT", "NL", "NA"]
    assert "missing_values" not in of(codes, "country", 5).settings
    assert "NA" in of(codes, "country", 5).settings["categories"]
    assert of(["None", "Some"], "effect", 20).settings["categories"] == ["None", "Some"]
    states = ["CA", "TX", "NY", "WA", "FL", "OH", "IL", "GA", "NC", "MI", "NA"]
    assert of(states, "state", 5).settings["missing_values"] == ["NA"]
    assert of(["red", "blue", "?"], "colour", 20).settings["missing_values"] == ["?"]
    assert of(["red", "blue", "n.d."], "colour", 20).settings["missing_values"] == ["n.d."]


@pytest.mark.parametrize("sentinel", [-999, 99999999, 9999, -1])
def test_a_number_that_stands_for_missing_is_found(sentinel: int) -> None:
    rng = random.Random(0)
    values = [str(rng.randint(18, 80)) for _ in range(200)] + [str(sentinel)] * 6
    seen = of(list(values), "age")
    assert seen.settings["missing_values"] == [str(sentinel)]
    assert "far outside" in " ".join(seen.notes)


def test_a_large_number_that_fits_the_others_stays() -> None:
    rng = random.Random(0)
    income = [str(round(rng.lognormvariate(10, 1))) for _ in range(300)]
    assert "missing_values" not in of(list(income), "income").settings
    assert "missing_values" not in of([str(i % 100) for i in range(400)], "score").settings


def test_a_stray_cell_is_missing_and_many_make_labels() -> None:
    few = of([*map(str, range(100)), "see notes"])
    assert few.type == "number"
    assert few.settings["missing_values"] == ["see notes"]
    many = of([str(i) if i % 2 else f"grade {i % 9}" for i in range(100)])
    assert many.type == "category"


def test_a_word_among_dates_is_missing_and_many_make_labels() -> None:
    days = [f"2024-{i % 12 + 1:02}-{i % 28 + 1:02}" for i in range(90)]
    some = of([*days, *["to be agreed"] * 10], "when")
    assert some.type == "date"
    assert some.settings["missing_values"] == ["to be agreed"]
    many = of([*days, *[f"week {i}" for i in range(60)]], "when")
    assert many.type == "category"


def test_booleans_in_any_mix_of_spellings() -> None:
    seen = of(["YES", "y", "1", "T", "true", "no", "N", "0", "F", "n/a"], times=20)
    assert seen.settings["true_values"] == ["1", "T", "YES", "true", "y"]
    assert seen.settings["false_values"] == ["0", "F", "N", "no"]
    assert seen.settings["missing_values"] == ["n/a"]


DATES = {
    "%Y-%m-%d": ["2024-01-31", "2023-12-01"],
    "%d/%m/%Y": ["31/01/2024", "01/12/2023"],
    "%m/%d/%Y": ["01/31/2024", "12/01/2023"],
    "%d.%m.%y": ["31.01.24", "01.12.23"],
    "%Y%m%d": ["20240131", "20231201"],
    "%Y-%m-%dT%H:%M:%SZ": ["2024-01-31T10:00:00Z", "2023-12-01T00:30:00Z"],
    "%Y-%m-%dT%H:%M:%S%z": ["2024-01-31T10:00:00+02:00", "2023-12-01T00:30:00+01:00"],
    "%m/%d/%Y %I:%M %p": ["01/31/2024 10:05 AM", "12/01/2023 01:15 PM"],
    "%d-%b-%Y": ["31-Jan-2024", "01-Dec-2023"],
    "%d-%b-%y %Hh%M": ["31-Jan-24 12h48", "01-Dec-23 9h05"],
    "%B %d, %Y": ["January 31, 2024", "December 1, 2023"],
    "%Y-%m": ["2024-01", "2023-12"],
    "quarter": ["2024 Q1", "Q4-2023"],
}


@pytest.mark.parametrize("format", DATES)
def test_dates_are_understood(format: str) -> None:
    seen = of(list(DATES[format]), "when", 10)
    assert seen.settings["format"] == format
    days = {dt.date(2024, 1, 31), dt.date(2023, 12, 1)}
    if format == "%Y-%m":
        days = {dt.date(2024, 1, 1), dt.date(2023, 12, 1)}
    if format == "quarter":
        days = {dt.date(2024, 1, 1), dt.date(2023, 10, 1)}
    if format.endswith("%z"):
        days = {dt.date(2024, 1, 31), dt.date(2023, 11, 30)}
    assert set(seen.values.cast(pl.Date).to_list()) == days


def test_dates_in_several_formats_are_all_read() -> None:
    seen = of(["2024-01-31", "31.12.2023", "Mar 5, 2022", "14/02/2021"], "when", 10)
    assert len(seen.settings["format"]) == 4
    assert seen.values.null_count() == 0


def test_a_guessed_order_of_day_and_month_is_a_close_decision() -> None:
    seen = of(["01/02/2024", "03/04/2024", "05/06/2024"], "when", 10)
    assert seen.type == "date"
    assert seen.choice
    assert "guess" in seen.choice.why
    assert {seen.settings["format"], seen.choice.other["format"]} == {"%d/%m/%Y", "%m/%d/%Y"}
    for decided in (["01/02/2024", "31/04/2024"], ["05/05/2024", "06/06/2024"]):
        assert not of(decided, "when", 10).choice


def test_a_year_of_two_digits_that_is_in_the_future_is_to_be_checked() -> None:
    seen = of(["31/12/49", "14/02/71", "02/03/85"], "birthday", 10)
    assert seen.values.dt.year().to_list()[:3] == [2049, 1971, 1985]
    assert "'31/12/49' is read as 2049, which is in the future" in " ".join(seen.warnings)
    assert not of(["31/12/19", "14/02/71"], "birthday", 10).warnings
    assert not of(["31/12/2049", "14/02/1971"], "birthday", 10).warnings


def test_unix_time_is_a_date_where_the_name_says_so() -> None:
    assert of(["1700000000", "1700003600"], "created_at", 10).settings["format"] == "unix"
    assert of(["1700000000123", "1700003600456"], "timestamp", 9).settings["format"] == "unix ms"
    assert of(["1700000000", "1700003600"], "salary", 10).type == "number"


def test_codes_are_not_numbers() -> None:
    assert of(["01234", "98765", "00501"], "x", 20).type == "category"
    assert of(["12345", "98765", "10501"], "zip_code", 20).type == "category"
    assert of(["A-1", "B-2", "C-3"], "x", 20).type == "category"
    assert of(["1", "2", "3"], "rooms", 20).type == "number"


def test_free_text_is_distinguished_from_categories() -> None:
    rng = random.Random(0)
    lexicon = [
        "the",
        "bird",
        "flew",
        "into",
        "engine",
        "two",
        "and",
        "we",
        "turned",
        "back",
        "to",
        "land",
        "at",
        "once",
    ]
    prose = [" ".join(rng.choices(lexicon, k=9)) for _ in range(60)]
    assert of(list(prose)).type == "text"
    assert of([*prose, *["\\N"] * 600]).type == "text"  # however many are missing
    assert (
        of(["Some college, no degree", "High school graduate or less"], times=40).type == "category"
    )


def test_columns_that_say_nothing_are_left_out() -> None:
    for values in ([None] * 30, ["same"] * 30, [""] * 30):
        assert of(list(values)).role == "ignore"
    assert of(["yes", None] * 30).role == "feature"  # whether it is filled in may tell


def test_typed_columns_keep_their_types() -> None:
    assert of([1.5, 2.5, None]).type == "number"
    assert of([True, False]).type == "boolean"
    assert of([dt.date(2024, 1, 1), dt.date(2024, 5, 1)]).type == "date"
    seen = profile_column("x", pl.Series([1.0, float("nan"), 3.0] * 10))
    assert seen.values.null_count() == 10


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["yes", "no"], "boolean"),
        (["benign", "malignant"], "category"),
        (["bad", "good"], "boolean"),  # as a category, "good" would be the positive one
        (["1", "2"], "boolean"),
        (["0", "1", "2"], "category"),
        (["1.0", "2.0", "4.0"], "category"),
        (["1,0", "2,0", "4,0"], "category"),
        ([1.0, 2.0, None], "boolean"),
        (["1", "2.0", "1.0", "2"], "boolean"),
        (["1", "1.0", "2", "3"], "number"),  # 1 and 1.0 would be two classes
        (["0", "10", "20", "30", "40", "50"], "category"),
        (["0", "1", "2", "3", "4", "5"], "number"),  # in a row: a count
        (list(range(0, 110, 10)), "number"),
        ([str(i / 7) for i in range(30)], "number"),
        (["0.5", "1.5", "2.5"], "number"),
    ],
)
def test_the_target_is_a_class_or_a_number(values: Sequence[object], kind: str) -> None:
    seen = of(list(values), "result", 10)
    set_target(seen)
    assert seen.type == kind
    assert seen.values.null_count() == values.count(None) * 10


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("children", [0, 1, 2, 3] * 20, "category"),
        ("num_children", [0, 1, 2, 3] * 20, "number"),
        ("rating", [1, 2, 3, 4, 5] * 20, "number"),
        ("grade", [1, 2, 3, 4, 5, 6] * 20, "category"),
        ("label", list(range(10)) * 20, "category"),
        ("label", list(range(60)) * 20, "number"),
        ("x", [1, 2, 3, 4] * 3, "number"),  # three rows for each
    ],
)
def test_names_and_rows_say_whether_whole_numbers_are_classes(
    name: str, values: list[int], kind: str
) -> None:
    seen = of(values, name)
    set_target(seen)
    assert seen.type == kind


@pytest.mark.parametrize(
    ("rare", "rows", "proposed"),
    [("0", 3, True), ("9", 1, True), ("0", 60, False), ("1.5", 3, False)],
)
def test_a_rare_code_is_proposed_as_missing(rare: str, rows: int, proposed: bool) -> None:
    seen = of(["1"] * 400 + ["2"] * 200 + [rare] * rows, "status")
    set_target(seen)
    told = " ".join(seen.warnings)
    assert (f"{rare} is in {rows} of {600 + rows} rows" in told) == proposed
    assert ("missing_values" in told) == proposed


def test_the_positive_class_is_named() -> None:
    seen = of(["Stayed"] * 70 + ["Churned"] * 30, "status")
    set_target(seen)
    assert seen.settings["true_values"] == ["Churned"]
    assert "positive" in " ".join(seen.notes)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ([None] * 30, "empty"),
        (["same"] * 30, "nothing to predict"),
        ([f"text {chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(60)], "different texts"),
        ([f"2024-01-{i:02}" for i in range(1, 31)], "is a date"),
    ],
)
def test_a_hopeless_target_is_refused(values: Sequence[object], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        set_target(of(list(values), "target"))


def test_a_target_that_is_not_there_is_refused_with_the_nearest_names() -> None:
    assert find_column("Sale Price", ["id", "sale_price"]) == "sale_price"
    with pytest.raises(UserError, match="did you mean price"):
        find_column("prise", ["price", "rooms"])
    with pytest.raises(UserError, match=re.escape("did you mean Asking price (EUR)?")):
        find_column("price", ["rooms", "Asking price (EUR)", "pieces"])


@pytest.mark.parametrize(
    ("position", "column"), [("0", "column 1"), ("2", "column 3"), ("-1", "column 3")]
)
def test_a_target_may_be_a_position(position: str, column: str) -> None:
    names = ["column 1", "column 2", "column 3"]
    assert find_column(position, names) == column
    assert find_column("1", ["0", "1"][::-1]) == "1"  # a name goes first
    with pytest.raises(UserError, match="positions go from 0 to 2"):
        find_column("3", names)


PEAK = """
import resource, sys
from pathlib import Path
from coldstart.data.profiling import _profiling
from coldstart.data.reading._read import scan
_profiling.DETAIL = 2_000
found = _profiling.profile_table(scan(Path(sys.argv[1])), "y")
print(found.rows, *(found.profiles[name].type for name in "ab"))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is in another unit")
def test_memory_for_a_table_does_not_grow_with_its_rows(tmp_path: Path) -> None:
    million = 1_000_000
    rows = pa.table({
        "a": [float(i % 5) for i in range(million)],
        "b": [str(i % 7) for i in range(million)],
        "y": [i % 3 == 0 for i in range(million)],
    })  # fmt: skip
    file = tmp_path / "bomb.parquet"
    with pq.ParquetWriter(file, rows.schema) as writer:
        for _ in range(20):
            writer.write_table(rows)
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(file)], capture_output=True, text=True, check=False
    )
    assert not done.returncode, done.stderr
    found, kilobytes = done.stdout.splitlines()
    assert found == "20000000 number number"
    assert int(kilobytes) < 2_000_000  # 0.5 GB on an idle computer; whole columns took 6.4
