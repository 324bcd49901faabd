"""Dates, with or without a time of day."""

from __future__ import annotations

import contextlib
import datetime as dt
import math
import re
from collections.abc import Sequence
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from coldstart.contract.columns._base import BaseColumn

if TYPE_CHECKING:
    import polars as pl

YEAR, QUARTER = r"\b(\d{4})(?:\b|[Qq])", r"[Qq]([1-4])(?:\b|\D)"
DAY_0 = dt.date(2000, 1, 1).toordinal()


class Date(BaseColumn):
    """A date, or a date and a time. As a feature it is its calendar and elapsed time.

    The calendar is the day of the year on a circle, the weekday and, if there is one, the time of
    day.

    Parameters
    ----------
    format : str or list of str, default="%Y-%m-%d"
        How the text is written, in strftime's codes. Or `unix` for seconds since 1970 (`unix ms`
        for milliseconds), `year` for decimal years (1949.5), `quarter` (2024 Q1). The first of
        several that fits is used. A format with an hour makes the column a date and a time.
    calendar : bool, default=False
        With the role time, whether the calendar is a feature. Elapsed time is not, since a model
        predicts dates later than any it was trained on.
    """

    matrix = "numbers"
    hint = "format (it may be a list)"

    type: Literal["date"]
    format: str | list[str] = "%Y-%m-%d"
    calendar: bool = False

    @property
    def is_feature(self) -> bool:
        by_calendar = self.role == "time" and self.calendar and not self.comes_late
        return super().is_feature or by_calendar

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
        if format == "quarter":
            year, quarter = (text.str.extract(one).cast(pl.Int32) for one in (YEAR, QUARTER))
            return pl.datetime(year, 3 * quarter - 2, 1)
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

    @cached_property
    def sentinels(self) -> frozenset[dt.date]:
        """Dates that mean "missing", such as 9999-12-31."""
        found = set()
        for spelling, format in product(self.missing_values, [*self.formats, "%Y-%m-%d"]):
            with contextlib.suppress(ValueError):
                found.add(dt.datetime.strptime(spelling, format))
        return frozenset(found if self.has_time else [one.date() for one in found])

    def encode(self, values: Sequence[Any]) -> list[Sequence[Any]]:
        if self.sentinels:
            values = [None if value in self.sentinels else value for value in values]
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

    def encoded_names(self, name: str) -> list[str]:
        parts = ["year_sin", "year_cos", "weekday"]
        parts += ["hour"] * self.has_time + ["years"] * (self.role != "time")
        return [f"{name}.{part}" for part in parts]

    def control(self) -> dict[str, Any]:
        return {"kind": "date", "time": self.has_time}

    def typical(self) -> str:
        return "2024-06-30T12:00:00" if self.has_time else "2024-06-30"

    def request_type(self) -> Any:
        return Annotated[dt.datetime if self.has_time else dt.date, Field(strict=True)]
