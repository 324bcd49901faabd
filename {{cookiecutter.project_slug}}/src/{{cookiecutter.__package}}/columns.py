"""The types that a column can have.

A type is one class. It says how a value is read from text, how it is checked,
how it is encoded for a model, and how the API asks for it. A new type is one
more class here and its name in `Column`.

This module is loaded by the API, so polars and pandera are imported only by
the methods that training calls.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

if TYPE_CHECKING:
    import polars as pl
    from pandera.polars import Check

Role = Literal["feature", "target", "id", "time", "group", "ignore"]

MISSING = "__missing__"  # stands for a null string inside the graph, where strings cannot be null


class BaseColumn(BaseModel):
    """What every column has, whatever its type.

    Attributes
    ----------
    role
        What the column is for. Only a `feature` is shown to a model; `time` and
        `group` decide the split; `id` and `ignore` are kept out.
    description
        Shown in the API's documentation.
    reason
        Why the column is left out, where that is not obvious.
    nullable
        Whether a value may be missing.
    missing_values
        Spellings of "missing" in this column, besides the empty text.
    example
        A typical value, used for the example request.
    """

    model_config = ConfigDict(extra="forbid")
    matrix: ClassVar[Literal["numbers", "strings"]]

    type: str
    role: Role = "feature"
    description: str = ""
    reason: str = ""
    nullable: bool = True
    missing_values: list[str] = []
    example: Any = None

    @model_validator(mode="after")
    def _example_is_one(self) -> Self:
        if self.example is not None:
            TypeAdapter(self.request_type()).validate_python(self.example)
        return self

    def known(self, raw: pl.Expr) -> pl.Expr:
        """Strip blanks, and turn empty text and `missing_values` into null."""
        text = raw.str.strip_chars()
        return text.replace(dict.fromkeys(["", *self.missing_values]))

    def parse(self, text: pl.Expr) -> pl.Expr:
        """Text to typed value; null where the text cannot be read as this type."""
        raise NotImplementedError

    def checks(self) -> list[Check]:
        """Pandera checks on the typed values."""
        return []

    def encode(self, values: Sequence[Any]) -> list[Sequence[Any]]:
        """Typed values, None where missing, to one or more columns of the matrix.

        In the matrix of numbers None stays, and becomes NaN there.
        """
        return [values]

    def request_type(self) -> Any:
        """The type, with limits, that the API asks for."""
        raise NotImplementedError

    def typical(self) -> Any:
        """A value for the case that the contract gives no example."""
        raise NotImplementedError


class Number(BaseColumn):
    """A quantity.

    Attributes
    ----------
    unit
        Unit of measurement, for people.
    minimum, maximum
        Inclusive limits: a value outside is an error in the data, not an outlier.
    """

    matrix = "numbers"

    type: Literal["number"]
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None

    @model_validator(mode="after")
    def _limits_leave_room(self) -> Self:
        if None not in (self.minimum, self.maximum) and self.minimum > self.maximum:  # type: ignore[operator]
            raise ValueError(f"minimum {self.minimum} is above maximum {self.maximum}")
        return self

    def parse(self, text: pl.Expr) -> pl.Expr:
        import polars as pl

        number = text.cast(pl.Float64, strict=False)
        return pl.when(number.is_finite()).then(number)

    def checks(self) -> list[Check]:
        from pandera.polars import Check

        at_least = [] if self.minimum is None else [Check.ge(self.minimum)]
        at_most = [] if self.maximum is None else [Check.le(self.maximum)]
        return at_least + at_most

    def typical(self) -> float:
        return next((limit for limit in (self.minimum, self.maximum) if limit is not None), 0.0)

    def request_type(self) -> Any:
        unit: Any = {"unit": self.unit} if self.unit else None
        return Annotated[
            float,
            Field(ge=self.minimum, le=self.maximum, allow_inf_nan=False, json_schema_extra=unit),
        ]


class Category(BaseColumn):
    """One of several labels.

    Attributes
    ----------
    categories
        The labels; left empty where there are too many to list.
    unseen
        Whether a label that is not listed is answered or refused.
    """

    matrix = "strings"

    type: Literal["category"]
    categories: list[str] = []
    unseen: Literal["allow", "refuse"] = "allow"

    def parse(self, text: pl.Expr) -> pl.Expr:
        return text

    def checks(self) -> list[Check]:
        from pandera.polars import Check

        closed = self.categories and self.unseen == "refuse"
        return [Check.isin(self.categories)] if closed else []

    def encode(self, values: Sequence[Any]) -> list[Sequence[Any]]:
        return [[value or MISSING for value in values]]

    def typical(self) -> str:
        return self.categories[0] if self.categories else "text"

    def request_type(self) -> Any:
        if self.categories and self.unseen == "refuse":
            return Literal[tuple(self.categories)]
        known: Any = {"categories": self.categories} if self.categories else None
        return Annotated[str, Field(max_length=1000, json_schema_extra=known)]


class Boolean(BaseColumn):
    """True or false.

    Attributes
    ----------
    true_values, false_values
        The spellings of each. Where one list is empty, it means every other value.
    """

    matrix = "numbers"

    type: Literal["boolean"]
    true_values: list[str] = ["true", "True", "TRUE", "yes", "Yes", "YES", "1"]
    false_values: list[str] = ["false", "False", "FALSE", "no", "No", "NO", "0"]

    def parse(self, text: pl.Expr) -> pl.Expr:
        import polars as pl

        true, false = text.is_in(self.true_values), text.is_in(self.false_values)
        if not self.true_values:
            return ~false
        if not self.false_values:
            return true
        return pl.when(true).then(True).when(false).then(False)

    def typical(self) -> bool:
        return False

    def request_type(self) -> Any:
        return bool


class Date(BaseColumn):
    """A day. As a feature it is the season and the weekday.

    The year is left out on purpose: a model is asked about days later than any
    it was fitted on.

    Attributes
    ----------
    format
        How the text is written, in strftime's letters.
    """

    matrix = "numbers"

    type: Literal["date"]
    format: str = "%Y-%m-%d"

    def parse(self, text: pl.Expr) -> pl.Expr:
        import polars as pl

        return text.str.to_datetime(self.format, strict=False).cast(pl.Date)

    def encode(self, values: Sequence[Any]) -> list[Sequence[Any]]:
        days: list[dt.date | None] = list(values)
        angles = [day and 2 * math.pi * day.timetuple().tm_yday / 365.25 for day in days]
        return [
            [angle and math.sin(angle) for angle in angles],
            [angle and math.cos(angle) for angle in angles],
            [day and day.weekday() for day in days],
        ]

    def typical(self) -> str:
        return "2024-06-30"

    def request_type(self) -> Any:
        return dt.date


class Text(BaseColumn):
    """Free text: as a feature, the weight of each of its words in lower case."""

    matrix = "strings"

    type: Literal["text"]

    def parse(self, text: pl.Expr) -> pl.Expr:
        return text

    def encode(self, values: Sequence[Any]) -> list[Sequence[Any]]:
        return [[(value or "").lower() for value in values]]

    def typical(self) -> str:
        return "text"

    def request_type(self) -> Any:
        return Annotated[str, Field(max_length=100_000)]


Column = Annotated[Number | Category | Boolean | Date | Text, Field(discriminator="type")]
