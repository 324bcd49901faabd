"""A look at one column: its rows as they were brought and as they are typed, and what is said."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from coldstart.contract.columns import parse_column


@dataclass
class ColumnProfile:
    """One column, as it was looked at.

    Attributes
    ----------
    raw
        The rows in detail, as text; null where empty.
    dtype
        The type in the file: text, but for Parquet, Excel and JSON.
    settings
        The column in the contract.
    values
        The rows in detail, typed; null where missing or not to be read.
    notes
        Reasons, for the comment beside the draft.
    doubts
        What a person should look at.
    """

    name: str
    raw: pl.Series
    dtype: pl.DataType
    settings: dict[str, Any] = field(default_factory=dict)
    values: pl.Series = field(default_factory=lambda: pl.Series(dtype=pl.Null))
    notes: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    @property
    def type(self) -> str:
        """Its type in the contract."""
        return str(self.settings["type"])

    @property
    def role(self) -> str:
        """Its role in the contract."""
        return str(self.settings.get("role", "feature"))

    @property
    def known(self) -> int:
        """How many of the rows in detail have a value."""
        return len(self.values) - self.values.null_count()

    @property
    def distinct(self) -> int:
        """How many different values there are."""
        return self.values.n_unique() - (self.values.null_count() > 0)

    def leave_out(self, role: str, reason: str) -> None:
        """Give it a role that keeps it from the model."""
        self.settings.update(role=role, reason=reason)

    def missing(self, spellings: Iterable[str]) -> None:
        """Count these spellings as missing."""
        spelled = [*self.settings.get("missing_values", []), *spellings]
        self.settings["missing_values"] = list(dict.fromkeys(spelled))
        self.read()

    def read(self) -> None:
        """Type the values by the settings."""
        if self.read_by != self.settings:
            self.read_by = dict(self.settings)
            _, self.values = typed(self.raw_frame, self.settings)

    @property
    def raw_frame(self) -> pl.DataFrame:
        """The rows as the contract's types read them."""
        return pl.DataFrame({"x": self.original})

    read_by: dict[str, Any] = field(default_factory=dict)
    original: pl.Series = field(default_factory=lambda: pl.Series(dtype=pl.Null))


def typed(frame: pl.DataFrame, settings: dict[str, Any]) -> tuple[pl.Series, pl.Series]:
    """The only column of a frame by the contract's own types: known values, and typed ones."""
    column, dtype = parse_column(settings), frame.dtypes[0]
    known = frame.select(column.known(pl.col("x"), dtype))
    return known.to_series(), known.select(column.typed(pl.col("x"), dtype)).to_series()


def words(name: str) -> list[str]:
    """The words of a column's name, in small letters."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    return [word for word in re.split(r"[^\w]+|_|(?<=\D)(?=\d)", apart.lower()) if word]


def share(look: ColumnProfile, pattern: str) -> float:
    """Share of the known spellings that match."""
    known = look.raw.drop_nulls().head(5_000)
    return int(known.str.contains(pattern).sum()) / len(known) if len(known) else 0.0
