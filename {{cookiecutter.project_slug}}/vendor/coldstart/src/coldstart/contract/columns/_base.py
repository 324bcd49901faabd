"""What all column types have in common."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, model_validator

if TYPE_CHECKING:
    import polars as pl

Absent = TypeVar("Absent", str, None)
Role = Literal["feature", "target", "id", "time", "group", "series", "weight", "ignore"]
Availability = Literal["before", "with", "after", "unconfirmed"]
# What polars takes for blanks; Python's own strip takes four control characters as well.
BLANKS = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)


class BaseColumn(BaseModel):
    """A column of the table, and what all types have in common.

    Parameters
    ----------
    type : str
        Name of the type.
    role : str, default="feature"
        Use of the column. Models are trained on a `feature`, to predict the `target`. `time` and
        `group` decide the split. `series` names the series of a forecasting table, and is a feature
        as well. `weight` weights the rows in fitting and evaluation. `id` and `ignore` are left
        out.
    available : {"before", "with", "after", "unconfirmed"}, optional
        When the value is available, compared with the target: `before`, so at prediction time;
        `with` it, as a measurement of the same period, or `after` it, and then the column is no
        feature, though its lags may be. `unconfirmed` is a feature that nobody has confirmed; a
        score without such columns stands beside the model's.
    description : str, default=""
        Text in the API's documentation and on its page.
    reason : str, default=""
        Why the column is left out.
    personal : bool, default=False
        Whether the column identifies a person. The prediction log does not store it.
    nullable : bool, default=True
        Whether a value may be missing.
    missing_values : list of str, default=[]
        Spellings of "missing" in this column, besides the empty text.
    example : object, optional
        A typical value, used in the example request.
    """

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)
    matrix: ClassVar[Literal["numbers", "strings"]]
    hint: ClassVar[str] = ""  # what to set where a value cannot be read
    remedy: ClassVar[str] = "that limit"  # what to change where a rule is violated
    packages: ClassVar[tuple[str, ...]] = ()  # that its values need, besides those of serving
    slice_rows: ClassVar[int] = 200_000  # rows that are read at a time

    type: str
    role: Role = "feature"
    available: Availability | None = None
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
        """Whether models are trained on the column."""
        return self.role in ("feature", "series") and not self.comes_late

    @property
    def comes_late(self) -> bool:
        """Whether the value is not available at prediction time."""
        return self.available in ("with", "after")

    def set_folder(self, folder: Path) -> None:
        """Set the folder of the table, for values that are relative to it.

        Parameters
        ----------
        folder : Path
            The folder.
        """

    def is_typed(self, dtype: pl.DataType) -> bool:
        """Return whether a column of a typed file needs no parsing.

        Parameters
        ----------
        dtype : polars.DataType
            Type of the column in the file.

        Returns
        -------
        bool
            Whether the file's values are already of this type.
        """
        import polars as pl

        return dtype == pl.String

    def known(self, raw: pl.Expr, dtype: pl.DataType) -> pl.Expr:
        """Replace missing values with null, and strip blanks from text.

        Parameters
        ----------
        raw : polars.Expr
            The column as it is in the file.
        dtype : polars.DataType
            Type of the column in the file.

        Returns
        -------
        polars.Expr
            Null where the value is missing. Otherwise the typed value, or text.
        """
        import polars as pl

        if self.is_typed(dtype) and dtype != pl.String:
            missing = raw.cast(pl.String).is_in(self.missing_values)
            return pl.when(~missing).then(raw) if self.missing_values else raw
        text = raw.cast(pl.String).str.strip_chars()
        return text.replace(dict.fromkeys(["", *self.missing_values]))

    def typed(self, known: pl.Expr, dtype: pl.DataType) -> pl.Expr:
        """Convert known values to the column's type, with null where that fails.

        Parameters
        ----------
        known : polars.Expr
            Values that `known` returned.
        dtype : polars.DataType
            Type of the column in the file.

        Returns
        -------
        polars.Expr
            Typed values.
        """
        return self.convert(known) if self.is_typed(dtype) else self.parse(known)

    def convert(self, values: pl.Expr) -> pl.Expr:
        """Convert typed values of a file to the column's type.

        Parameters
        ----------
        values : polars.Expr
            Values of a type that `is_typed` accepts.

        Returns
        -------
        polars.Expr
            Typed values.
        """
        return values

    def parse(self, text: pl.Expr) -> pl.Expr:
        """Parse text, with null where it cannot be read as this type.

        Parameters
        ----------
        text : polars.Expr
            Texts without surrounding blanks, null where missing.

        Returns
        -------
        polars.Expr
            Typed values.
        """
        raise NotImplementedError

    def violations(self, values: pl.Expr) -> Mapping[str, pl.Expr]:
        """Return the rules on typed values.

        Parameters
        ----------
        values : polars.Expr
            Typed values.

        Returns
        -------
        mapping of str to polars.Expr
            From the description of a rule to where it is violated.
        """
        return {}

    def too_long(self, values: pl.Expr, limit: int) -> Mapping[str, pl.Expr]:
        """Return the rule on the length of a feature's texts: what requests refuse, data does too.

        Parameters
        ----------
        values : polars.Expr
            Texts.
        limit : int
            Characters that a text may have.

        Returns
        -------
        mapping of str to polars.Expr
            The rule, as `violations` returns it.
        """
        if not self.is_feature:
            return {}
        return {f"longer than {limit:,} characters": values.str.len_chars() > limit}

    @cached_property
    def missing(self) -> frozenset[str]:
        """All spellings of "missing"."""
        return frozenset(["", *self.missing_values])

    def texts(self, values: Sequence[str | None], gap: Absent) -> list[str | Absent]:
        """Strip blanks from texts, and replace missing ones.

        Parameters
        ----------
        values : sequence of str or None
            n texts.
        gap : str or None
            Replacement of a missing text.

        Returns
        -------
        list of str or None
            n texts.
        """
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
        """Return the request type of a text, which refuses "missing" where a value is required.

        Parameters
        ----------
        about : dict, optional
            Further keywords of the JSON schema.
        **limits : object
            Limits on the text, as arguments of pydantic's `Field`.

        Returns
        -------
        type
            An annotated type for pydantic.
        """
        if self.nullable:
            return Annotated[str, Field(**limits, json_schema_extra=about)]

        def check(value: str) -> str:
            if self.texts([value], None) == [None]:
                raise ValueError("a value is needed")
            return value

        rules: Any = {**(about or {}), "not": {"enum": sorted(self.missing)}, "pattern": r"\S"}
        return Annotated[str, Field(**limits, json_schema_extra=rules), AfterValidator(check)]

    def encode(self, values: Sequence[Any]) -> list[Sequence[Any]]:
        """Encode typed values as one or more columns of the matrix.

        Parameters
        ----------
        values : sequence
            n typed values, None where missing.

        Returns
        -------
        list of sequence
            Columns of n values. In the matrix of numbers None becomes NaN.
        """
        return [values]

    def encoded_names(self, name: str) -> list[str]:
        """Return the names of the encoded columns, in the order of `encode`.

        Parameters
        ----------
        name : str
            Name of the column.

        Returns
        -------
        list of str
            One name for each encoded column.
        """
        return [name]

    def request_type(self) -> Any:
        """Return the type that the API validates values with.

        The type is strict, as its documentation says: a number is not parsed from text.

        Returns
        -------
        type
            An annotated type for pydantic.
        """
        raise NotImplementedError

    def control(self) -> dict[str, Any]:
        """Return the input control for this column on the demo page.

        Returns
        -------
        dict
            The `kind` of control, and its options.
        """
        raise NotImplementedError

    def typical(self) -> Any:
        """Return a value to use if the schema has no example.

        Returns
        -------
        object
            A value in JSON.
        """
        raise NotImplementedError
