"""The contract (schema.yaml): what each column of the table is.

Everything that needs to know about a column reads it here: reading, validation,
the split, the features, the API. Nothing else names a column.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

try:
    from yaml import CSafeLoader as SafeLoader
except ImportError:  # PyYAML without its library in C, which is ten times as fast
    from yaml import SafeLoader  # type: ignore[assignment]

from coldstart.contract._derived import DerivedColumn, compute, registered
from coldstart.contract.columns import BaseColumn, Boolean, Category, Column, Number
from coldstart.errors import UserError, describe

FLOAT32_MAX = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class EncodedFeatures:
    """Encoded features of n rows, as a model's graph takes them.

    Attributes
    ----------
    numbers
        float32, shape (n, number of number columns), NaN for missing.
    strings
        object, shape (n, number of string columns).
    """

    numbers: np.ndarray
    strings: np.ndarray

    def __getitem__(self, rows: slice | np.ndarray) -> EncodedFeatures:
        """Return the given rows."""
        return EncodedFeatures(self.numbers[rows], self.strings[rows])

    @classmethod
    def stack(cls, parts: Sequence[EncodedFeatures]) -> EncodedFeatures:
        """Return the rows of all parts."""
        return cls(
            np.vstack([part.numbers for part in parts]), np.vstack([part.strings for part in parts])
        )


class Loader(SafeLoader):
    """YAML in which yes and no are words, dates are texts, and a name stands only once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value]
        if twice := [name for name in names if names.count(name) > 1]:
            raise yaml.constructor.ConstructorError(
                None, None, f"{twice[0]!r} is there twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


SETTINGS = {name for kind in get_args(get_args(Column)[0]) for name in kind.model_fields}
WORDS = ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")
Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in WORDS]
    for first, resolvers in SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver(WORDS[0], re.compile("^(true|false)$", re.IGNORECASE), list("tfTF"))


class Contract(BaseModel):
    """The columns of a table, by name, in order."""

    model_config = ConfigDict(extra="forbid")

    columns: dict[str, Column]

    @classmethod
    def load(cls, path: Path) -> Contract:
        """Read a contract.

        Raises
        ------
        UserError
            If the file is missing or is not a contract; every mistake is named.
        """
        try:
            with path.open(encoding="utf-8") as file:
                content = yaml.load(file, Loader)
            return cls.model_validate(content)
        except FileNotFoundError:
            raise UserError(
                f"{path}: there is no such contract; see contract in config.yaml"
            ) from None
        except yaml.YAMLError as error:
            raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
        except ValidationError as error:
            raise UserError(f"{path}: {describe(error, SETTINGS)}") from None

    @model_validator(mode="after")
    def _roles_are_consistent(self) -> Contract:
        for role in ("target", "time", "group", "series"):
            names = self.names(role)
            if len(names) > 1:
                raise ValueError(f"only one column can have the role {role}, not {names}")
        if not self.names("target"):
            raise ValueError("one column needs the role target")
        if not isinstance(self.columns[self.target], Boolean | Category | Number):
            raise ValueError(f"the target {self.target} must be a boolean, category or number")
        if not self.features:
            raise ValueError("at least one column needs the role feature")
        for name, column in self.lags.items():
            if not isinstance(self.columns.get(str(column.lag_of)), Number):
                raise ValueError(f"{name}: lag_of: there is no number {column.lag_of!r}")
            if not self.names("time"):
                raise ValueError(f"{name}: a lag needs a column with the role time")
        return self

    def names(self, role: str) -> list[str]:
        """Names of the columns that have a role, in order."""
        return [name for name, column in self.columns.items() if column.role == role]

    @cached_property
    def target(self) -> str:
        """Name of the target."""
        return self.names("target")[0]

    @cached_property
    def features(self) -> dict[str, BaseColumn]:
        """The columns that a model is shown."""
        return {name: column for name, column in self.columns.items() if column.is_feature}

    @cached_property
    def used(self) -> set[str]:
        """Names of all columns but those to ignore; one of these may still have a lag."""
        lagged = {lag.lag_of for lag in self.lags.values()}
        return {
            name
            for name, column in self.columns.items()
            if column.role != "ignore" or name in lagged
        }

    @cached_property
    def lags(self) -> dict[str, Number]:
        """The columns that are derived from another's earlier values."""
        return {
            name: column
            for name, column in self.columns.items()
            if isinstance(column, Number) and column.lag_of
        }

    @property
    def classifies(self) -> bool:
        """Whether the target is a label (classification) or a number (regression)."""
        return not isinstance(self.columns[self.target], Number)

    def feature_names(self, matrix: str) -> list[str]:
        """Names of the features that are encoded into one of the two matrices."""
        return [name for name, column in self.features.items() if column.matrix == matrix]

    @property
    def texts(self) -> list[str]:
        """Names of the features that are texts."""
        return [name for name in self.feature_names("strings") if name not in self.categories]

    @property
    def categories(self) -> list[str]:
        """Names of the features that are categories."""
        return [name for name, column in self.features.items() if isinstance(column, Category)]

    def encode(self, table: Mapping[str, Sequence[Any]]) -> EncodedFeatures:
        """Encode typed values, given column by column, for a model.

        Training, batch prediction and the API all come through here, so that a
        row means the same to each of them.
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
            Of n rows.
        """
        rows = len((columns["numbers"] or columns["strings"])[0])
        # A matrix at a time: a column at a time takes twice as long for a single row.
        numbers = np.array(columns["numbers"], dtype=np.float64)
        numbers = numbers.reshape(len(columns["numbers"]), rows)  # also where one of them is 0
        strings = np.array(columns["strings"], dtype=object)
        strings = strings.reshape(len(columns["strings"]), rows)
        if self.derived:
            names = self.encoded_names
            named = dict(zip(names["numbers"], numbers, strict=True))
            named |= zip(names["strings"], strings, strict=True)
            numbers = np.vstack([numbers, compute(self.derived, named, rows)])
        np.maximum(numbers, -FLOAT32_MAX, out=numbers)  # np.clip takes twice as long
        np.minimum(numbers, FLOAT32_MAX, out=numbers)
        return EncodedFeatures(numbers.T.astype(np.float32), strings.T)

    @cached_property
    def encoded_names(self) -> dict[str, list[str]]:
        """Names of the encoded columns of each matrix, the derived ones left out."""
        names: dict[str, list[str]] = {"numbers": [], "strings": []}
        for name, column in self.features.items():
            names[column.matrix] += column.encoded_names(name)
        return names

    def encoded_columns(self) -> list[str]:
        """Return the names of all encoded columns in order: numbers, derived ones, strings."""
        return [*self.encoded_names["numbers"], *self.derived, *self.encoded_names["strings"]]

    @cached_property
    def derived(self) -> dict[str, DerivedColumn]:
        """The registered derived columns whose inputs are features here."""
        names = self.encoded_names
        return registered(names["numbers"], names["strings"])

    def example(self) -> dict[str, Any]:
        """One row of examples, as a request would carry it."""
        return {
            name: column.typical() if column.example is None else column.example
            for name, column in self.features.items()
        }


def feature_slices(contract: Contract) -> dict[str, slice]:
    """Where each feature's columns are in its matrix."""
    found, ends = {}, {"numbers": 0, "strings": 0}
    for name, column in contract.features.items():
        start = ends[column.matrix]
        ends[column.matrix] += len(column.encode([]))
        found[name] = slice(start, ends[column.matrix])
    return found
