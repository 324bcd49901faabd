"""Lags: what was known before, and nothing else."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from coldstart.contract._contract import Contract
from coldstart.data._dataset import prepare
from coldstart.data._lags import add_lags, has_history
from coldstart.errors import UserError
from engine.support import load_settings

SALES = {
    "day": {"type": "date", "role": "time"},
    "shop": {"type": "category", "role": "series"},
    "sold": {"type": "number", "role": "target"},
    "sold before": {"type": "number", "lag_of": "sold", "steps": 2},
}


def contract(**changes: Any) -> Contract:
    return Contract.model_validate({"columns": SALES | changes})


def rows(*days: int, shop: str) -> pl.DataFrame:
    dates = [dt.date(2024, 1, day) for day in days]
    return pl.DataFrame({"day": dates, "shop": shop, "sold": [float(day) for day in days]})


def test_a_lag_is_the_value_so_many_steps_before_within_its_series() -> None:
    table = pl.concat([rows(3, 1, 4, 2, shop="a"), rows(11, 13, 12, shop="b")])
    table = add_lags(table, contract())
    assert table["sold before"].to_list() == [1, None, 2, None, None, 11, None]
    assert has_history(table, contract()).to_list() == [
        True,
        False,
        True,
        False,
        False,
        True,
        False,
    ]


def test_a_lag_that_is_given_is_taken_as_it_is() -> None:
    given = rows(1, 2, shop="a").with_columns(pl.lit(5.0).alias("sold before"))
    assert add_lags(given, contract()).equals(given)


def test_no_later_value_changes_a_lag() -> None:
    table = rows(*range(1, 21), shop="a")
    changed = table.with_columns(sold=pl.when(pl.col("sold") > 10).then(99.0).otherwise("sold"))
    before, after = (add_lags(rows, contract())["sold before"] for rows in (table, changed))
    assert before[:12].equals(after[:12])
    assert not before.equals(after)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"sold before": {"type": "number", "lag_of": "shop"}}, "there is no number 'shop'"),
        ({"day": {"type": "date"}}, "a lag needs a column with the role time"),
    ],
)
def test_a_lag_of_nothing_is_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        contract(**changes)


@pytest.mark.parametrize("training_rows", [100, 1000])
@pytest.mark.parametrize("unknown", [1, 10], ids=["known", "a tenth unknown"])
def test_lags_in_training_are_those_of_the_whole_series(
    small_project: Callable[..., Path], training_rows: int, unknown: int
) -> None:
    lines = [
        f"{dt.date(2020, 1, 1) + dt.timedelta(days=day)},{shop},"
        f"{'' if unknown > 1 and day % unknown == 7 else 1000 * number + day}"
        for day in range(120)
        for number, shop in enumerate("ab")
    ]
    columns = SALES | {"day": {"type": "date", "role": "time", "nullable": False}}
    small_project(columns=columns, table="\n".join(["day,shop,sold", *lines]) + "\n")
    table = prepare(load_settings(training_rows=training_rows)).table
    expected = pl.col("sold") - 2
    if unknown > 1:
        expected = pl.when((pl.col("sold") - 2) % 1000 % unknown != 7).then(expected)
    assert table["sold before"].equals(table.select(expected).to_series(), null_equal=True)
    assert table["sold"].null_count() == 0
    assert table["sold"].min() == 2
    assert len(table) == min(training_rows, 236 if unknown == 1 else 212)


def test_a_row_without_a_time_has_no_lags() -> None:
    table = rows(1, 2, shop="a").with_columns(day=pl.lit(None, pl.Date))
    with pytest.raises(UserError, match=r"day: 2 row\(s\) have no value"):
        add_lags(table, contract())
