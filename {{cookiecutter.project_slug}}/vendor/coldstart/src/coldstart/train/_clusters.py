"""Units of rows that are not independent: groups, or blocks of time."""

from __future__ import annotations

import math

import numpy as np
import polars as pl

from coldstart._markdown import code
from coldstart.contract._contract import Contract
from coldstart.data._dataset import Dataset
from coldstart.data._splitting import group_numbers

MIN_BLOCKS = 5


def clusters(dataset: Dataset, rows: np.ndarray) -> np.ndarray | None:
    """Return the unit of each of some rows, or None if each row is one of its own.

    Parameters
    ----------
    dataset : Dataset
        The prepared rows.
    rows : ndarray of int, shape (n,)
        Row numbers.

    Returns
    -------
    ndarray of int64, shape (n,) or None
        The number of each row's group, if a column has the role group; or of its block of time, if
        one has the role time.

    Notes
    -----
    A block holds about the cube root of the number of different times among these rows, the rate
    at which the optimal length grows. There are at least five blocks, if there are as many times.

    References
    ----------
    Hall, Horowitz and Jing, "On blocking rules for the bootstrap with dependent data", Biometrika
    82(3), 1995.
    """
    group, time = dataset.contract.names("group"), dataset.contract.names("time")
    if group:
        return group_numbers(dataset.table[group[0]][rows])
    return time_blocks(dataset.table[time[0]][rows]) if time else None


def time_blocks(values: pl.Series) -> np.ndarray | None:
    """Return the number of each row's block of time, shape (n,); None for a single time."""
    rank = values.rank("dense").fill_null(1).cast(int).to_numpy() - 1
    times = int(rank.max(initial=0)) + 1
    if times == 1:
        return None
    blocks = max(times // math.ceil(times ** (1 / 3)), min(times, MIN_BLOCKS))
    numbers: np.ndarray = rank * blocks // times
    return numbers


def describe_units(units: np.ndarray | None, contract: Contract) -> str:
    """Return how many groups or blocks there are, in words; empty if each row is a unit."""
    if units is None:
        return ""
    group, time = contract.names("group"), contract.names("time")
    what = f"groups of {code(group[0])}" if group else f"blocks of {code(time[0])}"
    return f"{len(np.unique(units)):,} {what}"


def count_clusters(dataset: Dataset, rows: np.ndarray) -> str:
    """Return how many groups or blocks the rows are in, in words; empty if each is a unit.

    Parameters
    ----------
    dataset : Dataset
        The prepared rows.
    rows : ndarray of int, shape (n,)
        Row numbers.

    Returns
    -------
    str
        Such as "47 groups of `patient`".
    """
    return describe_units(clusters(dataset, rows), dataset.contract)
