"""Numbers, however they are written."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from coldstart.contract.columns._base import BaseColumn

if TYPE_CHECKING:
    import polars as pl

NOT_FINITE = [math.nan, math.inf, -math.inf]


class Number(BaseColumn):
    """A number.

    Parameters
    ----------
    unit : str, default=""
        Unit of measurement, to show.
    minimum, maximum : float, optional
        Inclusive limits. A value outside is an error in the data, not an outlier.
    decimal : {".", ","}, default="."
        Decimal mark of the text.
    thousands : {"", ",", ".", " ", "'", "_"}, default=""
        Separator of thousands in the text. A blank stands for every kind of blank.
    affixes : list of str, default=[]
        Texts around the number to ignore, such as a currency. `()` means that parentheses make a
        number negative, `-` that a minus may follow it.
    multipliers : dict of str to float, default={}
        Suffixes that multiply, such as `{k: 1000}`.
    lag_of : str, optional
        Makes this a lag, which files need not have: the value of another column, earlier in time
        within the series.
    steps : int, default=1
        Number of rows between a lag and its value.
    season : int, optional
        For a target, number of rows between a value and the seasonal naive forecast of it.
    horizon : int, optional
        For a target with lags, number of steps to forecast. By default a season, or the longest
        lag if there is no season.
    """

    matrix = "numbers"
    hint = "how numbers are written (decimal, thousands, affixes, multipliers)"

    type: Literal["number"]
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    decimal: Literal[".", ","] = "."
    thousands: Literal["", ",", ".", " ", "'", "_"] = ""
    affixes: list[str] = Field([])
    multipliers: dict[str, float] = Field({})
    lag_of: str | None = None
    steps: int = Field(1, gt=0)
    season: int | None = Field(None, gt=0)
    horizon: int | None = Field(None, gt=0)

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

    @cached_property
    def sentinels(self) -> list[float]:
        """Numbers that mean "missing", such as -999."""
        found = []
        for spelling in self.missing_values:
            with contextlib.suppress(ValueError):
                found.append(float(spelling))
        return found

    def known(self, raw: pl.Expr, dtype: pl.DataType) -> pl.Expr:
        import polars as pl

        if dtype.is_numeric() and self.sentinels:
            return pl.when(~raw.cast(pl.Float64).is_in(self.sentinels)).then(raw)
        return super().known(raw, dtype)

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

    def violations(self, values: pl.Expr) -> Mapping[str, pl.Expr]:
        rules = {}
        if self.minimum is not None:
            rules[f"below the minimum {self.minimum:g}"] = values < self.minimum
        if self.maximum is not None:
            rules[f"above the maximum {self.maximum:g}"] = values > self.maximum
        return rules

    def encode(self, values: Sequence[Any]) -> list[Sequence[Any]]:
        if not self.sentinels:
            return [values]
        numbers = np.array(values, dtype=np.float64)  # None becomes NaN
        return [np.where(np.isin(numbers, self.sentinels), np.nan, numbers)]  # type: ignore[list-item]

    def control(self) -> dict[str, Any]:
        limits = {"minimum": self.minimum, "maximum": self.maximum}
        return {"kind": "number", "unit": self.unit, **limits}

    def typical(self) -> float:
        return next((limit for limit in (self.minimum, self.maximum) if limit is not None), 0.0)

    def request_type(self) -> Any:
        unit: Any = {"unit": self.unit} if self.unit else None
        return Annotated[
            float,
            Field(
                strict=True,
                ge=self.minimum,
                le=self.maximum,
                allow_inf_nan=False,
                json_schema_extra=unit,
            ),
        ]
