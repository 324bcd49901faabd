"""Tables with columns that are known only after the target, and the same tables without them.

Forty: eight tables, each with five kinds of such columns. All figures are invented.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl

ROWS = 400


@dataclass
class Case:
    """A table, its target, and the columns that are planted."""

    name: str
    table: pl.DataFrame
    target: str
    planted: list[str]


def tables(seed: int = 0) -> Iterator[tuple[str, pl.DataFrame, str]]:
    """Eight tables as people bring them: features that tell something, and a target."""
    dice = np.random.default_rng(seed)

    def normal(mean: float, spread: float) -> np.ndarray:
        return mean + spread * dice.normal(size=ROWS)

    def pick(*labels: str) -> np.ndarray:
        return dice.choice(labels, ROWS)

    days = [
        (date(2024, 1, 1) + timedelta(int(day))) for day in np.sort(dice.integers(0, 700, ROWS))
    ]

    income, debt, years = normal(40, 12), dice.gamma(2, 8, ROWS), dice.integers(0, 30, ROWS)
    home = pick("rent", "own", "mortgage")
    risk = debt / 10 - income / 15 - years / 20 + 0.5 * (home == "rent") + normal(0, 1)
    yield (
        "loans",
        frame(applied=days, income=income, debt=debt, years_employed=years, home=home).with_columns(
            default=labels(risk > np.quantile(risk, 0.75), "yes", "no")
        ),
        "default",
    )
    area, rooms, built = (
        dice.gamma(9, 12, ROWS),
        dice.integers(1, 7, ROWS),
        dice.integers(1900, 2020, ROWS),
    )
    town = pick("Aville", "Btown", "Cburg")
    price = 2500 * area + 8000 * rooms + 300 * (built - 1900) + 40_000 * (town == "Aville")
    yield (
        "houses",
        frame(listed=days, area=area, rooms=rooms, built=built, town=town).with_columns(
            price=pl.Series((price + normal(0, 60_000)).clip(20_000).round(0))
        ),
        "price",
    )
    distance, hour, plane = (
        dice.gamma(3, 400, ROWS),
        dice.integers(5, 23, ROWS),
        pick("A320", "B737", "E190"),
    )
    wind = dice.gamma(2, 8, ROWS)
    delay = 2 * (hour - 5) + 0.8 * wind + 6 * (plane == "E190") + normal(0, 14)
    yield (
        "flights",
        frame(departure=days, distance=distance, hour=hour, plane=plane, wind=wind).with_columns(
            delay=pl.Series(delay.round(1))
        ),
        "delay",
    )
    age, weight, smoker = normal(60, 14), normal(78, 14), pick("yes", "no", "no")
    pressure = normal(135, 18)
    stay = np.exp(0.6 + age / 90 + 0.4 * (smoker == "yes") + pressure / 400 + normal(0, 0.4))
    yield (
        "stays",
        frame(admitted=days, age=age, weight=weight, smoker=smoker, pressure=pressure).with_columns(
            days_in_hospital=pl.Series(stay.round(1))
        ),
        "days_in_hospital",
    )
    tenure, calls, plan = (
        dice.integers(1, 60, ROWS),
        dice.poisson(3, ROWS),
        pick("basic", "plus", "pro"),
    )
    usage = dice.gamma(3, 12, ROWS)
    leaves = 0.4 * calls - tenure / 25 + 0.7 * (plan == "basic") - usage / 60 + normal(0, 1.1)
    yield (
        "customers",
        frame(joined=days, tenure=tenure, calls=calls, plan=plan, usage=usage).with_columns(
            churn=labels(leaves > np.quantile(leaves, 0.7), "yes", "no")
        ),
        "churn",
    )
    parts, urgency, shop = (
        dice.integers(1, 9, ROWS),
        pick("low", "mid", "high"),
        pick("north", "south"),
    )
    backlog = dice.poisson(12, ROWS)
    late = 0.25 * parts + 0.12 * backlog - 0.8 * (urgency == "high") + normal(0, 1)
    yield (
        "repairs",
        frame(received=days, parts=parts, urgency=urgency, shop=shop, backlog=backlog).with_columns(
            late=labels(late > np.quantile(late, 0.65), "yes", "no")
        ),
        "late",
    )
    rain, soil, heat, seed_kind = (
        dice.gamma(6, 80, ROWS),
        normal(6.3, 0.5),
        normal(18, 3),
        pick("x", "y", "z"),
    )
    crop = 2 + rain / 300 - 0.6 * abs(soil - 6.5) + heat / 20 + 0.4 * (seed_kind == "x")
    yield (
        "fields",
        frame(sown=days, rain=rain, soil=soil, heat=heat, seed_kind=seed_kind).with_columns(
            harvest=pl.Series((crop + normal(0, 0.5)).round(2))
        ),
        "harvest",
    )
    seats, season, city = (
        dice.integers(40, 400, ROWS),
        pick("spring", "summer", "autumn"),
        pick("P", "Q", "R"),
    )
    ads = dice.gamma(2, 300, ROWS)
    guests = 0.5 * seats + 0.05 * ads + 25 * (season == "summer") + normal(0, 35)
    yield (
        "concerts",
        frame(announced=days, seats=seats, season=season, city=city, ads=ads).with_columns(
            guests=pl.Series(guests.clip(5).round(0))
        ),
        "guests",
    )


def frame(**columns: object) -> pl.DataFrame:
    """Return a table, its numbers as people would write them."""
    table = pl.DataFrame(columns)
    return table.with_columns(pl.col(pl.Float64).round(1))


def labels(where: np.ndarray, yes: str, no: str) -> pl.Series:
    """Return a label for each row."""
    return pl.Series(np.where(where, yes, no))


Plant = Callable[[pl.DataFrame, np.ndarray, np.random.Generator], dict[str, Any]]


def payment(table: pl.DataFrame, score: np.ndarray, dice: np.random.Generator) -> dict[str, Any]:
    """An amount that is settled in the end, and tells about half of the outcome."""
    return {"amount_paid": (100 + 30 * (score + dice.normal(size=ROWS))).round(2)}


def closing(table: pl.DataFrame, score: np.ndarray, dice: np.random.Generator) -> dict[str, Any]:
    """A later date, whose distance tells something."""
    wait = (10 + 4 * (score + 1.5 * dice.normal(size=ROWS))).clip(1).astype(int)
    days = table.to_series(0).to_list()
    return {"updated_on": [day + timedelta(int(n)) for day, n in zip(days, wait, strict=True)]}


def filled(table: pl.DataFrame, score: np.ndarray, dice: np.random.Generator) -> dict[str, Any]:
    """A code that is written mostly in cases of one outcome."""
    there = dice.random(ROWS) < np.where(score > 0.4, 0.85, 0.12)
    codes = dice.choice(["k1", "k2", "k3"], ROWS)
    return {"code2": [code if one else None for code, one in zip(codes, there, strict=True)]}


def parts(table: pl.DataFrame, score: np.ndarray, dice: np.random.Generator) -> dict[str, Any]:
    """Three figures that add up to it, but for a small rest, and say little alone."""
    shares = dice.normal(size=(2, ROWS)) * 1.5
    rest = score - shares.sum(0) + 0.08 * dice.normal(size=ROWS)
    return {f"item {n}": one.round(3) for n, one in enumerate([*shares, rest], start=1)}


def proxy(table: pl.DataFrame, score: np.ndarray, dice: np.random.Generator) -> dict[str, Any]:
    """A figure without a telling name that rests on the outcome."""
    return {"zeta": (50 + 10 * (score + 0.35 * dice.normal(size=ROWS))).round(2)}


PLANTS: tuple[Plant, ...] = (payment, closing, filled, parts, proxy)


def cases(seed: int = 0) -> Iterator[Case]:
    """Return each table with each kind of planted columns."""
    for name, table, target in tables(seed):
        y = table[target]
        value = (y == "yes").cast(pl.Float64) if y.dtype == pl.String else y.cast(pl.Float64)
        score = ((value - value.mean()) / value.std()).to_numpy()
        for number, plant in enumerate(PLANTS):
            columns = plant(table, score, np.random.default_rng([seed, number]))
            planted = table.with_columns(pl.Series(key, one) for key, one in columns.items())
            yield Case(f"{name}, {plant.__name__}", planted, target, list(columns))
