"""The split: which rows a model is fitted on, chosen by, and judged by."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import polars as pl
from sklearn.model_selection import (
    GroupShuffleSplit,
    RepeatedKFold,
    RepeatedStratifiedKFold,
    train_test_split,
)

from .contract import Contract
from .errors import UserError
from .settings import Split

PARTS = ("train", "validation", "test", "later")
FEW = 1000


@dataclass(frozen=True)
class Round:
    """Row numbers of the parts of one division."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    later: np.ndarray


def divide(table: pl.DataFrame, contract: Contract, part: pl.Series, seed: int) -> list[Round]:
    """One round of the parts, or repeated folds for few rows."""
    if len(table) >= FEW or contract.names("time") or contract.names("group"):
        parts = part.to_numpy()
        return [Round(*(np.flatnonzero(parts == name) for name in PARTS))]
    rows, none = np.arange(len(table)), np.array([], dtype=np.int64)
    labels = table[contract.target].to_numpy() if contract.classifies else np.zeros(len(table))
    kind = RepeatedStratifiedKFold if contract.classifies else RepeatedKFold
    rounds = []
    for known, test in kind(n_splits=5, n_repeats=3, random_state=seed).split(rows, labels):
        stratify = labels[known]
        if np.unique(stratify, return_counts=True)[1].min() < 2:
            stratify = None
        train, validation = train_test_split(
            known, test_size=0.2, random_state=seed, stratify=stratify
        )
        rounds.append(Round(train, validation, test, none))
    return rounds


def split(table: pl.DataFrame, contract: Contract, choice: Split, seed: int) -> pl.Series:
    """Name the part that each row belongs to.

    By time where a column has the role time, so that no model sees the future of
    the rows that judge it; by group where a column has the role group, so that no
    entity is on two sides; else at random, with the classes in the same shares.

    Raises
    ------
    UserError
        If a part would be empty, or the classes of one part are missing in another.
    """
    time, group = contract.names("time"), contract.names("group")
    if time and group:
        raise UserError(
            f"{time[0]} (time) and {group[0]} (group) ask for two different splits: "
            "give one of them another role in the contract"
        )
    if not time and (choice.train_until or choice.validate_until or choice.test_until):
        raise UserError(
            "split in config.yaml has dates, but no column in the contract has the role time"
        )
    if time:
        part = by_time(table[time[0]], choice)
    else:
        part = at_random(table, contract, choice, seed, group)
    check(part, table[contract.target], contract)
    return part


def by_time(time: pl.Series, choice: Split) -> pl.Series:
    """Split at the chosen dates, or at the days that leave the chosen fractions before them."""
    days = time.sort()
    if days.has_nulls():
        raise UserError(f"{time.name}: a column with the role time needs nullable: false")

    def day_at(fraction: float) -> dt.date:
        day: dt.date = days[int(fraction * len(days))]
        return day

    train_until = choice.train_until or day_at(choice.train)
    validate_until = choice.validate_until or day_at(min(choice.train + choice.validation, 0.99))
    test_until = choice.test_until or days[-1] + dt.timedelta(days=1)
    if not train_until < validate_until < test_until:
        raise UserError(
            f"split: {train_until}, {validate_until} and {test_until} must follow each other"
        )
    return pl.select(
        pl.when(time < train_until)
        .then(pl.lit("train"))
        .when(time < validate_until)
        .then(pl.lit("validation"))
        .when(time < test_until)
        .then(pl.lit("test"))
        .otherwise(pl.lit("later"))
    ).to_series()


def at_random(
    table: pl.DataFrame, contract: Contract, choice: Split, seed: int, group: list[str]
) -> pl.Series:
    """Split at random; rows of one group stay together."""
    if choice.train + choice.validation >= 1:
        raise UserError("split: train and validation leave no rows to test on")
    part = np.full(len(table), "test", dtype=object)
    rows = np.arange(len(table))
    shares = {"train": choice.train, "validation": choice.validation / (1 - choice.train)}
    for name, share in shares.items():
        if group:
            groups = table[group[0]][rows]
            if groups.has_nulls():
                raise UserError(f"{group[0]}: a column with the role group needs nullable: false")
            shuffle = GroupShuffleSplit(1, train_size=share, random_state=seed)
            try:
                chosen, rest = next(shuffle.split(rows, groups=groups))
            except ValueError:
                raise UserError(f"{group[0]} has too few groups to split") from None
            chosen, rest = rows[chosen], rows[rest]
        else:
            labels = table[contract.target][rows] if contract.classifies else None
            try:
                chosen, rest = train_test_split(
                    rows, train_size=share, random_state=seed, stratify=labels
                )
            except ValueError as error:
                raise UserError(f"the rows cannot be split: {error}") from None
        part[chosen], rows = name, rest
    return pl.Series(part, dtype=pl.String)


def check(part: pl.Series, target: pl.Series, contract: Contract) -> None:
    """Refuse a split that cannot train or judge a model."""
    for name in PARTS[:3]:
        if not (part == name).any():
            raise UserError(f"split: no row is in the {name} part; see split in config.yaml")
    if not contract.classifies:
        if target.filter(part == "train").n_unique() < 2:
            raise UserError(f"{contract.target} is always the same number in the train part")
        return
    fitted = set(target.filter(part == "train"))
    if len(fitted) < 2:
        raise UserError(f"{contract.target} is always {fitted.pop()!r} in the train part")
    for name in PARTS[1:3]:
        classes = set(target.filter(part == name))
        if unknown := sorted(classes - fitted):
            raise UserError(f"{contract.target}: {unknown[0]!r} is in {name} but not in train")
        if len(classes) < 2:
            raise UserError(f"{contract.target} is always {classes.pop()!r} in the {name} part")
