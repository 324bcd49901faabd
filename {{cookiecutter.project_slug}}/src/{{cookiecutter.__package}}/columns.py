"""The types that a column can have.

A type is one class. It says how a value is read from text, how it is checked,
how it is encoded for a model, and how the API asks for it. A new type is one
more class here and its name in `Column`.

This module is loaded by the API, so polars and pandera are imported only by
the methods that training calls.
"""

from __future__ import annotations

import datetime as dt
import itertools
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

if TYPE_CHECKING:
    import polars as pl

Role = Literal["feature", "target", "id", "time", "group", "series", "ignore"]

DAY_0 = dt.date(2000, 1, 1).toordinal()
NOT_FINITE = [math.nan, math.inf, -math.inf]
MISSING = "__missing__"  # stands for a null string inside the graph, where strings cannot be null


class BaseColumn(BaseModel):
    """What every column has, whatever its type.

    Attributes
    ----------
    role
        What the column is for. A `feature` is shown to a model; `time` and `group`
        decide the split; `series` names the series that a forecasting table holds,
        and is a feature as well; `id` and `ignore` are kept out.
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

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)
    matrix: ClassVar[Literal["numbers", "strings"]]
    mend: ClassVar[str] = ""  # what to set where a value cannot be read

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

    @property
    def is_feature(self) -> bool:
        """Whether a model is shown the column."""
        return self.role in ("feature", "series")

    def is_typed(self, dtype: pl.DataType) -> bool:
        """Whether a file's column of this type (Parquet has types) needs no parsing."""
        import polars as pl

        return dtype == pl.String

    def known(self, raw: pl.Expr, dtype: pl.DataType) -> pl.Expr:
        """Null where the value is missing; else the typed value, or text without blanks."""
        import polars as pl

        if self.is_typed(dtype) and dtype != pl.String:
            missing = raw.cast(pl.String).is_in(self.missing_values)
            return pl.when(~missing).then(raw) if self.missing_values else raw
        text = raw.cast(pl.String).str.strip_chars()
        return text.replace(dict.fromkeys(["", *self.missing_values]))

    def typed(self, known: pl.Expr, dtype: pl.DataType) -> pl.Expr:
        """Known values to typed ones; null where one cannot be read as this type."""
        return self.convert(known) if self.is_typed(dtype) else self.parse(known)

    def convert(self, values: pl.Expr) -> pl.Expr:
        """Typed values of a file to this column's type."""
        return values

    def parse(self, text: pl.Expr) -> pl.Expr:
        """Text to typed value; null where the text cannot be read as this type."""
        raise NotImplementedError

    def breaches(self, values: pl.Expr) -> Mapping[str, pl.Expr]:
        """For each rule on typed values: how it is told, and where it is broken."""
        return {}

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
    decimal, thousands
        How the text is written: the decimal mark, and what stands between thousands
        (a blank stands for every kind of blank).
    affixes
        Texts around the number that say nothing, such as a currency. `()` means that
        parentheses make a number negative, `-` that a minus may follow it.
    multipliers
        Endings that multiply, such as `{k: 1000}`.
    lag_of, steps
        Makes this a derived column, which files need not have: the value of another
        column so many rows earlier, in order of time and within the series.
    season
        Of a target: how many rows earlier the value is that a naive forecast repeats.
    """

    matrix = "numbers"
    mend = "how numbers are written (decimal, thousands, affixes, multipliers)"

    type: Literal["number"]
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    decimal: Literal[".", ","] = "."
    thousands: Literal["", ",", ".", " ", "'", "_"] = ""
    affixes: list[str] = []
    multipliers: dict[str, float] = {}
    lag_of: str | None = None
    steps: int = Field(1, gt=0)
    season: int | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _settings_agree(self) -> Self:
        if None not in (self.minimum, self.maximum) and self.minimum > self.maximum:  # type: ignore[operator]
            raise ValueError(f"minimum {self.minimum} is above maximum {self.maximum}")
        if self.decimal == self.thousands:
            raise ValueError(f"decimal and thousands cannot both be {self.decimal!r}")
        return self

    def is_typed(self, dtype: pl.DataType) -> bool:
        import polars as pl

        return dtype.is_numeric() or dtype == pl.Boolean

    def convert(self, values: pl.Expr) -> pl.Expr:
        import polars as pl

        return values.cast(pl.Float64, strict=False).replace(NOT_FINITE, None)

    def parse(self, text: pl.Expr) -> pl.Expr:
        import polars as pl

        factor: pl.Expr | float = 1.0
        if "()" in self.affixes:
            factor = pl.when(text.str.starts_with("(")).then(-factor).otherwise(factor)
            text = text.str.strip_chars("()")
        # The longest first: one may be the beginning of another.
        for affix in sorted(set(self.affixes) - {"()", "-"}, key=lambda affix: -len(affix)):
            text = text.str.replace(affix, "", literal=True)
        if self.affixes:
            text = text.str.strip_chars()
        if "-" in self.affixes:
            behind = text.str.ends_with("-")
            factor = pl.when(behind).then(-factor).otherwise(factor)
            text = text.str.strip_suffix("-")
        for ending, multiplier in self.multipliers.items():
            matches = text.str.ends_with(ending)
            factor = pl.when(matches).then(factor * multiplier).otherwise(factor)
            text = pl.when(matches).then(text.str.strip_suffix(ending)).otherwise(text)
            text = text.str.strip_chars_end()
        if self.thousands:
            blanks = r"[\s\u00a0\u2009\u202f]"
            separator = blanks if self.thousands == " " else re.escape(self.thousands)
            rest = "(" + re.escape(self.decimal) + r"\d*)?([eE][+-]?\d+)?$"
            # Where the separators are elsewhere than between thousands it is no such number.
            groups = "(" + separator + r"\d{2,3})*" + separator + r"\d{3}"
            grouped = r"^[+-]?\d{1,3}" + groups + rest
            fits = text.str.contains(grouped) | text.str.contains(r"^[+-]?\d*" + rest)
            text = pl.when(fits).then(text.str.replace_all(separator, ""))
        if self.decimal == ",":
            text = pl.when(~text.str.contains(".", literal=True)).then(
                text.str.replace(",", ".", literal=True)
            )
        number = text.cast(pl.Float64, strict=False)
        if isinstance(factor, pl.Expr):
            number = number * factor
        return number.replace(NOT_FINITE, None)

    def breaches(self, values: pl.Expr) -> Mapping[str, pl.Expr]:
        rules = {}
        if self.minimum is not None:
            rules[f"below the minimum {self.minimum:g}"] = values < self.minimum
        if self.maximum is not None:
            rules[f"above the maximum {self.maximum:g}"] = values > self.maximum
        return rules

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

    def breaches(self, values: pl.Expr) -> Mapping[str, pl.Expr]:
        if not self.categories or self.unseen == "allow":
            return {}
        return {"not one of the categories": ~values.is_in(self.categories)}

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
    mend = "true_values and false_values"

    type: Literal["boolean"]
    true_values: list[str] = ["true", "True", "TRUE", "yes", "Yes", "YES", "1"]
    false_values: list[str] = ["false", "False", "FALSE", "no", "No", "NO", "0"]

    def is_typed(self, dtype: pl.DataType) -> bool:
        import polars as pl

        return dtype == pl.Boolean

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
    """A day, or a day and a time. As a feature it is calendar and elapsed time.

    The calendar is the season, the weekday and, where there is one, the time of day.

    Attributes
    ----------
    format
        How the text is written, in strftime's letters, or `unix` for seconds since
        1970 (`unix ms` for milliseconds), or `year` for decimal years (1949.5).
        Of several the first that fits counts. One
        that has an hour makes the column a day and a time.
    calendar
        With the role time: whether the calendar is a feature. Elapsed time is not,
        since a model is asked about days later than any it was fitted on.
    """

    matrix = "numbers"
    mend = "format (it may be a list)"

    type: Literal["date"]
    format: str | list[str] = "%Y-%m-%d"
    calendar: bool = False

    @property
    def is_feature(self) -> bool:
        return super().is_feature or (self.role == "time" and self.calendar)

    @property
    def formats(self) -> list[str]:
        """All formats."""
        return [self.format] if isinstance(self.format, str) else self.format

    @property
    def has_time(self) -> bool:
        """Whether values have a time of day."""
        return any(re.search(r"%[HIkcsTRX]|unix", format) for format in self.formats)

    def is_typed(self, dtype: pl.DataType) -> bool:
        return dtype.is_temporal()

    def convert(self, values: pl.Expr) -> pl.Expr:
        import polars as pl

        return values.cast(pl.Datetime("us")) if self.has_time else values.cast(pl.Date)

    def parse(self, text: pl.Expr) -> pl.Expr:
        import polars as pl

        return self.convert(pl.coalesce([self._parse(text, format) for format in self.formats]))

    def _parse(self, text: pl.Expr, format: str) -> pl.Expr:
        import polars as pl

        if format.startswith("unix"):
            unit: Any = "ms" if format.endswith("ms") else "s"
            number = text.cast(pl.Float64, strict=False).cast(pl.Int64, strict=False)
            return pl.from_epoch(number, unit).cast(pl.Datetime("us"))
        if format == "year":
            decimal = text.cast(pl.Float64, strict=False)
            months = (decimal - decimal.floor()) * 12 + 0.01  # 1949.083 is written for 1949 1/12
            day = ((months - months.floor()) * 30).floor() + 1
            return pl.datetime(decimal.floor().cast(pl.Int32), months.floor() + 1, day)
        # What is left out is the first month, the first day, the full hour.
        for parts, letter, first in (("mbBhjDFxUW", "m", "1"), ("djeDFxua", "d", "1")):
            if not re.search(f"%-?[{parts}]", format):
                format, text = f"{format} %{letter}", text + f" 0{first}"
        if re.search("%-?[HI]", format) and not re.search("%-?M", format):
            format, text = f"{format} %M", text + " 00"
        date = text.str.to_datetime(
            format,
            time_unit="us",
            strict=False,
            ambiguous="null",
            cache=False,  # looking a text up takes longer than reading it
        )
        if "%z" in format or "%:z" in format or "%#z" in format:
            date = date.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return date

    def encode(self, values: Sequence[Any]) -> list[Sequence[Any]]:
        days: list[dt.date | None] = list(values)
        years = [day and 2 * math.pi * day.timetuple().tm_yday / 365.25 for day in days]
        columns: list[Sequence[Any]] = [
            [angle and math.sin(angle) for angle in years],
            [angle and math.cos(angle) for angle in years],
            [day and day.weekday() for day in days],
        ]
        if self.has_time:
            columns.append([time and time.hour + time.minute / 60 for time in values])
        if self.role != "time":
            columns.append([day and (day.toordinal() - DAY_0) / 365.25 for day in days])
        return columns

    def typical(self) -> str:
        return "2024-06-30T12:00:00" if self.has_time else "2024-06-30"

    def request_type(self) -> Any:
        return dt.datetime if self.has_time else dt.date


class Text(BaseColumn):
    """Free text: as a feature, the weights of its words and of its pairs of words.

    The graph finds words by plain patterns in ASCII only, so letters lose their
    accents, and each letter of another script is spelled as its code. Each word counts
    once a text, and a pair becomes a word of its own.
    """

    matrix = "strings"

    type: Literal["text"]

    def parse(self, text: pl.Expr) -> pl.Expr:
        return text

    def encode(self, values: Sequence[Any]) -> list[Sequence[Any]]:
        return [[words_and_pairs(value) if value else "_missing" for value in values]]

    def typical(self) -> str:
        return "text"

    def request_type(self) -> Any:
        return Annotated[str, Field(max_length=100_000)]


def words_and_pairs(text: str) -> str:
    """Each word of a text, and each two that follow each other, joined by `_`."""
    words = re.findall("[a-z0-9]+", plain(text))
    pairs = map("_".join, itertools.pairwise(words))
    return " ".join(dict.fromkeys([*words, *pairs])) or "_wordless"


def plain(text: str) -> str:
    """Text in lower case and ASCII, the words of other scripts kept apart from each other."""
    text = text.lower()
    if text.isascii():
        return text
    letters = unicodedata.normalize("NFKD", text.replace("ß", "ss"))
    return "".join(
        letter if letter.isascii() else spelled(letter)
        for letter in letters
        if not unicodedata.combining(letter)
    )


def spelled(letter: str) -> str:
    """Spell a letter that is not ASCII; ideographs, which are words, stand alone."""
    kind = unicodedata.category(letter)
    if kind == "Lo" and unicodedata.east_asian_width(letter) == "W":
        return f" u{ord(letter):x} "
    return (
        f"u{ord(letter):x}" if kind[0] in "LN" else f" u{ord(letter):x} " if kind == "So" else " "
    )


Column = Annotated[Number | Category | Boolean | Date | Text, Field(discriminator="type")]
