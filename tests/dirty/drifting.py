"""Tables in which what decides the target changes with time. All figures are invented."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl

KINDS = ("nothing changes", "drift", "trend", "season", "holidays")
START = dt.date(2022, 1, 1)


def simulated(kind: str, seed: int, classes: bool = False, rows: int = 1_200) -> pl.DataFrame:
    """Two years of rows whose target `y` has a linear and a nonlinear part.

    Parameters
    ----------
    kind : str
        One of `KINDS`: what happens to the parts. In "holidays", most of the rows that are
        validated follow other rules than all others.
    seed : int
        Seed of the random numbers.
    classes : bool
        Whether `y` is "yes" in the upper 30% and "no" elsewhere.
    rows : int
        Number of rows.
    """
    dice = np.random.default_rng(seed)
    part = np.arange(rows) / rows
    day = np.arange(rows) * 730 // rows
    x = dice.normal(size=(rows, 4))
    linear, other = dice.uniform(0.3, 1.2, 2)
    linear = linear * (x[:, 0] + 0.5 * x[:, 1])
    other = other * (np.sign(x[:, 2]) * np.abs(x[:, 3]) + (x[:, 0] * x[:, 1] > 0))
    season = 2 * np.pi * day / 365
    y = linear + other
    if kind == "drift":
        walk = 1.5 * dice.normal(size=rows).cumsum() / np.sqrt(rows)
        y = (1 + walk) * linear + (1 - walk) * other
    elif kind == "trend":
        y = y + 2 * dice.uniform(1, 4) * part
    elif kind == "season":
        y = (1 + 1.5 * np.sin(season)) * linear + (1 - 1.5 * np.sin(season)) * other
        y += 2 * np.cos(season)
    elif kind == "holidays":
        begin = dice.uniform(0.7, 0.75)
        special = (part > begin) & (part < begin + 0.1)
        y[special] = 3 * (linear if dice.integers(2) else other)[special]
    y += dice.normal(size=rows)
    return pl.DataFrame(
        {
            "day": [START + dt.timedelta(days=int(number)) for number in day],
            **{f"x{number}": x[:, number].round(3) for number in range(4)},
            "y": np.where(y > np.quantile(y, 0.7), "yes", "no") if classes else y.round(3),
        }
    )
