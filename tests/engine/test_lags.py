"""Lags: what was known before, and nothing else."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest

from coldstart.contract._contract import Contract
from coldstart.data._lags import add_lags, has_history

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
