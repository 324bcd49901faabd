"""Preparation: the first stage. Raw files to data/prepared/table.parquet."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from .contract import Contract, Matrices
from .errors import UserError
from .reading import collect, read
from .settings import Settings
from .splitting import split
from .validation import validate

PREPARED = Path("data/prepared/table.parquet")
PART = "__part__"


@dataclass(frozen=True)
class Examples:
    """Rows ready for a model.

    Attributes
    ----------
    features
        Encoded features of n rows.
    target
        Shape (n,): class numbers (int64), or quantities (float64).
    """

    features: Matrices
    target: np.ndarray

    def __add__(self, other: Examples) -> Examples:
        """Return the rows of both."""
        return Examples(
            Matrices.stack([self.features, other.features]),
            np.concatenate([self.target, other.target]),
        )


@dataclass(frozen=True)
class Prepared:
    """The typed, split table.

    Attributes
    ----------
    table
        The contract's columns and the name of each row's part.
    classes
        Names of the target's classes in order; empty for regression.
    digest
        SHA-256 of the table, hexadecimal.
    """

    contract: Contract
    table: pl.DataFrame
    classes: list[str]
    digest: str

    def part(self, name: str) -> pl.DataFrame:
        """The rows of one part, typed."""
        return self.table.filter(pl.col(PART) == name)

    def examples(self, name: str) -> Examples:
        """The rows of one part, encoded."""
        return Examples(encode(self.contract, self.part(name)), self.target(name))

    def target(self, name: str) -> np.ndarray:
        """The targets of one part alone: class numbers (int64), or quantities (float64)."""
        target = self.part(name)[self.contract.target]
        if not self.contract.classifies:
            return target.to_numpy().astype(np.float64)
        number = {label: i for i, label in enumerate(self.classes)}
        return np.array([number[label] for label in target.cast(pl.String)], dtype=np.int64)


def encode(contract: Contract, table: pl.DataFrame) -> Matrices:
    """Encode the features of a typed table."""
    return contract.encode({name: table[name].to_list() for name in contract.features})


def prepare(settings: Settings) -> Prepared:
    """Read, validate, split and save the table that the contract describes.

    Raises
    ------
    UserError
        If the data cannot be read, violates the contract or cannot be split.
    """
    contract = Contract.load(settings.contract)
    raw = read(settings.data)
    for finding in raw.findings:
        print(finding)
    table = validate(collect(raw.frame.cast(pl.String), settings.data.table), contract)
    part = split(table, contract, settings.split, settings.seed)
    for name in contract.features:
        if table.filter(part == "train")[name].null_count() == (part == "train").sum():
            raise UserError(
                f"{name} has no value in the train part: give it the role ignore in the contract"
            )
    table = table.with_columns(part.alias(PART))
    if contract.names("time"):
        table = table.sort(contract.names("time")[0], maintain_order=True)
    PREPARED.parent.mkdir(parents=True, exist_ok=True)
    unfinished = PREPARED.with_suffix(".unfinished")
    table.write_parquet(unfinished)
    unfinished.replace(PREPARED)
    return load(settings)


def load(settings: Settings) -> Prepared:
    """Read the prepared table.

    Raises
    ------
    UserError
        If there is none, or the contract has changed since.
    """
    contract = Contract.load(settings.contract)
    if not PREPARED.is_file():
        raise UserError(f"{PREPARED}: there is no prepared table; run: make train")
    table = pl.read_parquet(PREPARED)
    if table.columns != [*contract.columns, PART]:
        raise UserError(f"{settings.contract} has changed since {PREPARED}; run: make train")
    fitted = table.filter(pl.col(PART) == "train")[contract.target]
    classes = sorted(fitted.cast(pl.String).unique().to_list()) if contract.classifies else []
    digest = hashlib.sha256(PREPARED.read_bytes()).hexdigest()
    return Prepared(contract, table, classes, digest)
