"""What profiling finds: about a column, about leaks, and about the table."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from coldstart.contract.columns import parse_column


@dataclass
class Choice:
    """A decision that was close.

    Attributes
    ----------
    why : str
        Why it was made like this.
    other : dict
        Settings that read the column in the other way.
    """

    why: str
    other: dict[str, Any]


@dataclass
class ColumnProfile:
    """What is found about one column.

    Attributes
    ----------
    name : str
        Name of the column.
    raw : Series of str
        The sampled rows as text, null where empty.
    dtype : polars.DataType
        Type in the file, which is text except for Parquet, Excel and JSON.
    settings : dict
        Settings of the column for schema.yaml.
    values : Series
        The sampled rows with the column's type, null where missing or unreadable.
    notes : list of str
        Reasons, for comments in the draft.
    warnings : list of str
        What the user should check.
    choice : Choice or None
        How the column may be read otherwise, if that was a close decision.
    """

    name: str
    raw: pl.Series
    dtype: pl.DataType
    settings: dict[str, Any] = field(default_factory=dict)
    values: pl.Series = field(default_factory=lambda: pl.Series(dtype=pl.Null))
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    choice: Choice | None = None

    @property
    def type(self) -> str:
        """Type in the schema."""
        return str(self.settings["type"])

    @property
    def role(self) -> str:
        """Role in the schema; `ignore` of what is available too late to be a feature."""
        if self.settings.get("available") in ("with", "after"):
            return "ignore"
        return str(self.settings.get("role", "feature"))

    @property
    def personal(self) -> bool:
        """Whether the column identifies a person."""
        return "identifies a person" in self.settings.get("reason", "")

    @property
    def known(self) -> int:
        """Number of sampled rows with a value."""
        return len(self.values) - self.values.null_count()

    @property
    def distinct(self) -> int:
        """Number of distinct values."""
        return self.values.n_unique() - (self.values.null_count() > 0)

    def leave_out(self, role: str, reason: str) -> None:
        """Assign a role that keeps the column from the model."""
        self.settings.update(role=role, reason=reason)

    def missing(self, spellings: Iterable[str]) -> None:
        """Count these spellings as missing."""
        spelled = [*self.settings.get("missing_values", []), *spellings]
        self.settings["missing_values"] = list(dict.fromkeys(spelled))
        self.read()

    def read(self) -> None:
        """Convert the values by the settings."""
        if self.type == "image":  # the paths; training reads the pictures
            self.values = self.raw
        elif self.read_by != self.settings:
            self.read_by = dict(self.settings)
            _, self.values = typed(self.raw_frame, self.settings)

    @property
    def raw_frame(self) -> pl.DataFrame:
        """The rows as the schema's types read them."""
        return pl.DataFrame({"x": self.original})

    read_by: dict[str, Any] = field(default_factory=dict)
    original: pl.Series = field(default_factory=lambda: pl.Series(dtype=pl.Null))


@dataclass
class Leak:
    """A column that should be left out, or checked.

    Attributes
    ----------
    column : str
        Name of the column.
    score : float
        Score that the column alone reaches or, where `why` says so, its missingness.
    why : str
        The evidence.
    """

    column: str
    score: float
    why: str


@dataclass
class Findings:
    """How well columns predict the target.

    Attributes
    ----------
    metric : str
        Name of the score.
    alone : dict of str to float
        Score of each feature alone.
    together : float
        Score of all features that are kept.
    leaks : list of Leak
        Columns to leave out.
    warnings : list of Leak
        Columns that are strong but plausible, and kept.
    doubts : dict of str to str
        Columns that may be known only after the target, and why.
    group : str
        Column whose groups were kept together in cross-validation, if rows are split by group.
    """

    metric: str = ""
    alone: dict[str, float] = field(default_factory=dict)
    together: float = 0.0
    leaks: list[Leak] = field(default_factory=list)
    warnings: list[Leak] = field(default_factory=list)
    doubts: dict[str, str] = field(default_factory=dict)
    group: str = ""


@dataclass
class TableProfile:
    """What is found about a table.

    Attributes
    ----------
    profiles : dict of str to ColumnProfile
        The columns, by name.
    target : str
        Name of the target.
    rows, detail : int
        Number of rows, and of those that were sampled for details.
    reading : list of str
        How the files are written.
    findings : Findings
        How well columns predict the target.
    missing_target, copies : int
        Rows without a target, and rows of the sample that are exact copies of another.
    warnings : list of str
        What the user should check about the table.
    split : str
        How rows will be split, and why.
    """

    profiles: dict[str, ColumnProfile]
    target: str
    rows: int
    sample_rows: int
    reading: list[str]
    findings: Findings = field(default_factory=Findings)
    missing_target: int = 0
    copies: int = 0
    warnings: list[str] = field(default_factory=list)
    split: str = ""

    def with_role(self, *names: str) -> list[ColumnProfile]:
        """Return the columns that have one of some roles."""
        return [profile for profile in self.profiles.values() if profile.role in names]

    def with_type(self, name: str) -> list[ColumnProfile]:
        """Return the columns of a type."""
        return [profile for profile in self.profiles.values() if profile.type == name]


def typed(frame: pl.DataFrame, settings: dict[str, Any]) -> tuple[pl.Series, pl.Series]:
    """Convert the only column of a frame: to known values, and to typed ones."""
    column, dtype = parse_column(settings), frame.dtypes[0]
    known = frame.select(column.known(pl.col("x"), dtype))
    return known.to_series(), known.select(column.typed(pl.col("x"), dtype)).to_series()


def words(name: str) -> list[str]:
    """Split a column's name into words, in lower case."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    return [word for word in re.split(r"[^\w]+|_|(?<=\D)(?=\d)", apart.lower()) if word]


def share(profile: ColumnProfile, pattern: str) -> float:
    """Return the share of the known spellings that match a pattern."""
    known = profile.raw.drop_nulls().head(5_000)
    return int(known.str.contains(pattern).sum()) / len(known) if len(known) else 0.0
