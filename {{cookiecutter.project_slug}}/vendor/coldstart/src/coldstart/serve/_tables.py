"""The contract's columns in Arrow, for rows by the thousand."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from coldstart.contract.columns import BaseColumn, Boolean, Date, Number

if TYPE_CHECKING:  # arro3 is loaded where it is used: a request of a few rows needs none of it
    from arro3.core import Array, DataType

EPOCH = dt.datetime(1970, 1, 1)
MICROSECOND = dt.timedelta(microseconds=1)


def arrow_type(column: BaseColumn) -> DataType:
    """Return the type of a column's values, as the API takes them."""
    from arro3.core import DataType

    if isinstance(column, Number):
        return DataType.float64()
    if isinstance(column, Boolean):
        return DataType.bool()
    if isinstance(column, Date):
        return DataType.timestamp("us") if column.has_time else DataType.date32()
    return DataType.string()


def arrow_array(values: Sequence[Any], type_: DataType) -> Array:
    """Return typed values, None where missing, in Arrow."""
    from arro3.core import Array, DataType

    if DataType.is_date32(type_):
        days = [day and day.toordinal() - EPOCH.toordinal() for day in values]
        return Array(days, DataType.int32()).cast(type_)
    if DataType.is_timestamp(type_):
        times = [time and (time.replace(tzinfo=None) - EPOCH) // MICROSECOND for time in values]
        return Array(times, DataType.int64()).cast(type_)
    return Array(values, type_)


def convert(array: Array, type_: DataType) -> Array | None:
    """Convert a client's column to a type of the same kind; return None if it is of another kind.

    Arrow would also convert between kinds, and replace unreadable values by missing ones.
    """
    from arro3.core import DataType

    given = array.type
    if DataType.is_dictionary(given) and given.value_type is not None:
        given = given.value_type
    kinds = {
        DataType.is_floating: DataType.is_numeric,
        DataType.is_boolean: DataType.is_boolean,
        DataType.is_temporal: DataType.is_temporal,
        DataType.is_string: is_text,
    }
    same: Any = next(found for ours, found in kinds.items() if ours(type_))
    if not same(given) and not DataType.is_null(given):
        return None
    return array if array.type == type_ else array.cast(type_)


def is_text(type_: DataType) -> bool:
    """Return whether values are texts, however they lie in memory."""
    from arro3.core import DataType

    kinds = (DataType.is_string, DataType.is_large_string, DataType.is_string_view)
    return any(kind(type_) for kind in kinds)


def as_numbers(array: Array) -> np.ndarray:
    """Return numbers or booleans as float64, NaN where missing."""
    from arro3.core import DataType

    array = array.cast(DataType.float64())
    if array.null_count:
        return np.array(array.to_pylist(), dtype=np.float64)
    return array.to_numpy()


def distinct(array: Array) -> tuple[np.ndarray, list[Any]]:
    """Return for each row the index of its value, -1 where missing, and the different values."""
    from arro3.core import DataType, dictionary_dictionary, dictionary_indices

    words = array.cast(DataType.dictionary(DataType.int32(), array.type))
    places = dictionary_indices(words)
    if not array.null_count:
        return places.to_numpy(), list(dictionary_dictionary(words).to_pylist())
    found = [-1 if place is None else place for place in places.to_pylist()]
    return np.array(found), list(dictionary_dictionary(words).to_pylist())
