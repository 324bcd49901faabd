"""Rows: what was brought, with the types of the contract, and marked so that it is known again."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import polars as pl
from tqdm import tqdm

from coldstart.contract._contract import Contract
from coldstart.data._validation import TableValidator, check_names
from coldstart.data.reading._read import RawTable
from coldstart.errors import UserError

ROW = "__row__"  # column with the number of the row in the table that was brought
ROW_HASH = "__copy__"  # column that is the same in rows that were brought as the same
SLICE = 200_000  # rows in memory at a time


class RowIdentifier:
    """Types raw rows, slice by slice, and adds the columns `ROW` and `ROW_HASH`.

    Parameters
    ----------
    names
        Of the raw table's columns.
    wanted
        Columns of the contract that are typed, if not all that are used. Without others that
        tell rows apart, there is no `ROW_HASH`.
    """

    def __init__(
        self, contract: Contract, names: list[str], wanted: set[str] | None = None
    ) -> None:
        columns = {
            name: column
            for name, column in contract.columns.items()
            if name not in contract.lags and name in (wanted or contract.used)
        }
        # A row without a target is no mistake; it has nothing to teach.
        target = columns[contract.target].model_copy(update={"nullable": True})
        self.validator = TableValidator(columns | {contract.target: target})
        # A number of the row would make every copy another row.
        self.identifying = [name for name in names if contract.columns[name].role != "id"]
        self.target = contract.target

    def __call__(self, raw: pl.DataFrame, first: int) -> pl.DataFrame:
        """Return the rows that have a target.

        Parameters
        ----------
        first
            Number of the first row.
        """
        row_ids = [pl.Series(ROW, np.arange(first, first + len(raw)))]
        if set(self.identifying) <= set(raw.columns):
            row_ids.append(raw.select(self.identifying).hash_rows().alias(ROW_HASH))
        return self.validator(raw).hstack(row_ids).drop_nulls(self.target)

    def coincidence(self, raw: pl.DataFrame) -> float:
        """How probable it is that two rows are the same by coincidence."""
        shares = (raw[name].unique_counts() / len(raw) for name in self.identifying)
        return math.prod(float((share**2).sum()) for share in shares)


def type_rows(
    raw: RawTable, contract: Contract, store: Callable[[Iterable[pl.DataFrame]], int]
) -> tuple[int, float]:
    """Type and mark the rows that have a target, a slice at a time: they need not fit into memory.

    Parameters
    ----------
    store
        Is given the slices; returns the number of their rows.

    Returns
    -------
    int, float
        How many rows they are, and how probable it is that two are the same by coincidence.

    Raises
    ------
    UserError
        If the table has other columns than the contract, or values that it forbids.
    """
    names = raw.frame.collect_schema().names()
    check_names(names, contract)
    identifier, coincidence = RowIdentifier(contract, names), 0.0
    validator = identifier.validator

    def typed() -> Iterator[pl.DataFrame]:
        nonlocal coincidence
        with tqdm(unit="row", unit_scale=True, disable=None, leave=False, desc="reading") as bar:
            for rows in raw.slices(SLICE):
                if validator.rows == 0:
                    coincidence = identifier.coincidence(rows)
                yield identifier(rows, validator.rows)
                bar.update(len(rows))

    kept = store(typed())
    validator.check(raw.locate)
    if not validator.rows:
        raise UserError("the table has columns but no rows")
    if not kept:
        raise UserError(
            f"{contract.target} is missing in every row; give another column the role target"
        )
    if missing := validator.rows - kept:
        print(f"{missing} of {validator.rows} rows have no {contract.target} and are left out")
    return kept, coincidence
