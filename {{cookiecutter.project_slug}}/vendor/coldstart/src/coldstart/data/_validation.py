"""Validation: a raw table against the schema, to typed values."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import polars as pl

from coldstart.contract._contract import Contract
from coldstart.contract.columns import BaseColumn
from coldstart.errors import UserError

SHOWN = 20
SHOWN_CHARACTERS = 100


@dataclass
class Violation:
    """A rule of the schema that is violated: how often, and where first.

    Attributes
    ----------
    column, rule : str
        The column, and what its values are ("not a number").
    fix : str
        What to change in the schema.
    row : int
        Number of the first row that violates it, from 0.
    value : str
        The value there.
    count : int
        Number of rows that violate it.
    """

    column: str
    rule: str
    fix: str
    row: int
    value: str
    count: int = 0


class TableValidator:
    """Converts a raw table to the schema's types, in slices, and counts violations.

    Parameters
    ----------
    columns : mapping
        The columns to convert, by name. Each slice must have them.
    """

    def __init__(self, columns: Mapping[str, BaseColumn]) -> None:
        self.columns = columns
        self.rows = 0
        self.violations: dict[tuple[str, str], Violation] = {}  # by column and rule

    def __call__(self, raw: pl.DataFrame) -> pl.DataFrame:
        """Convert the next slice. Values that cannot be read become null, and are counted."""
        dtypes = {name: raw.schema[name] for name in self.columns}
        known = raw.select(
            column.known(pl.col(name), dtypes[name]).alias(name)
            for name, column in self.columns.items()
        )
        typed = known.select(
            column.typed(pl.col(name), dtypes[name]).alias(name)
            for name, column in self.columns.items()
        )
        for name, column in self.columns.items():
            if known[name].null_count() and not column.nullable:
                fix = "nullable: true, if values may be missing"
                self._note(name, "missing", fix, known[name].is_null(), raw)
            if typed[name].null_count() > known[name].null_count():
                unread = typed[name].is_null() & known[name].is_not_null()
                fix = f"{column.hint}, or missing_values"
                article = "an" if column.type[0] in "aeiou" else "a"
                self._note(name, f"not {article} {column.type}", fix, unread, raw)
            rules = column.violations(pl.col(name))
            for rule, broken in rules.items():
                where = typed.select(broken.fill_null(False)).to_series()
                self._note(name, rule, f"{column.remedy}, or correct the data", where, raw)
        self.rows += len(raw)
        return typed

    def _note(self, name: str, rule: str, fix: str, broken: pl.Series, raw: pl.DataFrame) -> None:
        """Count the rows that violate a rule."""
        if not broken.any():
            return
        row = broken.arg_max()
        assert row is not None
        first = Violation(name, rule, fix, self.rows + row, shorten(repr(raw[name][row])))
        self.violations.setdefault((name, rule), first).count += int(broken.sum())

    def check(
        self,
        locate: Callable[[int], str],
        head: str = "the data does not match schema.yaml:",
        advice: str = "",
    ) -> None:
        """Refuse the table if a rule is violated.

        Parameters
        ----------
        locate : callable
            Returns the file and line of a row, by its number.
        head : str
            What does not match.
        advice : str
            What to do about it. By default what to change in schema.yaml.

        Raises
        ------
        UserError
            With a line for each column and rule: how often, where first, what to do.
        """
        lines = [
            f"{violation.column}: {violation.count} value(s) {violation.rule}, the first is "
            f"{violation.value} ({locate(violation.row)}); {advice or f'change {violation.fix}'}"
            for violation in self.violations.values()
        ]
        if lines:
            raise UserError(format_list(head, lines))


def shorten(value: str) -> str:
    """Return a value as a line shows it: of a long one, the beginning."""
    return value if len(value) <= SHOWN_CHARACTERS else f"{value[:SHOWN_CHARACTERS]}..."


def check_names(found: Iterable[str], contract: Contract) -> None:
    """Refuse a table whose columns are not those of the schema.

    Raises
    ------
    UserError
        With every column that only one of them has, and the nearest name.
    """
    names, used = dict.fromkeys(found), contract.used - set(contract.lags)
    unknown = [name for name in names if name not in contract.columns]
    absent = [name for name in contract.columns if name in used and name not in names]
    problems = []
    for name in unknown:
        near = difflib.get_close_matches(name, absent, 1)
        hint = f"; is it {near[0]}?" if near else "; describe it there (role: ignore, if unused)"
        problems.append(f"{name}: in the data but not in schema.yaml{hint}")
    problems += [f"{name}: in schema.yaml but not in the data" for name in absent]
    if problems:
        raise UserError(format_list("the data does not match schema.yaml:", problems))


def format_list(head: str, lines: list[str]) -> str:
    """Format lines below a heading, as many as fit a screen."""
    more = [f"... and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return "\n  ".join([head, *lines[:SHOWN], *more])
