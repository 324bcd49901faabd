"""A shift between validation and test rows is found, and seldom where there is none."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from coldstart.config._sections import SplitSettings
from coldstart.contract import Contract
from coldstart.data._dataset import Dataset
from coldstart.data._splitting import Split, split
from coldstart.train._part_shift import chance, part_shift

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


@pytest.mark.parametrize(("first", "second"), [(0.0, 0.3), (0.3, 0.0)])
def test_the_chance_of_a_difference_is_that_of_welchs_test_by_row_or_by_group(
    first: float, second: float
) -> None:
    dice = np.random.default_rng(0)
    one, other = first + dice.normal(size=60), second + 2 * dice.normal(size=40)
    expected = stats.ttest_ind(one, other, equal_var=False).pvalue
    assert chance(one, other, [None, None]) == pytest.approx(expected)
    # With as many rows in each group, the test is that of the groups' means.
    groups = [np.arange(60) // 5, 7 + 3 * (np.arange(40) % 8)]
    means = [one.reshape(12, 5).mean(axis=1), other.reshape(5, 8).mean(axis=0)]
    expected = stats.ttest_ind(*means, equal_var=False).pvalue
    assert chance(one, other, groups) == pytest.approx(expected)


def test_two_units_are_needed_to_tell_a_difference_and_without_variance_each_is_one() -> None:
    one, other = np.arange(4.0), np.arange(4.0) + 100
    alone, two = np.zeros(4, int), np.arange(4) // 2
    assert chance(one, other, [alone, None]) == chance(one, other, [None, alone]) == 1
    assert chance(one, other, [two, two]) < 0.001
    flat = np.ones(4)
    assert chance(flat, flat, [None, None]) == 1
    assert chance(flat, 2 * flat, [None, None]) == 0


def parts_of(first: list[Any], second: list[Any], kind: str = "category", each: int = 1) -> Dataset:
    """Return a table with these targets of the validation and test rows, so many of each group."""
    columns = {
        "first": {"type": "category", "role": "group", "nullable": False},
        "x": {"type": "number"},
        "y": {"type": kind, "role": "target", "nullable": False},
    }
    contract = Contract.model_validate({"columns": columns})
    y = [*first, *second]
    group = [f"p{row // each}" for row in range(len(y))]
    frame = pl.DataFrame({"first": group, "x": np.zeros(len(y)), "y": y})
    rows, none = np.arange(len(y)), np.array([], int)
    parts = Split(none, rows[: len(first)], rows[len(first) :], none)
    return Dataset(contract, frame, [parts], sorted(set(y)) if kind == "category" else [], "")


def classes(*counts: int) -> list[str]:
    return [f"c{number}" for number, count in enumerate(counts) for _ in range(count)]


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ((85, 85), (59, 111), "'c1' is 50.0% of the validation rows and 65.3% of the test rows"),
        ((59, 111), (85, 85), "'c1' is 65.3% of the validation rows and 50.0% of the test rows"),
        ((500, 500), (360, 640), ""),  # Cohen's h of 0.28, however many rows
        ((50, 50), (34, 66), ""),  # of 0.33, and a p-value of 0.02
        # Of three classes, one in three hundred is too likely: 0.005, and 0.001.
        ((75, 75, 1), (51, 99, 1), ""),
        ((110, 110, 1), (75, 145, 1), "'c0' is 49.8% of the validation rows and 33.9% of the test"),
        # The class whose share changed most is told, wherever it stands.
        ((100, 100, 100), (40, 110, 150), "'c0' is 33.3% of the validation rows and 13.3% of"),
    ],
)
def test_a_class_has_shifted_if_its_share_changed_much_and_hardly_by_chance(
    first: tuple[int, ...], second: tuple[int, ...], told: str
) -> None:
    found = part_shift(parts_of(classes(*first), classes(*second)))
    assert found.startswith(told)
    assert bool(found) == bool(told)


def test_of_a_class_that_one_group_alone_has_another_that_shifted_is_told() -> None:
    first = (["c1"] * 5 + ["c2"] * 5) * 20
    second = ["c0"] * 10 + (["c1"] * 3 + ["c2"] * 7) * 19  # of c0 Cohen's h is the largest
    found = part_shift(parts_of(first, second, each=10))
    assert found == "'c1' is 50.0% of the validation rows and 28.5% of the test rows"


@pytest.mark.parametrize(
    ("rows", "moved", "shifted"), [(400, 0.3, False), (400, 0.7, True), (40, 0.5, False)]
)
def test_a_number_has_shifted_if_its_ranks_differ_much_and_hardly_by_chance(
    rows: int, moved: float, shifted: bool
) -> None:
    spread = stats.norm.ppf((np.arange(rows) + 0.5) / rows)
    for sign in (1, -1):  # of other sizes, too, since the ranks are of both parts together
        dataset = parts_of([*spread], [*(spread[::2] + sign * moved)], "number")
        assert bool(part_shift(dataset)) is shifted


def test_several_splits_are_not_compared() -> None:
    dataset = parts_of(classes(85, 85), classes(59, 111))
    several = [*dataset.splits, *dataset.splits]
    assert part_shift(dataset)
    assert part_shift(Dataset(dataset.contract, dataset.table, several, dataset.classes, "")) == ""
