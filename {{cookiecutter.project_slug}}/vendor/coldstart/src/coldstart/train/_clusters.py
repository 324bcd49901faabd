"""Units of rows that are not independent: groups, or blocks of time."""

from __future__ import annotations

import math

import numpy as np

from coldstart._markdown import code
from coldstart.data._dataset import Dataset

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
        numbers: np.ndarray = dataset.table[group[0]][rows].rank("dense").cast(int).to_numpy()
        return numbers
    if time and len(rows):
        rank = dataset.table[time[0]][rows].rank("dense").cast(int).to_numpy() - 1
        times = int(rank.max()) + 1
        if times > 1:
            blocks = max(times // math.ceil(times ** (1 / 3)), min(times, MIN_BLOCKS))
            in_block: np.ndarray = rank * blocks // times
            return in_block
    return None


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
    units = clusters(dataset, rows)
    if units is None:
        return ""
    count = len(np.unique(units))
    if group := dataset.contract.names("group"):
        return f"{count:,} groups of {code(group[0])}"
    return f"{count:,} blocks of {code(dataset.contract.names('time')[0])}"
