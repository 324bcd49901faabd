"""Validation: the raw table against the contract, to a typed table."""

from __future__ import annotations

from collections.abc import Mapping

import pandera.polars as pa
import polars as pl

from .columns import BaseColumn
from .contract import Contract
from .errors import UserError

SHOWN = 50


def validate(raw: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """Check the raw table and give its columns their types.

    Returns
    -------
    DataFrame
        The contract's columns in its order, and the table's rows in theirs.

    Raises
    ------
    UserError
        With every violation: line of the file (the header is line 1), column and value.
    """
    unknown = sorted(set(raw.columns) - set(contract.columns))
    absent = [name for name in contract.columns if name not in raw.columns]
    problems = [f"{name}: in the data but not in the contract" for name in unknown]
    problems += [f"{name}: in the contract but not in the data" for name in absent]
    if problems:
        raise UserError(report(problems))
    return give_types(raw, contract.columns)


def give_types(
    raw: pl.DataFrame, columns: Mapping[str, BaseColumn], first_line: int = 2
) -> pl.DataFrame:
    """Check and type the given columns, which the table must have.

    Parameters
    ----------
    first_line
        Line of the file that the table's first row stands on.

    Raises
    ------
    UserError
        With every violation.
    """
    known = raw.select(column.known(pl.col(name)).alias(name) for name, column in columns.items())
    typed = known.select(column.parse(pl.col(name)).alias(name) for name, column in columns.items())
    violations = []  # (row, column, what is wrong)
    for name, column in columns.items():
        unread = known[name].is_not_null() & typed[name].is_null()
        violations += [(row, name, f"is not a {column.type}") for row in unread.arg_true()]

    schema = pa.DataFrameSchema(
        {
            name: pa.Column(
                typed.schema[name],
                column.checks(),
                nullable=column.nullable and column.role != "target",
            )
            for name, column in columns.items()
        }
    )
    try:
        schema.validate(typed, lazy=True)
    except pa.errors.SchemaErrors as error:
        for case in error.failure_cases.iter_rows(named=True):
            row, name = case["index"], case["column"]
            if known[name][row] is None:
                violations.append((row, name, "is missing"))
            elif typed[name][row] is not None:  # else it is among the unread
                violations.append((row, name, f"fails {case['check']}"))
    if violations:
        problems = [
            f"line {row + first_line}, {name}: {raw[name][row]!r} {what}"
            for row, name, what in sorted(violations)
        ]
        raise UserError(report(problems))
    return typed


def report(problems: list[str]) -> str:
    """All problems, or as many as a screen holds."""
    more = len(problems) - SHOWN
    head = f"the data and the contract (schema.yaml) disagree in {len(problems)} place(s):"
    tail = [f"... and {more} more"] if more > 0 else []
    return "\n  ".join([head, *problems[:SHOWN], *tail])
