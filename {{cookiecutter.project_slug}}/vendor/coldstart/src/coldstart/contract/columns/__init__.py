"""The types that a column can have, a module each.

A type is one class. It says how a value is read from text, how it is checked,
how it is encoded for a model, and how the API and its page ask for it. A new type is one
more class and its name in `Column`.

The API loads this, so polars is imported only by the methods that training calls.
"""

from typing import Annotated

from pydantic import Field

from coldstart.contract.columns._base import BaseColumn
from coldstart.contract.columns._date import Date
from coldstart.contract.columns._label import MISSING, Boolean, Category
from coldstart.contract.columns._number import Number
from coldstart.contract.columns._text import Text

__all__ = ["MISSING", "BaseColumn", "Boolean", "Category", "Column", "Date", "Number", "Text"]

Column = Annotated[Number | Category | Boolean | Date | Text, Field(discriminator="type")]
