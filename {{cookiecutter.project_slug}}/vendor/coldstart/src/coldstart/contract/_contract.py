"""The data contract, `schema.yaml`: what each column of the table is.

Reading, validation, the split, features and the API read the columns here. No other module names
a column.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from coldstart._yaml import read_yaml
from coldstart.contract._derived import DerivedColumn, NamedColumns, compute, registered
from coldstart.contract._loader import Loader
from coldstart.contract.columns import (
    TYPES,
    BaseColumn,
    Boolean,
    Category,
    Image,
    Number,
    column_annotation,
    setting_names,
)
from coldstart.errors import UserError, describe

FLOAT32_MAX = float(np.finfo(np.float32).max)
# Names of columns that the engine adds to prepared rows and to the prediction log.
RESERVED = re.compile(
    "__(row|copy|key|place|part_[0-9]+|prediction|probability|label|set|request|ref|time|version|role|why)__"
)


@dataclass(frozen=True)
class EncodedFeatures:
    """Encoded features of n rows, in the form of the exported graph's inputs.

    Parameters
    ----------
    numbers : ndarray of float32, shape (n, numeric columns)
        Numbers, NaN where a value is missing.
    strings : ndarray of object, shape (n, text columns)
        Categories and texts.
    """

    numbers: np.ndarray
    strings: np.ndarray

    def __getitem__(self, rows: slice | np.ndarray) -> EncodedFeatures:
        """Return the given rows."""
        return EncodedFeatures(self.numbers[rows], self.strings[rows])

    @classmethod
    def stack(cls, parts: Sequence[EncodedFeatures]) -> EncodedFeatures:
        """Return the rows of all parts, one below the other.

        Parameters
        ----------
        parts : sequence of EncodedFeatures
            Parts with the same columns.

        Returns
        -------
        EncodedFeatures
            The rows of all parts.
        """
        return cls(
            np.vstack([part.numbers for part in parts]), np.vstack([part.strings for part in parts])
        )


class Contract(BaseModel):
    """The data contract: the columns of a table by name, in order.

    Parameters
    ----------
    columns : dict of str to BaseColumn
        Type and settings of each column.

    Raises
    ------
    ValueError
        If there is not exactly one target, no feature, or roles contradict each other.
    """

    model_config = ConfigDict(extra="forbid")

    if TYPE_CHECKING:
        columns: dict[str, BaseColumn]
    else:
        columns: dict[str, column_annotation()]

    @classmethod
    def load(cls, path: Path) -> Contract:
        """Load schema.yaml.

        Parameters
        ----------
        path : Path
            File to read.

        Returns
        -------
        Contract
            The columns.

        Raises
        ------
        UserError
            If the file is missing or invalid. The message names every mistake.
        """
        if not path.exists():
            raise UserError(f"{path}: file not found; see contract in config.yaml")
        try:
            return cls.model_validate(read_yaml(path, Loader))
        except ValidationError as error:
            raise UserError(f"{path}: {describe(error, setting_names())}") from None

    def set_table(self, table: Path | str) -> None:
        """Set the table whose values will be read: paths in it are relative to its folder.

        Parameters
        ----------
        table : Path or str
            A file or a folder, or an address, to which no path is relative.
        """
        folder = table_folder(table)
        for column in self.columns.values():
            column.set_folder(folder)

    @model_validator(mode="after")
    def _roles_are_consistent(self) -> Contract:
        check_reserved(self.columns)
        for role in ("target", "time", "group", "series", "weight"):
            names = self.names(role)
            if len(names) > 1:
                raise ValueError(f"only one column can have the role {role}, not {names}")
        if not self.names("target"):
            raise ValueError("one column needs the role target")
        if not isinstance(self.columns[self.target], Boolean | Category | Number):
            raise ValueError(f"the target {self.target} must be a boolean, category or number")
        for name in self.names("weight"):
            if not isinstance(self.columns[name], Number):
                raise ValueError(f"the weight {name} must be a number")
        if not self.features:
            raise ValueError("at least one column needs the role feature")
        for name, column in self.lags.items():
            if not isinstance(self.columns.get(str(column.lag_of)), Number):
                raise ValueError(f"{name}: lag_of: there is no number {column.lag_of!r}")
            if not self.names("time"):
                raise ValueError(f"{name}: a lag needs a column with the role time")
        return self

    def names(self, role: str) -> list[str]:
        """Return the names of the columns with a role, in order.

        Parameters
        ----------
        role : str
            One of `Role`.

        Returns
        -------
        list of str
            Names of columns.
        """
        return [name for name, column in self.columns.items() if column.role == role]

    @cached_property
    def target(self) -> str:
        """Name of the target."""
        return self.names("target")[0]

    @cached_property
    def features(self) -> dict[str, BaseColumn]:
        """Columns that models are trained on, by name."""
        return {name: column for name, column in self.columns.items() if column.is_feature}

    @property
    def unconfirmed(self) -> list[str]:
        """Names of the features that nobody has confirmed as available at prediction time."""
        return [name for name, one in self.features.items() if one.available == "unconfirmed"]

    @cached_property
    def used(self) -> set[str]:
        """Names of all columns except those that are neither a feature, nor in a role or a lag."""
        lagged = {lag.lag_of for lag in self.lags.values()}
        unused = ("feature", "series", "ignore")
        return {
            name
            for name, column in self.columns.items()
            if column.is_feature or column.role not in unused or name in lagged
        }

    @cached_property
    def lags(self) -> dict[str, Number]:
        """Columns that are another column's earlier values, by name."""
        return {
            name: column
            for name, column in self.columns.items()
            if isinstance(column, Number) and column.lag_of
        }

    @cached_property
    def target_lags(self) -> dict[str, int]:
        """Steps of the features that are the target's earlier values, by name."""
        return {
            name: lag.steps
            for name, lag in self.lags.items()
            if lag.lag_of == self.target and lag.is_feature
        }

    @property
    def classifies(self) -> bool:
        """Whether the target is a class (classification) or a number (regression)."""
        return not isinstance(self.columns[self.target], Number)

    def feature_names(self, matrix: str) -> list[str]:
        """Return the names of the features that are encoded into a matrix.

        Parameters
        ----------
        matrix : {"numbers", "strings"}
            Name of the matrix.

        Returns
        -------
        list of str
            Names of columns.
        """
        return [name for name, column in self.features.items() if column.matrix == matrix]

    @property
    def texts(self) -> list[str]:
        """Names of the features that are free text."""
        return [name for name in self.feature_names("strings") if name not in self.categories]

    @property
    def categories(self) -> list[str]:
        """Names of the features that are categories."""
        return [name for name, column in self.features.items() if isinstance(column, Category)]

    @property
    def pictures(self) -> list[str]:
        """Names of the features that are pictures."""
        return [name for name, column in self.features.items() if isinstance(column, Image)]

    def encode(self, table: Mapping[str, Sequence[Any]]) -> EncodedFeatures:
        """Encode typed values for a model.

        Training, batch prediction and the API encode values by this method.

        Parameters
        ----------
        table : mapping
            From the name of each feature to its n typed values, None where missing.

        Returns
        -------
        EncodedFeatures
            n encoded rows.
        """
        columns: dict[str, list[Sequence[Any]]] = {"numbers": [], "strings": []}
        for name, column in self.features.items():
            columns[column.matrix] += column.encode(table[name])
        return self.assemble(columns)

    def assemble(self, columns: Mapping[str, list[Sequence[Any]]]) -> EncodedFeatures:
        """Join the encoded columns of each matrix, and add the derived columns.

        Training, batch prediction and the API all end here, so that a derived column means the
        same to each of them.

        Parameters
        ----------
        columns : mapping
            `numbers` and `strings`, each a list of columns of n values in the order of the
            features; at least one of them is not empty.

        Returns
        -------
        EncodedFeatures
            n encoded rows.
        """
        rows = len((columns["numbers"] or columns["strings"])[0])
        # A matrix at a time: a column at a time takes twice as long for a single row.
        strings = np.array(columns["strings"], dtype=object)
        strings = strings.reshape(len(columns["strings"]), rows)  # also where one of them is 0
        given = len(columns["numbers"])
        numbers = np.empty((given + len(self.derived), rows))
        if given:
            numbers[:given] = columns["numbers"]
        if self.derived:
            named = NamedColumns(self._places, numbers, strings)
            compute(self.derived, named, numbers[given:])
        np.maximum(numbers, -FLOAT32_MAX, out=numbers)  # np.clip takes twice as long
        np.minimum(numbers, FLOAT32_MAX, out=numbers)
        return EncodedFeatures(numbers.T.astype(np.float32), strings.T)

    @cached_property
    def encoded_names(self) -> dict[str, list[str]]:
        """Names of the encoded columns of each matrix, without the derived columns."""
        names: dict[str, list[str]] = {"numbers": [], "strings": []}
        for name, column in self.features.items():
            names[column.matrix] += column.encoded_names(name)
        return names

    @cached_property
    def _places(self) -> dict[str, tuple[bool, int]]:
        """For each encoded column whether it is in `strings`, and its row there."""
        return {
            name: (matrix == "strings", row)
            for matrix, names in self.encoded_names.items()
            for row, name in enumerate(names)
        }

    def encoded_columns(self) -> list[str]:
        """Return the names of all encoded columns: numbers, derived columns, strings.

        Returns
        -------
        list of str
            In the order of a table of encoded features.
        """
        return [*self.encoded_names["numbers"], *self.derived, *self.encoded_names["strings"]]

    @cached_property
    def derived(self) -> dict[str, DerivedColumn]:
        """Registered derived columns whose inputs are features here, by name."""
        names = self.encoded_names
        return registered(names["numbers"], names["strings"])

    def keep_derived(self, names: Sequence[str]) -> None:
        """Leave out all derived columns but these: a model was trained with them alone.

        Parameters
        ----------
        names : sequence of str
            Names of registered derived columns, in their order.
        """
        self.__dict__["derived"] = {name: self.derived[name] for name in names}

    def example(self) -> dict[str, Any]:
        """Return one example row, as a request holds it.

        Returns
        -------
        dict
            From the name of each feature to a value.
        """
        return {
            name: column.typical() if column.example is None else column.example
            for name, column in self.features.items()
        }


def table_folder(table: Path | str) -> Path:
    """Return the folder of a table, which may be a file, a folder, a pattern or an address."""
    paths = (table, *table.parents) if isinstance(table, Path) else ()
    return next((path for path in paths if path.is_dir()), Path())


def check_reserved(names: Iterable[str]) -> None:
    """Refuse a name that the engine gives to a column of its own.

    Parameters
    ----------
    names : iterable of str
        Names of a table's columns.

    Raises
    ------
    ValueError
        If one of them is reserved.
    """
    if reserved := [name for name in names if RESERVED.fullmatch(name)]:
        raise ValueError(f"{reserved[0]} is a reserved name: rename that column in the data")


def feature_slices(contract: Contract) -> dict[str, slice]:
    """Return the position of each feature's encoded columns in its matrix."""
    found, ends = {}, {"numbers": 0, "strings": 0}
    for name, column in contract.features.items():
        start = ends[column.matrix]
        ends[column.matrix] += len(column.encode([]))
        found[name] = slice(start, ends[column.matrix])
    return found


def register_column_type(kind: type[BaseColumn]) -> None:
    """Add a column type, which schema.yaml may then use.

    A type replaces the registered one whose class has the same name.

    Parameters
    ----------
    kind : type
        Subclass of `BaseColumn`, whose field `type` is annotated `Literal` with its name.

    Raises
    ------
    ValueError
        If another class is registered under that type name.
    """
    TYPES[:] = [one for one in TYPES if one.__qualname__ != kind.__qualname__] + [kind]
    names = [get_args(one.model_fields["type"].annotation)[0] for one in TYPES]
    if len(set(names)) < len(names):
        TYPES.remove(kind)
        raise ValueError(f"there is a column type {names[-1]!r} already")
    columns: Any = dict[str, column_annotation()]  # type: ignore[misc]
    Contract.model_fields["columns"].annotation = columns
    Contract.model_rebuild(force=True)
