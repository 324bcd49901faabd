"""Derived columns: functions of the encoded columns, shared by training, batch and the API."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from coldstart.errors import UserError

DerivedColumn = Callable[[Mapping[str, np.ndarray]], np.ndarray]
"""From named arrays of shape (n,), float64 with NaN for missing or strings, to one of numbers."""

_functions: dict[str, DerivedColumn] = {}


class NamedColumns(Mapping[str, np.ndarray]):
    """Encoded columns by name, looked up when one is used: of most only a few are.

    Parameters
    ----------
    places : mapping of str to tuple of bool and int
        For each column whether it is in `strings`, and its row there.
    numbers, strings : ndarray of shape (columns, n)
        The encoded columns.
    """

    def __init__(
        self, places: Mapping[str, tuple[bool, int]], numbers: np.ndarray, strings: np.ndarray
    ) -> None:
        self._places, self._matrices = places, (numbers, strings)

    def __getitem__(self, name: str) -> np.ndarray:
        matrix, row = self._places[name]
        column: np.ndarray = self._matrices[matrix][row]
        return column

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def register_derived(functions: Mapping[str, DerivedColumn]) -> None:
    """Set the derived columns of this process, in place of those that were set before.

    Parameters
    ----------
    functions : mapping of str to callable
        From a derived column's name to its function; see `DerivedColumn`.
    """
    _functions.clear()
    _functions.update(functions)


def explain_left_out(columns: Sequence[str]) -> list[str]:
    """Return a line for each derived column that was left out.

    Parameters
    ----------
    columns : sequence of str
        Names of the encoded columns, to suggest one that was meant.

    Returns
    -------
    list of str
        The lines.
    """
    lines = []
    for name, lacking in _left_out.items():
        near = difflib.get_close_matches(lacking, columns, 1)
        hint = (
            f"is it {near[0]!r}?"
            if near
            else f"if these data have none, remove {name} from DERIVED in features.py"
        )
        lines.append(f"derived column {name} is left out: no feature is named {lacking!r}; {hint}")
    return lines


_left_out: dict[str, str] = {}  # derived columns, and the input that each lacks


def registered(numbers: Sequence[str], strings: Sequence[str]) -> dict[str, DerivedColumn]:
    """Return the derived columns that can be computed from columns of these names.

    Raises
    ------
    UserError
        If a function fails, or a derived column has the name of another column.
    """
    found: dict[str, DerivedColumn] = {}
    row = {name: np.array([np.nan]) for name in numbers}
    row |= {name: np.array([""], dtype=object) for name in strings}
    _left_out.clear()
    for name, function in _functions.items():
        if name in row:
            raise UserError(
                f"features.py: the derived column {name} has the name of a column of schema.yaml"
            )
        try:
            compute({name: function}, row, np.empty((1, 1)))
        except KeyError as error:
            if (lacking := error.args[0]) in row:
                raise
            _left_out[name] = str(lacking)
            continue
        found[name] = function
    return found


def compute(
    functions: Mapping[str, DerivedColumn], columns: Mapping[str, np.ndarray], out: np.ndarray
) -> None:
    """Compute derived columns.

    Parameters
    ----------
    functions : mapping
        The derived columns, by name.
    columns : mapping
        Encoded columns by name, each of shape (rows,).
    out : ndarray of float64, shape (derived columns, rows)
        Where the values are written, NaN where one is not finite.

    Raises
    ------
    UserError
        If a function fails, or does not return a number for each row.
    """
    with np.errstate(all="ignore"):
        for i, (name, function) in enumerate(functions.items()):
            try:
                out[i] = function(columns)
            except KeyError:
                raise
            except Exception as error:
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                raise UserError(
                    f"features.py: the derived column {name} failed: {reason}"
                ) from error
    finite = np.isfinite(out)
    if not finite.all():
        out[~finite] = np.nan
