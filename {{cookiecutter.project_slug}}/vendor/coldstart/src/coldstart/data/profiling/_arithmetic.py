"""Arithmetic leaks: columns whose sum, difference or product is the target."""

from __future__ import annotations

import itertools

import numpy as np
import polars as pl

from coldstart.data.profiling._evidence import LeakContext
from coldstart.data.profiling._profiles import words
from coldstart.data.profiling._spellings import vocabulary

SUM = 0.9999
RATIO = vocabulary(
    "per pct percent percentage perc ratio rate share quote fraction unit avg average mean index"
)


def find_arithmetic_leaks(context: LeakContext, names: list[str]) -> dict[str, str]:
    """Find the columns that the target follows from, and for each of them why.

    In a difference the total is the leak. In a product the ratio is, if a name reveals it.
    """
    names = [
        name for name in names
        if context.profiles[name].type in ("number", "date") and context.profiles[name].distinct > 2
    ]  # fmt: skip
    if len(names) < 2 or context.rows < 30:
        return {}
    table = np.stack(
        [context.columns[name].to_physical().cast(pl.Float64).to_numpy() for name in names], axis=1
    )
    y = context.target.shown[:, 0]
    dates = np.array([context.profiles[name].type == "date" for name in names])
    found: dict[str, str] = {}
    if chosen := adds_up(table, y, dates):
        part = [(names[i], factor) for i, factor in chosen]
        why = reason(context, part, "+-")
        signs = {factor > 0 for _, factor in part}
        found |= {name: why for name, factor in part if len(signs) == 1 or factor > 0}
    positive = np.nanmin(table, axis=0) > 0
    if not y.min() > 0:
        return found
    left = [i for i in np.flatnonzero(positive & ~dates) if names[i] not in found]
    while len(left) > 1:
        chosen = adds_up(np.log(table[:, left]), np.log(y), dates[left], factor=1)
        if not chosen:
            break
        part = [(names[left[i]], factor) for i, factor in chosen]
        why = reason(context, part, "x/")
        ratios = [name for name, _ in part if set(words(name)) & RATIO]
        gone = ratios if len(ratios) == 1 else [name for name, _ in part]
        found |= dict.fromkeys(gone, why)
        left = [i for i in left if names[i] not in found]
    return found


def reason(context: LeakContext, part: list[tuple[str, float]], signs: str) -> str:
    """Describe what the target follows from, with the signs of positive and negative factors."""
    terms = " ".join(f"{signs[factor < 0]} {name}" for name, factor in part)
    return (
        f"{context.target_profile.name} follows from {terms.removeprefix(signs[0] + ' ')} exactly."
    )


def adds_up(
    table: np.ndarray, y: np.ndarray, dates: np.ndarray, factor: float | None = None
) -> list[tuple[int, float]]:
    """Find two or three columns whose sum or difference is the target, up to one factor.

    Parameters
    ----------
    table : ndarray of shape (n, p)
        Columns, NaN where missing.
    y : ndarray of shape (n,)
        The target.
    dates : ndarray of bool, shape (p,)
        Which columns are dates.
    factor : float, optional
        The factor, if it is known.

    Returns
    -------
    list of (int, float)
        Index and sign of each column. Empty if there are none.
    """
    known = ~np.isnan(table).any(axis=1) if table.shape[1] <= 12 else np.ones(len(y), bool)
    if known.sum() < 30:
        known = np.ones(len(y), bool)
    table = np.where(np.isnan(table), np.nanmean(table, axis=0), table)[known]
    y = y[known] - y[known].mean()
    table = table - table.mean(0)
    usable = np.flatnonzero(table.std(0) > 0).tolist()
    if not usable or not y.std():
        return []

    def fitted(chosen: list[int]) -> tuple[float, np.ndarray]:
        factors, *_ = np.linalg.lstsq(table[:, chosen], y, rcond=None)
        rest = y - table[:, chosen] @ factors
        return 1 - float((rest**2).sum() / (y**2).sum()), factors

    sets: list[list[int]] = []
    days = [i for i in usable if dates[i]]
    sets += [list(pair) for pair in itertools.combinations(days, 2)]
    numbers = [i for i in usable if not dates[i]]
    scale = table / np.maximum(table.std(0), 1e-300)
    if 2 <= len(numbers) <= 40:
        sets += [list(pair) for pair in itertools.combinations(numbers, 2)]
    chosen: list[int] = []  # matching pursuit finds three, and two among many
    rest = y
    while len(chosen) < 3 and len(chosen) < len(numbers):
        best = max(set(numbers) - set(chosen), key=lambda i: abs(float(scale[:, i] @ rest)))
        chosen = [*chosen, best]
        factors, *_ = np.linalg.lstsq(table[:, chosen], y, rcond=None)
        rest = y - table[:, chosen] @ factors
        if len(chosen) > 1:
            sets.append(chosen)
    for one in sets:
        score, factors = fitted(one)
        sizes = np.abs(factors)
        used = sizes * table[:, one].std(0) > 0.01 * y.std()
        if factor is None:
            alike = sizes.max() <= 1.02 * sizes.min()
            total = len(one) == 3 and not alike and (factors > 0).sum() == 1  # 3 x mean - a - b
        else:
            alike, total = np.all(np.abs(sizes / factor - 1) <= 0.02), False
        if score > SUM and used.all() and (alike or total):
            return [(i, float(np.sign(f))) for i, f in zip(one, factors, strict=True)]
    return []
