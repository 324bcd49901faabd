"""Preparation: the first stage. Raw files to data/prepared/table.parquet."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from .contract import Contract, Matrices
from .errors import UserError
from .reading import read
from .settings import Settings
from .splitting import Round, divide, split
from .validation import validate

PREPARED = Path("data/prepared/table.parquet")
PART = "__part__"


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
    seed: int = 0

    def part(self, name: str) -> pl.DataFrame:
        """The rows of one part, typed."""
        return self.table.filter(pl.col(PART) == name)

    @cached_property
    def encoded(self) -> Matrices:
        """All rows, encoded once."""
        return encode(self.contract, self.table)

    def features(self, rows: np.ndarray) -> Matrices:
        """Encoded features of some rows."""
        return self.encoded[rows]

    def target(self, rows: np.ndarray) -> np.ndarray:
        """The targets of some rows: class numbers (int64), or quantities (float64)."""
        target = self.table[self.contract.target][rows]
        if not self.contract.classifies:
            return target.to_numpy().astype(np.float64)
        number = {label: i for i, label in enumerate(self.classes)}
        return np.array([number[label] for label in target.cast(pl.String)], dtype=np.int64)

    def naive(self, rows: np.ndarray) -> np.ndarray | None:
        """Forecast by the value of a season ago, where the target has one."""
        return None

    @cached_property
    def rounds(self) -> list[Round]:
        """The ways to divide the rows: one, or repeated folds where they are few."""
        return divide(self.table, self.contract, self.table[PART], self.seed)


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
    table = validate(read(settings.data), contract)
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
    return Prepared(contract, table, classes, digest, settings.seed)
