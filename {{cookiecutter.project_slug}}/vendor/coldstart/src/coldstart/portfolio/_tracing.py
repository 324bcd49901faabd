"""Derived columns as expressions, which a browser computes without Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from coldstart.contract import DerivedColumn

UFUNCS = {
    *("add", "subtract", "multiply", "divide", "power", "maximum", "minimum", "hypot", "arctan2"),
    *("negative", "positive", "absolute", "sign", "square", "sqrt", "cbrt", "floor", "ceil"),
    *("exp", "expm1", "log", "log1p", "log2", "log10", "sin", "cos", "tan", "tanh"),
}
"""Functions of numpy that live.js has as well."""


class Expression(NDArrayOperatorsMixin):
    """A value that is not computed but recorded.

    Parameters
    ----------
    tree : list
        `["column", name]`, or the name of a function and its arguments, which are trees or numbers.
    """

    def __init__(self, tree: list[Any]) -> None:
        self.tree = tree

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        if method != "__call__" or options or ufunc.__name__ not in UFUNCS:
            return NotImplemented
        arguments = [
            one.tree if isinstance(one, Expression) else float(np.float64(one)) for one in inputs
        ]
        return Expression([ufunc.__name__, *arguments])


def trace(function: DerivedColumn, numbers: Sequence[str]) -> list[Any] | None:
    """Return what a derived column computes, or None if it is more than arithmetic.

    Parameters
    ----------
    function : DerivedColumn
        The function.
    numbers : sequence of str
        Names of the encoded columns that are numbers.

    Returns
    -------
    list or None
        The tree of an `Expression`, which was compared with the function on random values.
    """
    try:
        result: Any = function({name: Expression(["column", name]) for name in numbers})  # type: ignore[misc]
    except Exception:  # whatever a function does with what it takes for an array
        return None
    if not isinstance(result, Expression):
        return None
    random = np.random.default_rng(0)
    columns = {name: np.append(random.normal(0, 100, 500), np.nan) for name in numbers}
    with np.errstate(all="ignore"):
        same = np.array_equal(function(columns), compute(result.tree, columns), equal_nan=True)
    return result.tree if same else None


def compute(tree: Any, columns: Mapping[str, np.ndarray]) -> Any:
    """Compute an expression."""
    if not isinstance(tree, list):
        return tree
    name, *arguments = tree
    if name == "column":
        return columns[arguments[0]]
    return getattr(np, name)(*(compute(one, columns) for one in arguments))
