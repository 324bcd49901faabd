"""A shift between validation and test rows is found, and seldom where there is none."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import polars as pl
import pytest

from coldstart.config._sections import SplitSettings
from coldstart.contract import Contract
from coldstart.data._dataset import Dataset
from coldstart.data._splitting import Split, split
from coldstart.train._part_shift import part_shift

ONCE = SplitSettings(cross_validate_below=0)
REPEATS = [pytest.param(100), pytest.param(2000, marks=pytest.mark.weekly)]
CUTS: dict[str, list[float]] = {"two classes": [0.8], "three classes": [0.6, 0.9]}


def table(
    kind: str, y: np.ndarray, seed: int = 0, role: str = "", first: np.ndarray | None = None
) -> Dataset:
    """Return a split table with the given target, as a number or cut into classes."""
    columns: dict[str, Any] = {"x": {"type": "number"}}
    data: dict[str, Any] = {"x": np.zeros(len(y))}
    if role == "group":
        columns["first"] = {"type": "category", "role": "group", "nullable": False}
        data["first"] = [f"p{number}" for number in np.asarray(first)]
    elif role == "time":
        columns["first"] = {"type": "date", "role": "time", "nullable": False}
        data["first"] = [dt.date(2000, 1, 1) + dt.timedelta(days=n) for n in range(len(y))]
    columns["y"] = {"type": "number", "role": "target", "nullable": False}
    data["y"] = np.exp(y)
    if kind in CUTS:
        columns["y"]["type"] = "category"
        data["y"] = [f"c{n}" for n in np.searchsorted(np.quantile(y, CUTS[kind]), y)]
    contract = Contract.model_validate({"columns": columns})
    frame = pl.DataFrame({name: data[name] for name in columns})
    parts = split(frame, contract, ONCE, seed)
    classes = sorted(frame["y"].unique().to_list()) if contract.classifies else []
    return Dataset(contract, frame, [Split.of(part) for part in parts], classes, "")


@pytest.mark.parametrize("repeats", REPEATS)
@pytest.mark.parametrize("kind", ["a number", *CUTS])
@pytest.mark.parametrize(
    ("role", "rows"), [("", 300), ("", 1200), ("group", 1200), ("time", 300), ("time", 1200)]
)
def test_of_parts_without_a_shift_one_in_a_hundred_is_called_one_at_most(
    role: str, rows: int, kind: str, repeats: int
) -> None:
    dice, found = np.random.default_rng(0), 0
    for seed in range(repeats):
        group = dice.integers(20, size=rows)
        y = dice.normal(size=rows) + (dice.normal(size=20)[group] if role == "group" else 0)
        found += bool(part_shift(table(kind, y, seed, role, group)))
    print(f"{role or 'at random'}, {rows} rows, {kind}: {found / repeats:.3f}")
    # Of 2,000 tables 0 to 0.011 were.
    assert found <= 0.01 * repeats + 3 * np.sqrt(0.01 * repeats)


def test_a_number_that_rose_after_the_validation_rows_is_found() -> None:
    dice = np.random.default_rng(0)
    y = np.log(np.where(np.arange(1200) < 1020, 97, 184)) + 0.5 * dice.normal(size=1200)
    dataset = table("a number", y, role="time")
    means = [np.exp(y[rows]).mean() for rows in (slice(840, 1020), slice(1020, None))]
    assert part_shift(dataset) == (
        f"the mean of y is {means[0]:,.4g} on the validation rows and {means[1]:,.4g} on the test "
        "rows"
    )


@pytest.mark.parametrize("kind", CUTS)
def test_a_class_whose_share_changed_after_the_validation_rows_is_found(kind: str) -> None:
    dice = np.random.default_rng(0)
    y = dice.normal(size=1200) + 1.5 * (np.arange(1200) >= 1020)
    dataset = table(kind, y, role="time")
    parts = dataset.splits[0]
    label = {"two classes": "c1", "three classes": "c0"}[kind]
    shares = [np.mean(dataset.table["y"].to_numpy()[rows] == label)
              for rows in (parts.validation, parts.test)]  # fmt: skip
    then, now = (f"{share:.1%}" for share in shares)
    expected = f"{label!r} is {then} of the validation rows and {now} of the test rows"
    assert part_shift(dataset) == expected


def test_few_groups_that_differ_are_no_shift_and_many_rows_of_each_do_not_make_them_one() -> None:
    alarms = 0
    for seed in range(100):
        dice = np.random.default_rng(seed)
        group = np.repeat(np.arange(20), 500)
        y = 3 * dice.normal(size=20)[group] + dice.normal(size=10_000)
        alarms += bool(part_shift(table("a number", y, seed, "group", group)))
    assert alarms <= 3, alarms  # by row it would be most of them


def test_a_difference_that_is_small_is_none_in_however_many_rows() -> None:
    dice = np.random.default_rng(0)
    y = dice.normal(size=60_000) + 0.1 * (np.arange(60_000) >= 51_000)
    assert part_shift(table("a number", y, role="time")) == ""
