"""Rows to compare, typed and predicted, a slice at a time: of a file, or prepared ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl
from tqdm import tqdm

from coldstart.batch import ROWS, needed, slice_size
from coldstart.bundle._predictor import BundlePredictor
from coldstart.config._sections import Dialect
from coldstart.contract._contract import Contract
from coldstart.data._dataset import EXAMPLES, PART, encode
from coldstart.data._lags import add_lags, has_history
from coldstart.data._splitting import PARTS
from coldstart.data._validation import TableValidator
from coldstart.data.reading._read import scan
from coldstart.errors import UserError

# Columns of the prediction log beside the features.
REQUEST, ROW, REF, TIME = "__request__", "__row__", "__ref__", "__time__"
VERSION, ROLE, LABEL, PREDICTION = "__version__", "__role__", "__label__", "__prediction__"
SET = "__set__"  # of more than two classes the prediction set, a list in JSON


class Rows(Protocol):
    """Rows with the model's predictions, in the columns of the prediction log.

    Attributes
    ----------
    name : str
        Where they are from.
    """

    @property
    def name(self) -> str: ...

    def __iter__(self) -> Iterator[pl.DataFrame]: ...

    def notes(self) -> list[str]:
        """Return what the reader should know of the rows, once they were iterated."""
        ...


@dataclass
class FileRows:
    """The rows of a file, which are predicted here.

    Attributes
    ----------
    file : Path
        The file.
    predictor : BundlePredictor
        The model.
    violations : list of str
        Values that violate the contract, once the rows were iterated.
    """

    file: Path
    predictor: BundlePredictor
    violations: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return str(self.file)

    def notes(self) -> list[str]:
        return self.violations

    def __iter__(self) -> Iterator[pl.DataFrame]:
        """Yield the rows. Values that violate the contract, and the API refuses, are counted.

        Raises
        ------
        UserError
            If the file cannot be read, or lacks a column.
        """
        raw = scan(self.file, Dialect(ragged="refuse"))
        contract = self.predictor.contract
        contract.set_table(self.file)
        present = raw.frame.collect_schema().names()
        columns = needed(contract, present, self.file)
        kept = [name for role in ("time", "group", "weight") for name in contract.names(role)]
        for name in [contract.target, *kept]:
            if name in present:
                columns[name] = contract.columns[name].model_copy(update={"nullable": True})
        nulls = [pl.lit(None, pl.String).alias(name) for name in columns if name not in present]
        validator = TableValidator(columns)
        with tqdm(total=raw.rows, unit="row", unit_scale=True, disable=None, leave=False) as bar:
            for rows in raw.slices(slice_size(raw, contract, columns)):
                typed = validator(rows.with_columns(nulls))
                if not columns.keys() >= contract.lags.keys():
                    typed = add_lags(typed, contract)
                    typed = typed.filter(has_history(typed, contract))
                yield with_predictions(self.predictor, typed)
                bar.update(len(rows))
        self.violations = [
            f"{one.column}: {one.count:,} value(s) {one.rule}, the first is {one.value} "
            f"({raw.locate(one.row)}); the API refuses such rows"
            for one in validator.violations.values()
        ]


@dataclass
class PartRows:
    """The prepared rows of a part, which are predicted here.

    Attributes
    ----------
    part : str
        Name of the part, such as `test`.
    predictor : BundlePredictor
        The model.
    """

    part: str
    predictor: BundlePredictor

    @property
    def name(self) -> str:
        return f"{EXAMPLES}, {self.part}"

    def notes(self) -> list[str]:
        return []

    def __iter__(self) -> Iterator[pl.DataFrame]:
        """Yield the rows.

        Raises
        ------
        UserError
            If there is no prepared table, or it is not of the model's contract.
        """
        if not EXAMPLES.is_file():
            raise UserError(f"{EXAMPLES}: there is no prepared table; run: make prepare")
        number = PARTS.index(self.part)
        rows = pl.read_parquet(EXAMPLES).filter(pl.col(PART.format(0)) == number)
        needs = self.predictor.contract.features
        if lacking := [name for name in needs if name not in rows.columns]:
            raise UserError(f"{EXAMPLES} has no {lacking[0]}, which the model needs: make train")
        for some in rows.iter_slices(ROWS):
            yield with_predictions(self.predictor, some)


def feature_types(contract: Contract) -> dict[str, pl.DataType]:
    """Return the types that the features have in a typed table."""
    columns = contract.features
    empty = pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
    return dict(TableValidator(columns)(empty).schema)


def with_predictions(predictor: BundlePredictor, rows: pl.DataFrame) -> pl.DataFrame:
    """Return typed rows with the model's predictions, in the columns of the prediction log."""
    prediction = predictor.predict(encode(predictor.contract, rows)).astype(np.float64)
    classes, conformal = predictor.manifest.classes, predictor.manifest.conformal
    if classes:
        numbers = predictor.labels(prediction)
        labels = np.array(classes)[numbers]
        rows = rows.with_columns(pl.Series(LABEL, labels, dtype=pl.String))
        sets = conformal.describe_sets(prediction, numbers, classes) if conformal else None
        if sets is not None:
            rows = rows.with_columns(pl.Series(SET, sets, dtype=pl.String))
    times = [name for name in predictor.contract.names("time") if name in rows.columns]
    rows = rows.with_columns(pl.col(name).cast(pl.Datetime("us")).alias(TIME) for name in times)
    return rows.with_columns(pl.Series(PREDICTION, prediction[:, -1]))
