"""The split: every row once, no look-ahead, no group on two sides.

One test counts the demo's own rows.
"""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coldstart.config._sections import SplitSettings
from coldstart.contract._contract import Contract
from coldstart.data._rows import ROW_HASH
from coldstart.data._splitting import PARTS, group_numbers, rolling, split_units
from coldstart.data._splitting import split as splits
from coldstart.errors import UserError

FIRST = dt.date(2020, 1, 1)


def contract(**columns: Any) -> Contract:
    """Return a contract with a feature, a target, and the given columns."""
    common = {"x": {"type": "number"}, "y": {"type": "boolean", "role": "target"}}
    return Contract.model_validate({"columns": common | columns})


PLAIN = contract()
TIMED = contract(day={"type": "date", "role": "time", "nullable": False})
GROUPED = contract(owner={"type": "category", "role": "group"})


def table(n: int, **columns: Any) -> pl.DataFrame:
    """Return n rows, of which every other is positive."""
    return pl.DataFrame(dict(x=range(n), y=[i % 2 == 0 for i in range(n)], **columns))


def days(*numbers: int) -> list[dt.date]:
    return [FIRST + dt.timedelta(days=number) for number in numbers]


ONCE = {"cross_validate_below": 0}  # whatever the number of rows


def split(rows: pl.DataFrame, agreed: Contract, choice: SplitSettings, seed: int) -> pl.Series:
    """Name the part of each row in the only split."""
    (part,) = splits(rows, agreed, choice.model_copy(update=ONCE), seed)
    return pl.Series([PARTS[number] for number in part])


def assert_no_look_ahead(time: pl.Series, part: pl.Series) -> None:
    """Each part begins after the day that the one before it ended on."""
    spans = [time.filter(part == name) for name in PARTS]
    spans = [span for span in spans if len(span)]
    for earlier, later in itertools.pairwise(spans):
        assert earlier.max() < later.min()  # type: ignore[operator]


def test_dates_split_a_shuffled_table_without_look_ahead() -> None:
    rows = table(100, day=days(*(i * 37 % 100 for i in range(100))))
    dates = [FIRST + dt.timedelta(days=number) for number in (60, 75, 90)]
    choice = SplitSettings(train_until=dates[0], validate_until=dates[1], test_until=dates[2])
    part = split(rows, TIMED, choice, seed=0)
    assert [(part == name).sum() for name in PARTS] == [60, 15, 15, 10]
    assert_no_look_ahead(rows["day"], part)
    assert rows["day"].filter(part == "validation").min() == dates[0]  # a date begins the next part


def times(seconds: int, rows: int) -> pl.Series:
    """Return moments that follow each other in steps of so many seconds."""
    start = dt.datetime(2020, 1, 1)
    return pl.Series([start + dt.timedelta(seconds=seconds * row) for row in range(rows)])


@pytest.mark.parametrize("seconds", [1, 60, 900, 2400], ids=lambda one: f"{one} s")
def test_times_of_one_to_three_days_are_split_between_moments(seconds: int) -> None:
    rows = table(100, day=times(seconds, 100))
    agreed = contract(day={"type": "date", "format": "%c", "role": "time", "nullable": False})
    part = split(rows, agreed, SplitSettings(), seed=0)
    assert [(part == name).sum() for name in PARTS] == [70, 15, 15, 0]
    assert_no_look_ahead(rows["day"], part)


def test_a_split_may_be_set_at_times_of_day() -> None:
    rows = table(100, day=times(900, 100))
    agreed = contract(day={"type": "date", "format": "%c", "role": "time", "nullable": False})
    choice = SplitSettings.model_validate(
        {"train_until": "2020-01-01 12:00", "validate_until": "2020-01-01 18:00",
         "test_until": "2020-01-02"}
    )  # fmt: skip
    part = split(rows, agreed, choice, seed=0)
    assert [(part == name).sum() for name in PARTS] == [48, 24, 24, 4]


def test_fractions_split_by_time_too() -> None:
    rows = table(100, day=days(*(i * 37 % 100 for i in range(100))))
    part = split(rows, TIMED, SplitSettings(train=0.6, validation=0.2), seed=0)
    assert [(part == name).sum() for name in PARTS] == [60, 20, 20, 0]
    assert_no_look_ahead(rows["day"], part)


@settings(deadline=None, max_examples=100)
@given(
    numbers=st.lists(st.integers(0, 30), min_size=10, max_size=60),
    train=st.floats(0.1, 0.8),
    validation=st.floats(0.1, 0.19),
)
def test_every_row_is_in_one_part_and_none_looks_ahead(
    numbers: list[int], train: float, validation: float
) -> None:
    """Whatever the days, ties among them, and the fractions; or the split is refused."""
    rows = table(len(numbers), day=days(*numbers))
    try:
        part = split(rows, TIMED, SplitSettings(train=train, validation=validation), seed=0)
    except UserError:
        return
    assert len(part) == len(rows)
    assert set(part) - set(PARTS) == set()
    assert set(PARTS[:3]) - set(part) == set()
    assert_no_look_ahead(rows["day"], part)


def test_no_group_is_on_two_sides() -> None:
    rows = table(300, owner=[f"owner {i // 2 % 40}" for i in range(300)])
    part = split(rows, GROUPED, SplitSettings(), seed=0)
    sides = rows.with_columns(part=part).group_by("owner").agg(pl.col("part").n_unique())
    assert sides["part"].to_list() == [1] * 40
    assert set(part) == set(PARTS[:3])


@pytest.mark.parametrize("count", [300, 3000])
def test_a_group_with_a_class_that_no_other_has_stays_whole(count: int) -> None:
    """Its class has to be trained on, and all of its other rows with it."""
    rows = table(count, owner=[f"owner {i % 40}" for i in range(count)])
    kinds = [f"rare {i}" if i < 5 else "ab"[i // 40 % 2] for i in range(count)]
    rows = rows.with_columns(y=pl.Series(kinds))
    columns = {"owner": {"type": "category", "role": "group"}, "y": {"type": "category"}}
    columns["y"]["role"] = "target"
    for part in splits(rows, contract(**columns), SplitSettings(), seed=0):
        sides = rows.with_columns(part=part).group_by("owner").agg(pl.col("part").n_unique())
        assert sides["part"].to_list() == [1] * 40


def test_a_random_split_keeps_the_shares_of_the_classes() -> None:
    rows = table(1000).with_columns(y=pl.int_range(1000) % 10 == 0)
    part = split(rows, PLAIN, SplitSettings(), seed=0)
    counts = [(part == name).sum() for name in PARTS]
    assert counts == pytest.approx([700, 150, 150, 0], abs=1)
    for name in PARTS[:3]:
        assert rows["y"].filter(part == name).mean() == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("grouped", [False, True])
def test_the_seed_alone_decides_a_random_split(grouped: bool) -> None:
    rows = table(200, **{"owner": [f"owner {i % 50}" for i in range(200)]} if grouped else {})
    agreed = GROUPED if grouped else PLAIN
    first, again, other = (split(rows, agreed, SplitSettings(), seed) for seed in (1, 1, 2))
    assert first.equals(again)
    assert not first.equals(other)


@pytest.mark.parametrize(
    ("dates", "complaint"),
    [
        ((0, 10, 20), "no row is in the train part"),
        ((10, 200, 300), "no row is in the test part"),
        ((20, 10, 30), "must follow each other; see split in config.yaml"),
        ((10, 10, 30), "must follow each other; see split in config.yaml"),
    ],
)
def test_dates_that_leave_a_part_empty_are_refused(
    dates: tuple[int, int, int], complaint: str
) -> None:
    train, validate, test = days(*dates)
    choice = SplitSettings(train_until=train, validate_until=validate, test_until=test)
    with pytest.raises(UserError, match=complaint):
        split(table(50, day=days(*range(50))), TIMED, choice, seed=0)


@pytest.mark.parametrize("part", PARTS[:3])
def test_a_part_with_one_class_alone_is_refused_by_name(part: str) -> None:
    begin = {"train": 0, "validation": 60, "test": 80}[part]
    end = {"train": 60, "validation": 80, "test": 100}[part]
    rows = table(100, day=days(*range(100)))
    rows = rows.with_columns(y=pl.col("y") & ~pl.int_range(100).is_between(begin, end - 1))
    with pytest.raises(UserError, match=f"in the {part} part; see split in config.yaml"):
        split(rows, TIMED, SplitSettings(train=0.6, validation=0.2), seed=0)


def test_a_class_that_comes_up_later_is_not_tested() -> None:
    day = {"type": "date", "role": "time", "nullable": False}
    agreed = contract(y={"type": "category", "role": "target"}, day=day)
    rows = table(100, day=days(*range(100))).with_columns(
        y=pl.when(pl.int_range(100) == 99).then(pl.lit("new")).otherwise(pl.col("y").cast(str))
    )
    part = split(rows, agreed, SplitSettings(), seed=0)
    assert part.to_list() == ["train"] * 70 + ["validation"] * 15 + ["test"] * 14 + ["out_of_time"]


MANY = contract(y={"type": "category", "role": "target"})


@settings(deadline=None, max_examples=50)
@given(
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=8),
    below=st.sampled_from([0, 1000]),
    copies=st.integers(1, 3),
)
def test_classes_of_any_size_are_trained_on_wherever_they_are_tested(
    sizes: list[int], below: int, copies: int
) -> None:
    """Singletons included, and with every row several times: copies stay together."""
    labels = [name for name, size in enumerate([75, 75, *sizes]) for _ in range(size)]
    rows = pl.DataFrame({"x": range(len(labels)), "y": [f"class {name}" for name in labels]})
    rows = pl.concat([rows] * copies).with_columns(pl.col("x").alias(ROW_HASH))
    for part in splits(rows, MANY, SplitSettings(cross_validate_below=below), seed=0):
        told = rows.with_columns(part=part)
        assert set(told.filter(part=0)["y"]) == set(rows["y"])
        assert told.group_by("x").agg(pl.col("part").n_unique())["part"].max() == 1
        assert set(part) == {0, 1, 2}


def test_few_rows_are_each_tested_once_a_repetition() -> None:
    parts = splits(table(60), PLAIN, SplitSettings(), seed=0)
    assert len(parts) == 15
    for i in range(0, 15, 5):
        tested = sum((part == PARTS.index("test")).astype(int) for part in parts[i : i + 5])
        assert list(tested) == [1] * 60
    for part in parts:
        assert [(part == number).sum() for number in range(4)] == pytest.approx([36, 12, 12, 0])


def test_few_rows_keep_the_shares_of_the_classes_in_each_part() -> None:
    rows = table(60).with_columns(y=pl.int_range(60) % 6 == 0)
    for part in splits(rows, PLAIN, SplitSettings(), seed=0):
        positive = [int(rows["y"].filter(part == number).sum()) for number in range(3)]
        assert positive == [6, 2, 2]


def test_few_rows_of_the_rarer_class_are_split_several_times() -> None:
    rows = table(3000).with_columns(y=pl.int_range(3000) % 30 == 0)
    assert len(splits(rows, PLAIN, SplitSettings(), seed=0)) == 5
    assert len(splits(table(3000), PLAIN, SplitSettings(), seed=0)) == 1


@pytest.mark.parametrize(
    ("columns", "rows", "below", "found"),
    [
        *[(300, 60, 1000, 15), (301, 60, 1000, 5), (1, 60, 61, 15)],
        *[(1, 333, 1000, 15), (1, 334, 1000, 10), (1, 500, 1000, 10), (1, 501, 1000, 5)],
        (1, 2000, 5000, 5),
    ],
)
def test_few_rows_are_split_three_times_over_if_rows_and_columns_are_few(
    columns: int, rows: int, below: int, found: int
) -> None:
    features = {f"x{number}": {"type": "number"} for number in range(columns - 1)}
    rare = table(rows).with_columns(y=pl.int_range(rows) % 6 == 0)
    choice = SplitSettings(cross_validate_below=below)
    assert len(splits(rare, contract(**features), choice, seed=0)) == found


def test_few_rows_in_time_are_split_several_times_without_look_ahead() -> None:
    rows = table(60, day=days(*(i * 37 % 60 for i in range(60))))
    parts = splits(rows, TIMED, SplitSettings(), seed=0)
    assert len(parts) == 5
    for part in parts:
        assert_no_look_ahead(rows["day"], pl.Series([PARTS[number] for number in part]))
    ends = [rows["day"].filter(part == PARTS.index("test")).max() for part in parts]
    assert ends == sorted(set(ends), key=str)


def test_a_table_of_few_possible_rows_is_no_table_of_copies() -> None:
    rows = table(2000).with_columns(x=pl.int_range(2000) % 3)
    rows = rows.with_columns(pl.struct("x", "y").hash().alias(ROW_HASH))
    (part,) = splits(rows, PLAIN, SplitSettings(), seed=0, coincidence=1 / 6)
    counts = [(part == number).sum() for number in range(4)]
    assert counts == pytest.approx([1400, 300, 300, 0], abs=1)


def test_copies_stay_together_where_coincidence_does_not_explain_them() -> None:
    rows = table(2000).with_columns(x=pl.int_range(2000) % 3)
    rows = rows.with_columns((pl.int_range(2000) // 2).alias(ROW_HASH))
    (part,) = splits(rows, PLAIN, SplitSettings(), seed=0, coincidence=1e-6)
    sides = rows.with_columns(part=part).group_by(ROW_HASH).agg(pl.col("part").n_unique())
    assert sides["part"].max() == 1


@pytest.mark.parametrize(
    ("hashes", "coincidence", "together"),
    [
        # In 10 pairs each row of one equals another: 20, where chance allows 20, or 16.
        ([*range(10), *range(190)], 5e-6, False),
        ([*range(10), *range(190)], 4e-6, True),
        # 50, as many as chance allows, and one pair more.
        ([0] * 6 + [1] * 5 + [*range(2, 7)], 2**-9, False),
        ([0] * 6 + [1] * 5 + [2] * 2 + [*range(3, 6)], 2**-9, True),
    ],
)
def test_rows_are_copies_if_a_hundred_times_as_many_are_equal_as_by_chance(
    hashes: list[int], coincidence: float, together: bool
) -> None:
    rows = table(len(hashes)).with_columns(pl.Series(ROW_HASH, hashes))
    units = split_units(rows, PLAIN, coincidence)
    assert len(set(units)) == (len(set(hashes)) if together else len(hashes))


def test_the_rows_of_a_number_that_rises_are_tested() -> None:
    rising = {"type": "number", "role": "target"}
    agreed = contract(y=rising, day={"type": "date", "role": "time", "nullable": False})
    rows = table(100, day=days(*range(100))).with_columns(y=pl.int_range(100).cast(float))
    part = split(rows, agreed, SplitSettings(), seed=0)
    assert [(part == name).sum() for name in PARTS] == [70, 15, 15, 0]


@pytest.mark.parametrize(
    ("name", "day"), [("train_until", 30), ("validate_until", 50), ("test_until", 55)]
)
def test_a_date_is_refused_without_a_time_and_keeps_few_rows_in_one_split(
    name: str, day: int
) -> None:
    choice = SplitSettings.model_validate({name: FIRST + dt.timedelta(days=day)})
    with pytest.raises(UserError, match=r"no column in schema\.yaml has the role time"):
        splits(table(60), PLAIN, choice, seed=0)
    assert len(splits(table(60, day=days(*range(60))), TIMED, choice, seed=0)) == 1


def test_less_than_ten_rows_are_refused() -> None:
    assert splits(table(10), PLAIN, SplitSettings(), seed=0)
    with pytest.raises(UserError, match="9 rows with y are too few"):
        splits(table(9), PLAIN, SplitSettings(), seed=0)


def test_time_and_group_together_are_refused() -> None:
    day = {"type": "date", "role": "time"}
    both = contract(day=day, owner={"type": "category", "role": "group"})
    rows = table(20, day=days(*range(20)), owner=["a", "b"] * 10)
    with pytest.raises(UserError, match=r"day \(time\) and owner \(group\)"):
        split(rows, both, SplitSettings(), seed=0)


def test_fractions_that_leave_nothing_to_test_on_are_refused() -> None:
    with pytest.raises(ValueError, match="no rows to test on"):
        SplitSettings(train=0.8, validation=0.2)


@pytest.mark.parametrize(
    ("positives", "complaint"), [(0, "nothing to learn; give another"), (2, "in all but 2 row")]
)
def test_a_target_that_teaches_nothing_is_refused(positives: int, complaint: str) -> None:
    rows = table(200).with_columns(y=pl.int_range(200) < positives)
    with pytest.raises(UserError, match=complaint):
        splits(rows, PLAIN, SplitSettings(), seed=0)


def test_too_few_groups_are_refused_clearly() -> None:
    with pytest.raises(UserError, match="owner has 2 groups: too few"):
        split(table(30, owner=["one", "two"] * 15), GROUPED, SplitSettings(), seed=0)
    part = split(table(30, owner=["a", "b", "c"] * 10), GROUPED, SplitSettings(), seed=0)
    assert set(part) == set(PARTS[:3])
    copies = table(30).with_columns(pl.lit(1).alias(ROW_HASH))
    with pytest.raises(UserError, match="1 different rows: too few"):
        split(copies, PLAIN, SplitSettings(), seed=0)


def test_rows_without_a_group_are_refused_clearly() -> None:
    owners = ["a", "b", "c", "d", "e", None] * 10
    with pytest.raises(UserError, match="owner"):
        split(table(60, owner=owners), GROUPED, SplitSettings(), seed=0)


@pytest.mark.parametrize(
    ("times", "trained", "step"),
    [
        (48, [24, 28, 32, 36, 40], 4),
        (60, [30, 35, 40, 45, 50], 5),
        (50, [26, 30, 34, 38, 42], 4),
        (7, [1, 2, 3, 4, 5], 1),
        (6, [1, 2, 3, 4], 1),
        (3, [1], 1),
    ],
)
def test_rolling_splits_end_where_the_series_does_each_a_step_later(
    times: int, trained: list[int], step: int
) -> None:
    """Times 1 to n: up to which time each split trains, and how many it then judges."""
    time = pl.Series("month", range(1, times + 1))
    found = [part.tolist() for part in rolling(time)]
    assert found == [
        [0] * last + [1] * step + [2] * step + [3] * (times - last - 2 * step) for last in trained
    ]


def test_two_times_are_too_few_to_roll() -> None:
    with pytest.raises(UserError, match="month has 2 different times"):
        rolling(pl.Series("month", [1, 2, 2, 1]))


def test_a_row_without_a_group_is_a_group_of_its_own() -> None:
    numbers = group_numbers(pl.Series(["b", None, "a", "b", None]))
    assert numbers[0] == numbers[3]
    assert len(set(numbers.tolist())) == 4
    for groups in ([None, "a", "b", "c", "d", None], [None, None, None], ["a", "b", None]):
        values = pl.Series(groups, dtype=pl.String)
        distinct = values.drop_nulls().n_unique() + values.null_count()
        assert len(set(group_numbers(values).tolist())) == distinct
