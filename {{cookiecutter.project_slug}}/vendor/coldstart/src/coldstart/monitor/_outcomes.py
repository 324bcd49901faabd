"""Outcomes: read, and joined with the predictions."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from coldstart.bundle._bundle import Manifest
from coldstart.contract._contract import Contract
from coldstart.data._validation import TableValidator
from coldstart.data.reading._read import scan
from coldstart.errors import UserError
from coldstart.monitor._rows import LABEL, PREDICTION, REF, REQUEST, ROW, SET, TIME

SLICE = 100_000  # rows in memory at a time


@dataclass
class Outcomes:
    """Outcomes, and the predictions that were found for them.

    Attributes
    ----------
    target : str
        Name of the target.
    others : list of str
        The column that rows are split by group of, and the one that weights them, if there are.
    keys : list of str
        Columns of the prediction log by which outcomes are joined.
    table : DataFrame
        The keys, the target and, where the file has them, the others; each key once. Empty where
        the rows bring their outcomes.
    notes : list of str
        What the reader should know of the file.
    """

    target: str
    others: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=lambda: [REQUEST, ROW])
    table: pl.DataFrame = field(default_factory=pl.DataFrame)
    notes: list[str] = field(default_factory=list)
    found: list[pl.DataFrame] = field(default_factory=list)

    @classmethod
    def of(cls, contract: Contract) -> Outcomes:
        """Return none yet, of rows that bring theirs."""
        return cls(contract.target, [*contract.names("group"), *contract.names("weight")])

    @classmethod
    def read(cls, file: Path, contract: Contract) -> Outcomes:
        """Read a table of outcomes.

        Parameters
        ----------
        file : Path
            With the columns `request` and, for requests of several rows, `row`; or with `ref`, the
            key that clients sent with their rows; and the target.
        contract : Contract
            Of the model.

        Raises
        ------
        UserError
            If it cannot be read, lacks a column, or a value is not one of the target.
        """
        target = contract.target
        raw = scan(file)
        names = raw.frame.collect_schema().names()
        by_ref = "request" not in names and "ref" in names and "ref" not in contract.features
        for name in ("ref" if by_ref else "request", target):
            if name not in names:
                raise UserError(
                    f"{file} has no column {name!r}: it needs request (the response's "
                    "X-Request-Id) and, for requests of several rows, row (from 0); or ref (which "
                    f"you sent with the rows); and {target}"
                )
        outcomes = cls.of(contract)
        validator = TableValidator(
            {
                name: contract.columns[name].model_copy(update={"nullable": True})
                for name in (target, *outcomes.others)
                if name in names
            }
        )
        row = pl.col("row").cast(pl.Int32, strict=False) if "row" in names else pl.lit(0, pl.Int32)
        keys = [pl.col("request").cast(pl.String).alias(REQUEST), row.alias(ROW)]
        if by_ref:
            keys = [pl.col("ref").cast(pl.String).alias(REF)]
        slices = raw.slices(SLICE)
        table = pl.concat([rows.select(keys).hstack(validator(rows)) for rows in slices])
        validator.check(raw.locate)
        if not by_ref and table[ROW].null_count():
            raise UserError(f"{file}: a row is not a whole number; rows of a request count from 0")
        if by_ref:
            outcomes.keys = [REF]
        known = table.drop_nulls([*outcomes.keys, target])
        outcomes.table = known.unique(outcomes.keys, keep="last", maintain_order=True)
        if unknown := len(table) - len(known):
            outcomes.notes.append(f"{unknown:,} line(s) of {file} have no outcome yet")
        if repeated := len(known) - len(outcomes.table):
            outcomes.notes.append(f"{repeated:,} outcome(s) are repeated: the last of each counts")
        if known.is_empty():
            raise UserError(f"{file} has no outcomes: fill in {target}")
        return outcomes

    def add(self, rows: pl.DataFrame) -> None:
        """Join the outcomes of some rows."""
        predicted = [name for name in (TIME, LABEL, PREDICTION, SET) if name in rows.columns]
        if self.target in rows.columns:  # of a file, which brings them
            brought = [name for name in self.others if name in rows.columns]
            known = rows.drop_nulls(self.target)
            self.found.append(known.select(*predicted, *brought, self.target))
        else:
            asked = rows.select(*self.keys, *predicted)
            self.found.append(asked.join(self.table, on=self.keys, maintain_order="left"))

    def joined(self, rows: int) -> pl.DataFrame:
        """Return all predictions with a known outcome, and note their share of so many rows."""
        joined = pl.concat(self.found)
        if self.keys[0] not in joined.columns:
            return joined
        predictions = len(joined)
        joined = joined.unique(self.keys, keep="last", maintain_order=True)
        if repeated := predictions - len(joined):
            self.notes.append(
                f"{repeated:,} prediction(s) have the id of another: the last of each counts"
            )
        self.notes.append(f"{len(joined):,} of {rows:,} predictions have a known outcome")
        if unmatched := len(self.table) - len(joined):
            lost = self.table.join(joined, on=self.keys, how="anti").row(0)
            first = (
                f"ref {lost[0]!r}" if self.keys == [REF] else f"request {lost[0]!r}, row {lost[1]}"
            )
            self.notes.append(
                f"{unmatched:,} of {len(self.table):,} outcomes have no prediction among these "
                f"rows; the first: {first}"
            )
        return joined


def explain_units(joined: pl.DataFrame, contract: Contract) -> list[str]:
    """Return a line if the interval is by row, although the rows were split by group."""
    group = contract.names("group")
    if not group or group[0] in joined.columns:
        return []
    return [
        f"the 95% CI is by row, and too narrow where rows of one {group[0]} are alike: add the "
        f"column {group[0]} to the outcomes"
    ]


def explain_weights(joined: pl.DataFrame, contract: Contract, manifest: Manifest) -> list[str]:
    """Return a line on whether outcomes are weighted, if rows were."""
    weight = contract.names("weight")
    if not weight:
        return []
    if weight[0] in joined.columns:
        return [f"the metrics are weighted by {weight[0]}, as those of the test set are"]
    compared = "as in the score of the test set beside it"
    if "unweighted" not in manifest.metrics:
        compared = "and the bundle has no such score of the test set to compare with"
    return [f"the outcomes have no column {weight[0]}, so that each counts once, {compared}"]


def explain_new_classes(joined: pl.DataFrame, contract: Contract, manifest: Manifest) -> list[str]:
    """Return a line on outcomes of classes that the model does not know; none if it knows all."""
    if not manifest.classes:
        return []
    outcome = joined[contract.target].cast(pl.String)
    new = outcome.filter(~outcome.is_in(manifest.classes))
    if new.is_empty():
        return []
    return [f"{len(new):,} outcome(s) count as wrong: the model does not know the class {new[0]!r}"]
