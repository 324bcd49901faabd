"""Classes: one of several, or true and false."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from coldstart.contract.columns._base import BaseColumn

if TYPE_CHECKING:
    import polars as pl

LONGEST = 1000  # characters of a class that is not listed
MISSING = "__missing__"  # stands for a null string inside the graph, where strings cannot be null


class Category(BaseColumn):
    """One of several classes.

    Parameters
    ----------
    categories : list of str, default=[]
        The classes. Empty if there are too many to list.
    unseen : {"allow", "refuse"}, default="allow"
        Whether a class that is not listed is accepted in a request.
    labels : dict of str to str, default={}
        From a class to the text that is displayed in its place. Empty texts are left out.
    """

    matrix = "strings"
    remedy = "categories, or to type: text"

    type: Literal["category"]
    categories: list[str] = Field([])
    unseen: Literal["allow", "refuse"] = "allow"
    labels: dict[str, str] = Field({})

    @model_validator(mode="after")
    def _labels_are_of_categories(self) -> Self:
        if self.categories:
            check_labels(self.labels, self.categories)
        self.labels = {name: text for name, text in self.labels.items() if text}
        return self

    def parse(self, text: pl.Expr) -> pl.Expr:
        return text

    def violations(self, values: pl.Expr) -> Mapping[str, pl.Expr]:
        if not self.categories or self.unseen == "allow":
            return self.too_long(values, self.longest)
        return {"not one of the categories": ~values.is_in(self.categories)}

    @property
    def longest(self) -> int:
        """Characters that a class may have: those of the longest one listed, at least 1,000."""
        return max([LONGEST, *map(len, self.categories)])

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
        return self.text_type(known, max_length=self.longest)


class Boolean(BaseColumn):
    """True or false.

    Parameters
    ----------
    true_values, false_values : list of str, optional
        The spellings of each. By default those of true, yes and 1, and of false, no and 0. An
        empty list means every other value.
    labels : dict of str to str, default={}
        From `true` and `false`, or one of their spellings, to the text that is displayed in their
        place. Empty texts are left out.
    """

    matrix = "numbers"
    hint = "true_values and false_values"

    type: Literal["boolean"]
    true_values: list[str] = Field(["true", "True", "TRUE", "yes", "Yes", "YES", "1"])
    false_values: list[str] = Field(["false", "False", "FALSE", "no", "No", "NO", "0"])
    labels: dict[str, str] = Field({})

    @field_validator("labels", mode="before")
    @classmethod
    def _true_and_false_are_texts(cls, labels: Any) -> Any:
        if not isinstance(labels, Mapping):
            return labels
        return {str(k).lower() if isinstance(k, bool) else k: v for k, v in labels.items()}

    @model_validator(mode="after")
    def _a_value_is_not_missing_as_well(self) -> Self:
        values = {"true", "false", *self.true_values, *self.false_values}
        if both := [word for word in self.missing_values if word in values]:
            raise ValueError(
                f"the spelling {both[0]!r} is in missing_values and means true or false as well; "
                "take it out of one (set true_values and false_values)"
            )
        return self

    @model_validator(mode="after")
    def _labels_are_of_classes(self) -> Self:
        classes = dict.fromkeys(self.true_values, "true") | dict.fromkeys(
            self.false_values, "false"
        )
        classes |= {"true": "true", "false": "false"}
        check_labels(self.labels, list(classes))
        self.labels = {classes[name]: text for name, text in self.labels.items() if text}
        return self

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


def check_labels(labels: Mapping[str, str], classes: Sequence[str]) -> None:
    """Refuse the label of a class that does not exist.

    Raises
    ------
    ValueError
        With the class, and up to five that exist.
    """
    for name in labels:
        if name not in classes:
            some = ", ".join(map(repr, classes[:5]))
            raise ValueError(f"the labels name {name!r}, which is not a class; classes: {some}")
