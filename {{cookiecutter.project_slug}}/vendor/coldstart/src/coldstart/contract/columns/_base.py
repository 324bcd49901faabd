"""What every column has, whatever its type."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, model_validator

if TYPE_CHECKING:
    import polars as pl

Absent = TypeVar("Absent", str, None)
Role = Literal["feature", "target", "id", "time", "group", "series", "ignore"]
# What polars takes for blanks; Python's own strip takes four control characters as well.
BLANKS = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)


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
    personal
        Whether it tells who somebody is; what is served keeps no record of it.
    nullable
        Whether a value may be missing.
    missing_values
        Spellings of "missing" in this column, besides the empty text.
    example
        A typical value, used for the example request.
    """

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)
    matrix: ClassVar[Literal["numbers", "strings"]]
    hint: ClassVar[str] = ""  # what to set where a value cannot be read

    type: str
    role: Role = "feature"
    description: str = ""
    reason: str = ""
    personal: bool = False
    nullable: bool = True
    missing_values: list[str] = []
    example: Any = None

    @model_validator(mode="after")
    def _example_is_one(self) -> Self:
        if self.example is not None:
            TypeAdapter(self.request_type()).validate_json(json.dumps(self.example))
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

    def violations(self, values: pl.Expr) -> Mapping[str, pl.Expr]:
        """For each rule on typed values: how it is told, and where it is broken."""
        return {}

    @cached_property
    def missing(self) -> frozenset[str]:
        """All spellings of "missing"."""
        return frozenset(["", *self.missing_values])

    def texts(self, values: Sequence[str | None], gap: Absent) -> list[str | Absent]:
        """Texts without blanks; `gap` where one is missing. A client spells that as a file does."""
        missing = self.missing
        # Where Python's own strip, which is four times as fast, finds nothing, there is no blank.
        return [
            gap
            if value is None
            or (text := value if value.strip() is value else value.strip(BLANKS)) in missing
            else text
            for value in values
        ]

    def text_type(self, about: dict[str, Any] | None = None, **limits: Any) -> Any:
        """The type of a text, which must not mean "missing" where a value is needed."""
        if self.nullable:
            return Annotated[str, Field(**limits, json_schema_extra=about)]

        def check(value: str) -> str:
            if self.texts([value], None) == [None]:
                raise ValueError("a value is needed")
            return value

        rules: Any = {**(about or {}), "not": {"enum": sorted(self.missing)}, "pattern": r"\S"}
        return Annotated[str, Field(**limits, json_schema_extra=rules), AfterValidator(check)]

    def encode(self, values: Sequence[Any]) -> list[Sequence[Any]]:
        """Typed values, None where missing, to one or more columns of the matrix.

        In the matrix of numbers None stays, and becomes NaN there.
        """
        return [values]

    def encoded_names(self, name: str) -> list[str]:
        """Names of the encoded columns of a feature of this name, in the order of `encode`."""
        return [name]

    def request_type(self) -> Any:
        """The type, with limits, that the API asks for.

        It is strict, since its document is: a number is not taken from a text.
        """
        raise NotImplementedError

    def control(self) -> dict[str, Any]:
        """How a page asks for it: the `kind` of control, and what that needs to know."""
        raise NotImplementedError

    def typical(self) -> Any:
        """A value for the case that the contract gives no example."""
        raise NotImplementedError
