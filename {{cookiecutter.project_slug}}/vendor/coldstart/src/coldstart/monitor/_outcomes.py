"""Outcomes: what came true, joined with what was answered, and how good the answers were."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from coldstart.bundle._bundle import Manifest
from coldstart.contract._contract import Contract
from coldstart.data._validation import TableValidator
from coldstart.data.reading._read import scan
from coldstart.errors import UserError
from coldstart.monitor._rows import LABEL, PREDICTION, REQUEST, ROW, TIME
from coldstart.train._evaluation import HeldOutPredictions, interval, measure, primary, score

FEW = 30  # outcomes, below which nothing is concluded
MANY = 100_000  # outcomes that are judged; of more a random sample is
PERIODS = 24  # weeks that are shown; a longer time is told by the month


@dataclass
class Outcomes:
    """True outcomes by request and row, and the answers that were found for them.

    Attributes
    ----------
    table
        Columns `REQUEST`, `ROW` and the target; each request and row once. Empty where the
        rows bring their outcomes.
    said
        What a person should know of the file.
    """

    target: str
    table: pl.DataFrame = field(default_factory=pl.DataFrame)
    said: list[str] = field(default_factory=list)
    found: list[pl.DataFrame] = field(default_factory=list)

    @classmethod
    def read(cls, file: Path, contract: Contract) -> Outcomes:
        """Read a file of outcomes.

        Raises
        ------
        UserError
            If it cannot be read, lacks a column, or a value is not one of the target.
        """
        target = contract.target
        raw = scan(file)
        names = raw.frame.collect_schema().names()
        for name in ("request", target):
            if name not in names:
                raise UserError(
                    f"{file} has no column {name!r}: it needs request (the X-Request-Id of the "
                    f"answer), row (its place from 0, where a request had several) and {target}"
                )
        column = contract.columns[target].model_copy(update={"nullable": True})
        validator = TableValidator({target: column})
        frames = []
        for rows in raw.slices(MANY):
            row = pl.col("row").cast(pl.Int32, strict=False) if "row" in names else pl.lit(0)
            keys = rows.select(pl.col("request").cast(pl.String).alias(REQUEST), row.alias(ROW))
            frames.append(keys.hstack(validator(rows)))
        validator.check(raw.locate)
        table = pl.concat(frames).with_columns(pl.col(ROW).cast(pl.Int32))
        if table[ROW].null_count():
            raise UserError(f"{file}: a row is no whole number; rows of a request count from 0")
        outcomes = cls(target, table)
        known = table.drop_nulls()
        outcomes.table = known.unique([REQUEST, ROW], keep="last", maintain_order=True)
        if unknown := len(table) - len(known):
            outcomes.said.append(f"{unknown:,} line(s) of {file} have no outcome yet")
        if twice := len(known) - len(outcomes.table):
            outcomes.said.append(f"{twice:,} outcome(s) are there again: the last of each counts")
        if known.is_empty():
            raise UserError(f"{file} has no outcomes: fill {target} in")
        return outcomes

    def add(self, rows: pl.DataFrame) -> None:
        """Look for the outcomes of some rows of the record."""
        if self.target in rows.columns:  # of a file, which brings them
            self.found.append(rows.drop_nulls(self.target).select(*self._wanted(rows), self.target))
        else:
            answers = rows.select(REQUEST, ROW, *self._wanted(rows))
            answers = answers.with_columns(pl.col(ROW).cast(pl.Int32))
            self.found.append(answers.join(self.table, on=[REQUEST, ROW], maintain_order="left"))

    @staticmethod
    def _wanted(rows: pl.DataFrame) -> list[str]:
        return [name for name in (TIME, LABEL, PREDICTION) if name in rows.columns]

    def joined(self, rows: int) -> pl.DataFrame:
        """All answers whose outcomes are known; tells how many of so many rows those are."""
        joined = pl.concat(self.found)
        if REQUEST not in joined.columns:
            return joined
        answers = len(joined)
        joined = joined.unique([REQUEST, ROW], keep="last", maintain_order=True)
        if again := answers - len(joined):
            self.said.append(f"{again:,} answer(s) have the id of another: the last of each counts")
        self.said.append(f"{len(joined):,} of {rows:,} answers have an outcome so far")
        if unmatched := len(self.table) - len(joined):
            lost = self.table.join(joined, on=[REQUEST, ROW], how="anti")
            request, row = lost.row(0)[:2]
            self.said.append(
                f"{unmatched:,} of {len(self.table):,} outcomes have no answer among these rows: "
                f"first of request {request!r}, row {row}"
            )
        return joined


@dataclass(frozen=True)
class Live:
    """How good the answers were whose outcomes are known.

    Attributes
    ----------
    rows
        Number of them.
    metrics, interval
        As they are in the bundle of its test rows.
    tested, tested_interval
        Those of the test rows; None if the bundle has none.
    periods
        Begin, number of outcomes and primary metric of each week or month.
    fell
        Whether the whole interval lies below the test's.
    """

    primary: str
    rows: int
    metrics: dict[str, float]
    interval: tuple[float, float]
    tested: dict[str, float] | None
    tested_interval: tuple[float, float] | None
    periods: list[tuple[str, int, float]]

    @property
    def fell(self) -> bool:
        if self.tested_interval is None or self.rows < FEW:
            return False
        return self.interval[1] < self.tested_interval[0]


def judge(joined: pl.DataFrame, contract: Contract, manifest: Manifest) -> Live | None:
    """Measure the answers whose outcomes are known; None if there are none.

    Of many classes the record holds the answer and not all probabilities, so only what is
    measured on answers can be told.
    """
    classes = manifest.classes
    if classes:
        # A class that came later is none the model could have answered: it is wrong on those rows.
        joined = joined.filter(pl.col(contract.target).cast(pl.String).is_in(classes))
    if len(joined) > MANY:
        joined = joined.sample(MANY, seed=0)
    if joined.is_empty():
        return None
    held = as_held(joined, contract.target, classes)
    name = primary(len(classes))
    answers_only = len(classes) > 2
    metrics = measure(held.target, held.prediction[0], held.labels[0])
    if answers_only:
        metrics = {name: metrics[name] for name in ("f1_macro", "accuracy")}
    tested: dict[str, Any] = manifest.metrics
    low, high = interval(held) if len(joined) > 1 else (metrics[name], metrics[name])
    return Live(
        name,
        len(joined),
        {key: float(value) for key, value in metrics.items()},
        (low, high),
        tested.get("test"),
        tuple(tested["interval"]) if "interval" in tested else None,
        over_time(joined, held),
    )


def as_held(joined: pl.DataFrame, target: str, classes: list[str]) -> HeldOutPredictions:
    """The answers as `evaluation` takes them."""
    said = joined[PREDICTION].to_numpy().astype(np.float64)
    rows = np.arange(len(joined))
    if not classes:
        true = joined[target].to_numpy().astype(np.float64)
        return HeldOutPredictions(rows, true, said[None, :, None], np.zeros((1, len(said)), np.int64))
    number = pl.Enum(classes)
    true, labels = (
        joined[name].cast(pl.String).cast(number).to_physical().cast(pl.Int64).to_numpy()
        for name in (target, LABEL)
    )
    sure = np.column_stack([1 - said, said]) if len(classes) == 2 else np.eye(len(classes))[labels]
    return HeldOutPredictions(rows, true, sure[None], labels[None])


def over_time(joined: pl.DataFrame, held: HeldOutPredictions) -> list[tuple[str, int, float]]:
    """The primary metric of each week, or of each month of a longer time."""
    if TIME not in joined.columns:
        return []
    times = joined[TIME]
    weeks = times.dt.truncate("1w")
    by_week = weeks.n_unique() <= PERIODS
    starts = weeks if by_week else times.dt.truncate("1mo")
    periods = []
    for start in starts.drop_nulls().unique().sort():
        among = held[(starts == start).fill_null(False).to_numpy()]
        name = f"{start:%Y-%m-%d}" if by_week else f"{start:%Y-%m}"
        value = score(among.target, among.prediction[0], among.labels[0])
        periods.append((name, len(among.target), value))
    return periods
