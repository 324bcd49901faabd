"""How often an alarm is false, and how large a change must be to be found: run with -s.

The README's table is what this prints.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from coldstart.contract.columns import BaseColumn, Boolean, Category, Number
from coldstart.monitor._drift import Tally
from coldstart.monitor._live_metrics import LiveMetrics
from coldstart.train._evaluation import HeldOutPredictions
from coldstart.train._intervals import interval
from engine.held_out import held_out_once

REFERENCE = 500  # rows, as a bundle keeps
THRESHOLD = 0.1
ROUNDS = 100
Draw = Callable[[np.random.Generator, int, float], pl.Series]


def numbers(dice: np.random.Generator, rows: int, shift: float) -> pl.Series:
    """Normal; the shift is in standard deviations."""
    return pl.Series(dice.normal(shift, 1, rows))


def skewed(dice: np.random.Generator, rows: int, shift: float) -> pl.Series:
    """Log-normal and rounded, a third of them 0; the shift is in standard deviations of the log."""
    values = np.round(dice.lognormal(3 + shift, 1, rows)) * (dice.random(rows) > 0.33)
    return pl.Series(values, dtype=pl.Float64)


def rare(dice: np.random.Generator, rows: int, shift: float) -> pl.Series:
    """300 labels, most of them rare; the shift is the share of rows that come from others."""
    label = np.minimum(dice.zipf(1.3, rows), 300) + 1000 * (dice.random(rows) < shift)
    return pl.Series(label).cast(pl.String)


def truths(dice: np.random.Generator, rows: int, shift: float) -> pl.Series:
    """True in a fifth of the rows, and by the shift more."""
    return pl.Series(dice.random(rows) < 0.2 + shift)


def gaps(dice: np.random.Generator, rows: int, shift: float) -> pl.Series:
    """Normal, a twentieth missing, and by the shift more."""
    values = dice.normal(0, 1, rows)
    values[dice.random(rows) < 0.05 + shift] = np.nan
    return pl.Series(values).fill_nan(None)


KINDS: dict[str, tuple[BaseColumn, Draw, tuple[float, float]]] = {
    "numbers": (Number(type="number"), numbers, (0.25, 0.5)),
    "skewed numbers": (Number(type="number"), skewed, (0.25, 0.75)),
    "300 labels": (Category(type="category"), rare, (0.1, 0.35)),
    "yes or no": (Boolean(type="boolean"), truths, (0.1, 0.2)),
    "missing values": (Number(type="number"), gaps, (0.05, 0.15)),
}


def found(kind: str, rows: int, shift: float, splits: int = ROUNDS) -> float:
    """Share of samples in which drift is found; each has a reference of its own."""
    column, draw, _ = KINDS[kind]
    alarms = 0
    for number in range(splits):
        dice = np.random.default_rng(number)
        tally = Tally.of_column("x", column, draw(dice, REFERENCE, 0))
        tally.add(draw(dice, rows, shift))
        alarms += tally.finding(THRESHOLD).drifted
    return alarms / splits


@pytest.mark.parametrize("kind", KINDS)
def test_alarms_are_seldom_false_and_large_changes_are_found(kind: str) -> None:
    _, _, (small, large) = KINDS[kind]
    for rows in (50, 500, 20_000):
        false, first, second = (found(kind, rows, shift) for shift in (0, small, large))
        print(
            f"\n| {kind} | {rows:,} | {false:.0%} | {first:.0%} of {small:g} "
            f"| {second:.0%} of {large:g} |",
            end="",
        )
        assert false <= 0.02
        # Fifty rows show little: some of the samples are enough.
        assert second >= (0.99 if rows >= 500 else 0.05)
        assert false <= first <= second


def answers(dice: np.random.Generator, rows: int, noise: float) -> HeldOutPredictions:
    """Outcomes of which one in five is true, and predicted probabilities."""
    logit = dice.normal(-2, 1.5, rows)
    true = (dice.random(rows) < 1 / (1 + np.exp(-logit))).astype(np.int64)
    said = 1 / (1 + np.exp(-(logit + dice.normal(0, noise, rows))))
    return held_out_once(np.arange(rows), true, np.column_stack([1 - said, said]), threshold=0.5)


def test_answers_as_good_as_in_the_test_raise_no_alarm_and_much_worse_ones_do() -> None:
    fell: dict[float, list[bool]] = {0.0: [], 3.0: []}
    scores: dict[float, list[float]] = {0.0: [], 3.0: []}
    for number in range(20):
        dice = np.random.default_rng(number)
        tested = interval(answers(dice, 2000, 0))
        for noise in fell:
            now = answers(dice, 500, noise)
            scores[noise].append(now.score())
            metrics = {"average_precision": now.score()}
            live = LiveMetrics("average_precision", 500, metrics, interval(now), None, tested, [])
            fell[noise].append(live.is_worse)
    good, bad = (float(np.mean(values)) for values in scores.values())
    print(
        f"\n| answers | 500 | {np.mean(fell[0.0]):.0%} "
        f"| {np.mean(fell[3.0]):.0%} of {good:.2f} to {bad:.2f} |"
    )
    assert np.mean(fell[0.0]) == 0
    assert np.mean(fell[3.0]) >= 0.9
