"""Splitting rows into training, validation, test and out-of-time sets.

Many rows are split once. Few rows are split several times: each row is then in the test set of
one split, or of one split in each repetition.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from coldstart.config._sections import SplitSettings
from coldstart.contract._contract import Contract
from coldstart.data._rows import ROW_HASH
from coldstart.errors import UserError

PARTS = ("train", "validation", "test", "out_of_time")
TRAIN, VALIDATION, TEST, OUT_OF_TIME = range(4)
FOLDS, REPEATS, ROLLING = 5, 3, 5
WIDE_TABLE = 300  # with more columns, repeated cross-validation takes too long
REPEATED_ROWS = 1_000  # that all repetitions test together: of more rows each counts less
MIN_ROWS = 10
MIN_UNITS = 3  # one for each part
COPY_FACTOR = 100  # times as many equal pairs as by chance, and rows are copies


@dataclass(frozen=True)
class Split:
    """Row numbers of each part of a table.

    Parameters
    ----------
    train : ndarray of int64, shape (k,)
        Training set.
    validation : ndarray of int64, shape (l,)
        Validation set, for early stopping, thresholds and the choice of a model.
    test : ndarray of int64, shape (m,)
        Test set.
    out_of_time : ndarray of int64, shape (o,)
        Out-of-time set: rows after the test set, or of a class that no training row has.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    out_of_time: np.ndarray

    @classmethod
    def of(cls, part: np.ndarray) -> Split:
        """Return the split that assigns each row to the part with this number.

        Parameters
        ----------
        part : ndarray of uint8, shape (n,)
            Index of each row's part in `PARTS`.

        Returns
        -------
        Split
            The row numbers of each part.
        """
        return cls(*(np.flatnonzero(part == number) for number in range(len(PARTS))))

    def parts(self) -> dict[str, np.ndarray]:
        """Return the parts that have rows.

        Returns
        -------
        dict
            From the name of a part to its row numbers.
        """
        named = zip(PARTS, vars(self).values(), strict=True)
        return {name: rows for name, rows in named if len(rows)}


def split(
    table: pl.DataFrame,
    contract: Contract,
    settings: SplitSettings,
    seed: int,
    coincidence: float = 0,
) -> list[np.ndarray]:
    """Assign each row to a part, in one or more splits.

    Rows are split by time if a column has the role time, so that no model is trained on data from
    the future of its test rows. Otherwise they are split at random, stratified by the target, and
    rows of one group, or copies of one row, stay together.

    Parameters
    ----------
    table : polars.DataFrame
        n typed rows. Copies are detected by the column `ROW_HASH`, if there is one.
    contract : Contract
        What the columns are.
    settings : SplitSettings
        The section `split` of config.yaml.
    seed : int
        Seed of the random numbers.
    coincidence : float
        Probability that two rows are equal by coincidence.

    Returns
    -------
    list of ndarray of uint8, shape (n,)
        For each split, the index of each row's part in `PARTS`.

    Raises
    ------
    UserError
        If the rows cannot be split so that a model can be trained and evaluated.
    """
    time, group = contract.names("time"), contract.names("group")
    dated = settings.train_until or settings.validate_until or settings.test_until
    if time and group:
        raise UserError(
            f"{time[0]} (time) and {group[0]} (group) ask for two different splits: "
            "give one of them another role in schema.yaml"
        )
    if not time and dated:
        raise UserError(
            "split in config.yaml has dates, but no column in schema.yaml has the role time"
        )
    if len(table) < MIN_ROWS:
        raise UserError(
            f"{len(table)} rows with {contract.target} are too few: at least {MIN_ROWS} are needed"
        )
    check_target(table[contract.target], contract)
    few = is_few(table[contract.target], contract, settings.cross_validate_below)
    target = strata(table[contract.target], contract)
    if time:
        days = table[time[0]]
        if days.has_nulls():
            raise UserError(f"{days.name}: a column with the role time needs nullable: false")
        parts = rolling(days) if few and not dated else [by_time(days, settings)]
        for part in parts:
            unseen = ~np.isin(target, target[part == TRAIN]) if contract.classifies else False
            part[unseen & (part != TRAIN)] = OUT_OF_TIME
    else:
        unit = split_units(table, contract, coincidence)
        if (different := len(np.unique(unit))) < MIN_UNITS:
            what = f"{group[0]} has {different} groups" if group else f"{different} different rows"
            raise UserError(f"{what}: too few to train, select and evaluate a model; collect more")
        rng = np.random.default_rng(seed)
        if few:
            wide = len(contract.features) > WIDE_TABLE
            repeats = 1 if wide else int(np.clip(REPEATED_ROWS // len(table), 1, REPEATS))
            parts = [part for _ in range(repeats) for part in cross_validation(target, unit, rng)]
        else:
            parts = [at_random(target, unit, settings, rng)]
        if contract.classifies:
            for part in parts:
                known = np.isin(target, target[part == TRAIN])
                part[np.isin(unit, unit[~known])] = TRAIN
    for part in parts:
        check_parts(part, table[contract.target], alone=len(parts) == 1)
    return parts


def is_few(target: pl.Series, contract: Contract, below: int) -> bool:
    """Return whether a single split would leave the score to chance."""
    if len(target) < below or not contract.classifies:
        return len(target) < below
    sizes = target.alias("value").value_counts(sort=True)["count"]  # it may be called count
    return len(sizes) == 2 and sizes[1] * 2 < below and len(target) < 10 * below


def check_target(target: pl.Series, contract: Contract) -> None:
    """Refuse a target that cannot be learned with any split."""
    counts = target.alias("value").value_counts(sort=True)
    commonest, others = counts["value"][0], len(target) - counts["count"][0]
    if not others:
        raise UserError(
            f"{target.name} is always {commonest!r}, so there is nothing to learn; give another "
            "column the role target"
        )
    if contract.classifies and counts["count"][1] < MIN_UNITS:
        raise UserError(
            f"{target.name} is {commonest!r} in all but {others} row(s): of a second class "
            f"at least {MIN_UNITS} are needed, for training, validation and test"
        )


def strata(target: pl.Series, contract: Contract) -> np.ndarray:
    """Return the index of each row's class, or of its decile of a numeric target."""
    if contract.classifies:
        numbers: np.ndarray = target.cast(pl.String).rank("dense").to_numpy()
        return numbers
    tenths: np.ndarray = (
        target.rank("ordinal").cast(pl.Int64) * 10 // (len(target) + 1)
    ).to_numpy()
    return tenths


def split_units(table: pl.DataFrame, contract: Contract, coincidence: float) -> np.ndarray:
    """Return the index of each row's unit, which a split must not divide.

    Units are groups, or copies of one row.

    A table of a few columns with a few values each has many equal rows that are not copies. Keeping
    those together would make the parts differ from each other.
    """
    group = contract.names("group")
    if group:
        groups = table[group[0]]
        if groups.has_nulls():
            raise UserError(f"{groups.name}: a column with the role group needs nullable: false")
        return group_numbers(groups)
    if ROW_HASH in table.columns:
        copies: np.ndarray = table[ROW_HASH].rank("dense").to_numpy()
        count = np.bincount(copies)
        if (count * (count - 1)).sum() > COPY_FACTOR * len(table) ** 2 * coincidence:
            return copies
    return np.arange(len(table))


def group_numbers(values: pl.Series) -> np.ndarray:
    """Return the number of each row's group, shape (n,).

    A row without a group is a group of its own: that two rows lack one says nothing of how alike
    they are. As one group, all of them would be in one fold, and count as one unit.
    """
    numbers = values.rank("dense").fill_null(0).cast(int).to_numpy().copy()
    alone = values.is_null().to_numpy()
    numbers[alone] = len(values) + 1 + np.arange(np.count_nonzero(alone))
    return numbers


def by_time(time: pl.Series, settings: SplitSettings) -> np.ndarray:
    """Split at the chosen dates, or at the times that leave the chosen fractions before them."""
    times = np.sort(time.to_numpy().astype("datetime64[us]"))
    fractions = settings.train, min(settings.train + settings.validation, 0.99)
    chosen = settings.train_until, settings.validate_until, settings.test_until
    found = [*(times[int(fraction * len(times))] for fraction in fractions), times[-1] + 1]
    limits = np.array(
        [found[i] if date is None else date for i, date in enumerate(chosen)], dtype=times.dtype
    )
    if not (limits[:-1] < limits[1:]).all():
        *first, last = (str(limit.item()).removesuffix(" 00:00:00") for limit in limits)
        raise UserError(
            f"split: {', '.join(first)} and {last} must follow each other; see split in config.yaml"
        )
    # How many of the limits a row has reached is the number of its part.
    return np.searchsorted(limits, time.to_numpy().astype(limits.dtype), side="right")


def rolling(time: pl.Series) -> list[np.ndarray]:
    """Split by time several times, each split one step later than the one before."""
    rank = time.rank("dense").to_numpy()
    last = int(rank.max())
    step = max(1, last // (2 * (ROLLING + 1)))
    splits = []
    for back in reversed(range(ROLLING)):
        end = last - back * step
        limits = (end - 2 * step, end - step, end)
        if limits[0] > 0:
            splits.append(np.searchsorted(limits, rank, side="left"))
    if not splits:
        raise UserError(
            f"{time.name} has {last} different times: too few to split by time; give it another "
            "role in schema.yaml"
        )
    return splits


def at_random(
    target: np.ndarray, unit: np.ndarray, settings: SplitSettings, rng: np.random.Generator
) -> np.ndarray:
    """Split once, stratified as far as each class has rows."""
    names, label, number = unit_strata(target, unit)
    part = np.full(len(names), TRAIN, dtype=np.uint8)
    for members in shuffled_strata(label, rng):
        kept = (
            len(members) * (1 - settings.train - settings.validation),
            len(members) * settings.validation,
        )
        test, validation = (max(1, round(rows)) for rows in kept)
        if len(members) > 1:
            part[members[:test]] = TEST
        if len(members) > 2:
            part[members[test : test + validation]] = VALIDATION
    parts: np.ndarray = part[number]
    return parts


def cross_validation(
    target: np.ndarray, unit: np.ndarray, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Yield splits of 3/5, 1/5 and 1/5 so that each row is tested once."""
    names, label, number = unit_strata(target, unit)
    folds = min(FOLDS, len(names))
    fold = np.empty(len(names), dtype=np.int64)
    for members in shuffled_strata(label, rng):
        fold[members] = (np.arange(len(members)) + rng.integers(folds)) % folds
    for tested in range(folds):
        part = np.full(len(names), TRAIN, dtype=np.uint8)
        part[fold == tested] = TEST
        part[fold == (tested + 1) % folds] = VALIDATION
        yield part[number]


def unit_strata(target: np.ndarray, unit: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the units, the rarest stratum of each, and the number of each row's unit."""
    names, number = np.unique(unit, return_inverse=True)
    _, place, count = np.unique(target, return_inverse=True, return_counts=True)
    rarity = np.argsort(np.argsort(-count, kind="stable"))[place]  # 0 is the commonest
    rarest = np.zeros(len(names), dtype=np.int64)
    np.maximum.at(rarest, number, rarity)
    return names, rarest, number


def shuffled_strata(label: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield the members of each stratum in random order."""
    order = rng.permutation(len(label))
    order = order[np.argsort(label[order], kind="stable")]
    yield from np.split(order, np.flatnonzero(np.diff(label[order])) + 1)


def check_parts(part: np.ndarray, target: pl.Series, alone: bool) -> None:
    """Refuse a split that cannot train a model or, if it is the only one, evaluate it."""
    for number, name in enumerate(PARTS[:3]):
        values = target.filter(part == number).unique()
        if values.is_empty():
            raise UserError(f"split: no row is in the {name} part; see split in config.yaml")
        # Few rows are split several times, and one of the splits may lack a rare class.
        if len(values) < 2 and (number == TRAIN or alone):
            raise UserError(
                f"{target.name} is always {values[0]!r} in the {name} part; see split in "
                "config.yaml"
            )
