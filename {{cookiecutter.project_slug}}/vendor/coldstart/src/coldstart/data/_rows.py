"""Rows: raw rows with the types of the schema, and with identifiers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import polars as pl
from tqdm import tqdm

from coldstart.contract._contract import Contract
from coldstart.contract.columns import BaseColumn
from coldstart.data._validation import TableValidator, check_names
from coldstart.data.reading._read import RawTable
from coldstart.errors import UserError

ROW = "__row__"  # column with the number of the row in the table that was brought
ROW_HASH = "__copy__"  # column that is the same in rows that were brought as the same


class RowIdentifier:
    """Convert raw rows to the schema's types, in slices, and add the columns `ROW` and `ROW_HASH`.

    Parameters
    ----------
    contract : Contract
        What the columns are.
    names : list of str
        Columns of the raw table.
    wanted : set of str, optional
        Columns to convert. By default all that are used. `ROW_HASH` is added only if the slices
        hold all columns that identify a row.
    """

    def __init__(
        self, contract: Contract, names: list[str], wanted: set[str] | None = None
    ) -> None:
        columns = {
            name: column
            for name, column in contract.columns.items()
            if name not in contract.lags and name in (wanted or contract.used)
        }
        # A row without a target is left out, which is not a violation.
        target = columns[contract.target].model_copy(update={"nullable": True})
        self.validator = TableValidator(columns | {contract.target: target})
        self.slice_rows = slice_rows(columns.values())
        # A number of the row would make every copy another row.
        self.identifying = [name for name in names if contract.columns[name].role != "id"]
        self.target = contract.target
        self.keeps_all = bool(contract.lags)  # a row without a target is a step of its series
        self.with_target = 0  # rows so far

    def __call__(self, raw: pl.DataFrame, first: int) -> pl.DataFrame:
        """Return the rows that have a target, or all rows if there are lags.

        Parameters
        ----------
        raw : polars.DataFrame
            Raw rows.
        first : int
            Number of the first row in the table.

        Returns
        -------
        polars.DataFrame
            Typed rows.
        """
        row_ids = [pl.Series(ROW, np.arange(first, first + len(raw)))]
        if set(self.identifying) <= set(raw.columns):
            row_ids.append(raw.select(self.identifying).hash_rows().alias(ROW_HASH))
        rows = self.validator(raw).hstack(row_ids)
        self.with_target += len(rows) - rows[self.target].null_count()
        return rows if self.keeps_all else rows.drop_nulls(self.target)

    def coincidence(self, raw: pl.DataFrame) -> float:
        """Return the probability that two rows are equal by coincidence."""
        shares = (raw[name].unique_counts() / len(raw) for name in self.identifying)
        return math.prod(float((share**2).sum()) for share in shares)


def slice_rows(columns: Iterable[BaseColumn]) -> int:
    """Return how many rows are in memory at a time."""
    return min(column.slice_rows for column in columns)


def check_weights(weights: pl.Series) -> None:
    """Check that each row has a weight.

    Raises
    ------
    UserError
        If a weight is missing or negative.
    """
    if wrong := int((weights.is_null() | (weights < 0)).sum()):
        raise UserError(
            f"{weights.name}: a column with the role weight needs a value of 0 or more in each "
            f"row, and {wrong:,} rows have none or a negative one"
        )


def type_rows(
    raw: RawTable, contract: Contract, store: Callable[[Iterable[pl.DataFrame]], int]
) -> tuple[int, float]:
    """Convert the rows that have a target, in slices, so that they need not fit into memory.

    If there are lags, rows without a target are kept: they are steps of their series.

    Parameters
    ----------
    raw : RawTable
        The table as it is in the files.
    contract : Contract
        What the columns are.
    store : callable
        Called with an iterable of slices. Returns the number of their rows.

    Returns
    -------
    rows : int
        Number of stored rows.
    coincidence : float
        Probability that two rows are equal by coincidence.

    Raises
    ------
    UserError
        If the table's columns or values violate the schema.
    """
    names = raw.frame.collect_schema().names()
    check_names(names, contract)
    identifier, coincidence = RowIdentifier(contract, names), 0.0
    validator = identifier.validator

    def typed() -> Iterator[pl.DataFrame]:
        nonlocal coincidence
        with tqdm(unit="row", unit_scale=True, disable=None, leave=False, desc="reading") as bar:
            for rows in raw.slices(identifier.slice_rows):
                if validator.rows == 0:
                    coincidence = identifier.coincidence(rows)
                yield identifier(rows, validator.rows)
                bar.update(len(rows))

    kept = store(typed())
    validator.check(raw.locate)
    if not validator.rows:
        raise UserError("the table has columns but no rows")
    if not identifier.with_target:
        raise UserError(
            f"{contract.target} is missing in every row; give another column the role target"
        )
    if missing := validator.rows - identifier.with_target:
        print(f"{missing} of {validator.rows} rows have no {contract.target} and are left out")
    return kept, coincidence
