"""The types of columns, one class each.

A type defines how a value is read from text, checked, encoded for a model, and entered through
the API and its page. polars is imported only in the methods that training calls, since the API
imports this module.
"""

from __future__ import annotations

import operator
from functools import reduce
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from coldstart.contract.columns._base import BaseColumn
from coldstart.contract.columns._date import Date
from coldstart.contract.columns._image import Image
from coldstart.contract.columns._label import MISSING, Boolean, Category
from coldstart.contract.columns._number import Number
from coldstart.contract.columns._text import Text

__all__ = ["MISSING", "BaseColumn", "Boolean", "Category", "Date", "Image", "Number", "Text"]

TYPES: list[type[BaseColumn]] = [Number, Category, Boolean, Date, Text, Image]


def column_annotation() -> Any:
    """Return the union of all column types, discriminated by `type`."""
    return Annotated[reduce(operator.or_, TYPES), Field(discriminator="type")]


def setting_names() -> set[str]:
    """Return the names of the settings that some type of column has."""
    return {name for kind in TYPES for name in kind.model_fields}


def parse_column(settings: dict[str, Any]) -> BaseColumn:
    """Return the column that settings describe."""
    column: BaseColumn = TypeAdapter(column_annotation()).validate_python(settings)
    return column
