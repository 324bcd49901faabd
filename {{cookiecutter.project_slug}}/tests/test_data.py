"""The data: schema.yaml and the table agree, and no split lets a model see its test rows."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import polars as pl

from coldstart import Dataset
from coldstart.contract.columns import Category


def test_the_table_has_the_columns_that_schema_yaml_names(dataset: Dataset) -> None:
    assert set(dataset.table.columns) == dataset.contract.used
    assert len(dataset.table) > 0


def test_values_keep_to_the_rules_of_schema_yaml(dataset: Dataset) -> None:
    for name in dataset.table.columns:
        column, values = dataset.contract.columns[name], dataset.table[name]
        assert column.nullable or not values.has_nulls(), f"{name} has missing values"
        for rule, broken in column.violations(pl.col(name)).items():
            assert not dataset.table.select(broken.any()).item(), f"{name}: {rule}"


def test_most_values_of_a_category_are_those_that_schema_yaml_lists(dataset: Dataset) -> None:
    for name, column in dataset.contract.features.items():
        if isinstance(column, Category) and column.categories:
            values = dataset.table[name].drop_nulls()
            assert values.is_in(column.categories).sum() >= 0.9 * len(values), name


def test_the_target_is_known_and_is_no_feature(dataset: Dataset) -> None:
    target = dataset.table[dataset.contract.target]
    assert not target.has_nulls()
    assert target.n_unique() > 1
    assert dataset.contract.target not in dataset.contract.features
    for name in dataset.contract.features:
        copied = dataset.table[name].cast(pl.String).eq_missing(target.cast(pl.String))
        assert not copied.all(), f"{name} is a copy of the target"


def test_each_row_is_in_one_part_of_a_split(dataset: Dataset) -> None:
    for split in dataset.splits:
        parts = [split.train, split.validation, split.test, split.out_of_time]
        assert sorted(np.concatenate(parts)) == list(range(len(dataset.table)))
        assert all(map(len, parts[:3]))


def test_rows_of_a_group_are_on_one_side_of_a_split(dataset: Dataset) -> None:
    for group in dataset.contract.names("group"):
        values = dataset.table[group]
        for split in dataset.splits:
            sides = [set(values[rows]) for rows in (split.train, split.validation, split.test)]
            assert all(one.isdisjoint(other) for one, other in combinations(sides, 2))


def test_no_model_is_fitted_on_rows_later_than_those_that_test_it(dataset: Dataset) -> None:
    for time in dataset.contract.names("time"):
        values = dataset.table[time]
        for split in dataset.splits:
            parts = (split.train, split.validation, split.test)
            train, validation, test = (values[rows].sort() for rows in parts)
            assert train[-1] < validation[0]
            assert validation[-1] < test[0]
