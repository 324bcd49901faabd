"""Tables: the contract's columns in Arrow, for what comes and goes by the thousand."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..columns import BaseColumn, Boolean, Date, Number

if TYPE_CHECKING:  # arro3 is loaded where it is used: who asks for a row or two needs none of it
    from arro3.core import Array, DataType

EPOCH = dt.datetime(1970, 1, 1)
MICROSECOND = dt.timedelta(microseconds=1)


def arrow_type(column: BaseColumn) -> DataType:
    """Type of a column's values, as the API takes them."""
    from arro3.core import DataType

    if isinstance(column, Number):
        return DataType.float64()
    if isinstance(column, Boolean):
        return DataType.bool()
    if isinstance(column, Date):
        return DataType.timestamp("us") if column.has_time else DataType.date32()
    return DataType.string()


def arrow_array(values: Sequence[Any], type_: DataType) -> Array:
    """Typed values, None where missing, in Arrow."""
    from arro3.core import Array, DataType

    if DataType.is_date32(type_):
        days = [day and day.toordinal() - EPOCH.toordinal() for day in values]
        return Array(days, DataType.int32()).cast(type_)
    if DataType.is_timestamp(type_):
        times = [time and (time.replace(tzinfo=None) - EPOCH) // MICROSECOND for time in values]
        return Array(times, DataType.int64()).cast(type_)
    return Array(values, type_)
