"""Shift between parts: whether validation and test rows have another target."""

from __future__ import annotations

import sys

import numpy as np
from scipy.stats import rankdata
from scipy.stats import t as students_t

from coldstart._markdown import percent
from coldstart.data._dataset import Dataset
from coldstart.train._clusters import clusters

ALPHA = 0.01  # of splits without a shift that may be called one
CLASSES = 0.3  # Cohen's h of the shares of a class: 12% and 23%, or 50% and 65%
NUMBERS = 0.14  # distance from 1/2 of how often a test row has the higher value: Cohen's d of 0.5


def warn_of_shift(dataset: Dataset) -> None:
    """Print a warning if validation and test rows have another target.

    Parameters
    ----------
    dataset : Dataset
        The prepared rows.
    """
    if shift := part_shift(dataset):
        group = dataset.contract.names("group")
        if dataset.contract.names("time"):
            fix = "set the dates of split in config.yaml, or leave out the rows before the change"
        elif group:
            fix = (
                f"set split.cross_validate_below in config.yaml to {len(dataset.table) + 1}, so "
                f"that each {group[0]} is tested once"
            )
        else:
            fix = "look for a column that rows belong together by, and give it the role group"
        print(
            f"warning: {shift}: what is best on the first need not be on the second; {fix}",
            file=sys.stderr,
        )


def part_shift(dataset: Dataset) -> str:
    """Return how the target differs between validation and test rows; empty if it hardly does.

    Parameters
    ----------
    dataset : Dataset
        The prepared rows. Several splits test each row, and are not compared.

    Returns
    -------
    str
        Such as "the mean of price is 97 on the validation rows and 184 on the test rows".

    Notes
    -----
    A difference is one that is both large and significant. Of classes, it is that of their shares
    (Cohen's h), and of a number that of its ranks. Its standard error is by group or block of time
    (a t test with Welch's degrees of freedom, Bonferroni over the classes).

    References
    ----------
    Cohen, "Statistical Power Analysis for the Behavioral Sciences", 1988.
    """
    if len(dataset.splits) > 1:
        return ""
    rows = dataset.splits[0].validation, dataset.splits[0].test
    first, second = (dataset.target(part) for part in rows)
    units = [clusters(dataset, part) for part in rows]
    if not dataset.classes:
        ranks = rankdata(np.concatenate([first, second])) / (len(first) + len(second))
        own, other = ranks[: len(first)], ranks[len(first) :]
        # How often a test row has the higher value, less 1/2, is the difference of the mean ranks.
        if abs(other.mean() - own.mean()) < NUMBERS or chance(own, other, units) > ALPHA:
            return ""
        means = f"{first.mean():,.4g} on the validation rows and {second.mean():,.4g} on the test"
        return f"the mean of {dataset.contract.target} is {means} rows"
    shares = np.array([[np.mean(part == one) for one in range(len(dataset.classes))]
                       for part in (first, second)])  # fmt: skip
    effects = np.abs(np.diff(2 * np.arcsin(np.sqrt(shares)), axis=0))[0]
    order = [1] if len(effects) == 2 else np.argsort(-effects)
    for one in order:
        if effects[one] < CLASSES:
            break
        if chance(first == one, second == one, units) <= ALPHA / len(order):
            then, now = map(percent, shares[:, one])
            label = dataset.classes[one]
            return f"{label!r} is {then} of the validation rows and {now} of the test rows"
    return ""


def chance(first: np.ndarray, second: np.ndarray, units: list[np.ndarray | None]) -> float:
    """Return the p-value of a difference of two means whose rows are of some units."""
    variances, freedom = np.zeros(2), np.zeros(2)
    for place, (values, unit) in enumerate(zip((first, second), units, strict=True)):
        number = np.arange(len(values)) if unit is None else np.unique(unit, return_inverse=True)[1]
        count = int(number.max()) + 1
        if count < 2:
            return 1.0
        residuals = np.bincount(number, values - values.mean())
        variances[place] = count / (count - 1) * np.sum(residuals**2) / len(values) ** 2
        freedom[place] = count - 1
    variance = variances.sum()
    difference = abs(float(np.mean(first) - np.mean(second)))
    if variance == 0:
        return float(difference == 0)
    welch = variance**2 / np.sum(variances**2 / freedom)
    return float(2 * students_t.sf(difference / np.sqrt(variance), welch))
