"""The best single column is chosen on folds, divided as the table is, and not named by chance."""

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
from coldstart.train._baselines import evaluate_baselines
from coldstart.train._folds import inner_folds

ONCE = SplitSettings(cross_validate_below=0)


def prepared(columns: dict[str, Any], data: dict[str, Any], settings: SplitSettings) -> Dataset:
    """Return a split table whose target is `y`; columns without a type are numbers."""
    kinds = {name: {"type": "number"} for name in data} | columns
    contract = Contract.model_validate({"columns": {name: kinds[name] for name in data}})
    table = pl.DataFrame(data)
    parts = split(table, contract, settings, seed=0)
    classes = sorted(table["y"].unique().to_list()) if contract.classifies else []
    return Dataset(contract, table, [Split.of(part) for part in parts], classes, "")


def noise(seed: int, signal: float = 0.0, rows: int = 300, patients: int = 0) -> Dataset:
    """Return a table of two classes, of 12 columns that tell nothing, and one that tells some."""
    dice = np.random.default_rng(seed)
    columns: dict[str, Any] = {"y": {"type": "category", "role": "target", "nullable": False}}
    known = dice.normal(size=rows)
    y = signal * known + dice.normal(size=rows)
    data: dict[str, Any] = {f"noise {n}": dice.normal(size=rows) for n in range(8)}
    for n in range(4):
        columns[f"kind {n}"] = {"type": "category"}
        data[f"kind {n}"] = [f"k{number}" for number in dice.integers(20, size=rows)]
    if patients:
        columns["patient"] = {"type": "category", "role": "group", "nullable": False}
        patient = dice.integers(patients, size=rows)
        data["patient"] = [f"p{number}" for number in patient]
        y += dice.normal(size=patients)[patient]
        data["noise 0"] = dice.normal(size=patients)[patient]  # such as the age
    data |= {"known": known, "y": np.where(y > np.quantile(y, 0.7), "yes", "no").tolist()}
    return prepared(columns, data, ONCE)


@pytest.mark.parametrize("patients", [0, 30])
def test_of_columns_that_tell_nothing_none_is_named_as_good(patients: int) -> None:
    lines = [evaluate_baselines(noise(seed, patients=patients)).best_column() for seed in range(20)]
    none = "no single column is significantly better than the dummy baseline; the best of 13 is"
    assert sum(line.startswith(none) for line in lines) >= 18, lines


def test_a_column_that_tells_something_is_chosen_among_many_that_tell_nothing() -> None:
    named = [evaluate_baselines(noise(seed, signal=0.8)).best_column() for seed in range(20)]
    # On the single validation part, of 46 rows, it was the best in 15 of these 20.
    assert sum(line.startswith("known is the best single column") for line in named) >= 18, named


def test_the_folds_are_of_rows_that_no_test_row_is_among() -> None:
    dataset = noise(0)
    folds = inner_folds(dataset)
    held_out = np.concatenate([rows for _, rows in folds])
    assert len(folds) == 5
    assert sorted(held_out) == sorted(set(range(300)) - set(dataset.splits[0].test))
    assert not any(np.isin(fitted, rows).any() for fitted, rows in folds)
    assert all(len(fitted) + len(rows) == len(held_out) for fitted, rows in folds)
    yes = [int((dataset.target(rows) == 1).sum()) for _, rows in folds]
    assert max(yes) - min(yes) <= 1  # stratified
    again = inner_folds(dataset)
    assert all((one[1] == other[1]).all() for one, other in zip(folds, again, strict=True))


def test_where_rows_are_split_by_group_no_group_is_in_two_folds() -> None:
    dataset = noise(0, patients=30)
    patient = dataset.table["patient"].to_numpy()
    for fitted, held_out in inner_folds(dataset):
        assert not set(patient[fitted]) & set(patient[held_out])


def test_where_rows_are_split_by_time_a_fold_is_later_than_what_it_was_fitted_on() -> None:
    dice = np.random.default_rng(0)
    days = [dt.date(2024, 1, 1) + dt.timedelta(days=int(n)) for n in np.arange(600) // 3]
    dataset = prepared(
        {
            "day": {"type": "date", "role": "time", "nullable": False},
            "y": {"type": "number", "role": "target", "nullable": False},
        },
        {"day": days, "x": dice.normal(size=600), "y": dice.normal(size=600)},
        ONCE,
    )
    day = dataset.table["day"].to_numpy()
    folds = inner_folds(dataset)
    assert len(folds) == 5
    for fitted, held_out in folds:
        assert day[fitted].max() < day[held_out].min()
    assert day[folds[-1][1]].max() < day[dataset.splits[0].test].min()


def dated(times: int, settings: SplitSettings = ONCE) -> Dataset:
    """Return a table of four rows a day, shuffled."""
    dice = np.random.default_rng(0)
    number = dice.permutation(4 * times) // 4
    columns = {
        "day": {"type": "date", "role": "time", "nullable": False},
        "y": {"type": "number", "role": "target", "nullable": False},
    }
    days = [dt.date(2024, 1, 1) + dt.timedelta(days=int(n)) for n in number]
    x, y = dice.normal(size=(2, 4 * times))
    return prepared(columns, {"day": days, "x": x, "y": y}, settings)


def test_folds_in_time_are_of_equally_many_times_and_hold_all_that_is_not_tested() -> None:
    dataset = dated(24, SplitSettings(cross_validate_below=0, train=0.6, validation=0.16))
    day = dataset.table["day"].to_numpy()
    (one,) = dataset.splits
    days = np.unique(day[np.concatenate([one.train, one.validation])])
    assert len(days) == 18
    folds = inner_folds(dataset)
    for number, (fitted, held_out) in enumerate(folds):
        end = 3 + 3 * number
        assert sorted(day[fitted]) == sorted(np.repeat(days[:end], 4))
        assert sorted(day[held_out]) == sorted(np.repeat(days[end : end + 3], 4))
    assert len(folds) == 5


@pytest.mark.parametrize(("test", "folds"), [(1, 5), (2, 1)])
def test_of_five_times_or_fewer_there_are_no_folds_but_the_split(test: int, folds: int) -> None:
    dataset = dated(7)
    day = dataset.table["day"].rank("dense").to_numpy()
    tested = np.flatnonzero(day > 7 - test)
    train, validation = np.flatnonzero(day <= 3), np.flatnonzero((day > 3) & (day <= 7 - test))
    single = Split(train, validation, tested, tested[:0])
    found = inner_folds(Dataset(dataset.contract, dataset.table, [single], [], ""))
    assert len(found) == folds
    if folds == 1:
        assert (found[0][0].tolist(), found[0][1].tolist()) == (train.tolist(), validation.tolist())


def test_folds_of_several_splits_are_their_own_parts() -> None:
    dataset = noise(0)
    first = dataset.splits[0]
    other = Split(first.validation, first.train, first.test, first.out_of_time)
    found = inner_folds(
        Dataset(dataset.contract, dataset.table, [first, other], dataset.classes, "")
    )
    assert [[part.tolist() for part in pair] for pair in found] == [
        [first.train.tolist(), first.validation.tolist()],
        [first.validation.tolist(), first.train.tolist()],
    ]
