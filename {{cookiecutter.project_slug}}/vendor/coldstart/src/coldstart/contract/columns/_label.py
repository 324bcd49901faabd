"""Labels: one of several, or yes and no."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from coldstart.contract.columns._base import BaseColumn

if TYPE_CHECKING:
    import polars as pl

MISSING = "__missing__"  # stands for a null string inside the graph, where strings cannot be null


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

    def violations(self, values: pl.Expr) -> Mapping[str, pl.Expr]:
        if not self.categories or self.unseen == "allow":
            return {}
        return {"not one of the categories": ~values.is_in(self.categories)}

    def encode(self, values: Sequence[Any]) -> list[Sequence[Any]]:
        return [self.texts(values, MISSING)]

    def control(self) -> dict[str, Any]:
        return {"kind": "choice", "choices": self.categories, "free": self.unseen == "allow"}

    def typical(self) -> str:
        return self.categories[0] if self.categories else "text"

    def request_type(self) -> Any:
        if self.categories and self.unseen == "refuse":
            return Literal[tuple(self.categories)]
        known: Any = {"categories": self.categories} if self.categories else None
        return self.text_type(known, max_length=1000)


class Boolean(BaseColumn):
    """True or false.

    Attributes
    ----------
    true_values, false_values
        The spellings of each. Where one list is empty, it means every other value.
    """

    matrix = "numbers"
    hint = "true_values and false_values"

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

    def control(self) -> dict[str, Any]:
        return {"kind": "boolean"}

    def typical(self) -> bool:
        return False

    def request_type(self) -> Any:
        return Annotated[bool, Field(strict=True)]
