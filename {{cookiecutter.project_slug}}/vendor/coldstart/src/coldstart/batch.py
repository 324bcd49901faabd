"""Batch prediction: a file of rows to a file of predictions, a slice at a time."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from tqdm import tqdm

from coldstart._writing import new_file
from coldstart.bundle._predictor import BundlePredictor
from coldstart.config._sections import Dialect
from coldstart.contract._contract import Contract, EncodedFeatures
from coldstart.contract.columns import BaseColumn
from coldstart.data._dataset import encode
from coldstart.data._recursive import add_known_lags, predict_series
from coldstart.data._rows import slice_rows
from coldstart.data._streams import prefetch, write_csv, write_parquet
from coldstart.data._validation import TableValidator
from coldstart.data.reading._raw import RawTable
from coldstart.data.reading._read import scan
from coldstart.errors import UserError

ROWS = 50_000  # in memory at a time
SEPARATORS = {".csv": ",", ".tsv": "\t"}


def predict_file(bundle: Path, file: Path, out: Path) -> int:
    """Predict the rows of a file, and write them with the predictions.

    Parameters
    ----------
    bundle : Path
        Folder of the model bundle.
    file : Path
        CSV, TSV or Parquet. A column that may be missing may be left out.
    out : Path
        CSV, TSV or Parquet, by its name. The columns of `file` are kept, and those of predictions
        added: `label` and `probability` of each class, with prediction sets `set`, a list in JSON;
        or `value`, with prediction intervals their ends, `low` and `high`. If `file` has a column
        of that name, `predicted` stands before it. The file appears when it is complete.

    Returns
    -------
    int
        Number of rows.

    Raises
    ------
    UserError
        If a file or the bundle cannot be used, or a value violates the schema.
    """
    if out.suffix not in (*SEPARATORS, ".parquet"):
        raise UserError(f"{out}: expected a name that ends in .csv, .tsv or .parquet")
    if out.exists() and file.exists() and out.samefile(file):
        raise UserError(f"{out} is the file that is read: choose another name")
    if out.exists() and not out.is_file():
        raise UserError(f"{out} is not a file: choose another name")
    if not out.parent.is_dir():
        raise UserError(f"{out.parent}: there is no such folder; make it first")
    predictor = BundlePredictor(bundle)
    with new_file(out) as unfinished:
        slices = predict_slices(predictor, file)
        if out.suffix in SEPARATORS:
            rows = write_csv(slices, unfinished, SEPARATORS[out.suffix])
        else:
            rows = write_parquet(slices, unfinished)
        if not rows:
            raise UserError(f"{file} has no rows")
    return rows


def predict_slices(predictor: BundlePredictor, file: Path) -> Iterator[pl.DataFrame]:
    """Yield the file's rows with their predictions, slice by slice."""
    raw = scan(file, Dialect(ragged="refuse"))
    for finding in raw.findings:  # such as an encoding that was guessed
        print(finding, file=sys.stderr)
    contract = predictor.contract
    contract.set_table(file)
    present = raw.frame.collect_schema().names()
    columns = needed(contract, present, file)
    classes, conformal = predictor.manifest.classes, predictor.manifest.conformal
    nulls = [pl.lit(None, pl.String).alias(name) for name in columns if name not in present]
    size = slice_size(raw, contract, columns)
    validator = TableValidator(columns)

    def read() -> Iterator[tuple[pl.DataFrame, EncodedFeatures | Forecasts]]:
        for rows in raw.slices(size):
            typed = validator(rows.with_columns(nulls))
            validator.check(
                raw.locate,
                f"{file} does not match the data that the model was trained on:",
                "write it in the file as there",
            )
            yield (
                rows,
                with_lags(predictor, typed, file) if contract.lags else encode(contract, typed),
            )

    with tqdm(unit="row", unit_scale=True, disable=None, leave=False) as bar:
        for rows, found in prefetch(read()):
            steps: np.ndarray | int = 1
            if isinstance(found, Forecasts):
                prediction, steps = found.values[:, None], found.steps
            else:
                prediction = predictor.predict(found)
            prediction = prediction.astype(np.float64)  # prints as the API's responses do
            bar.update(len(rows))
            if not classes:
                found_values = {"value": prediction[:, 0]}
                if conformal and (ends := conformal.bounds(prediction[:, 0], steps)):
                    found_values["low"], found_values["high"] = ends
                yield rows.with_columns(
                    pl.Series(free_name(name, present), values).fill_nan(None)
                    for name, values in found_values.items()
                )
                continue
            numbers = predictor.labels(prediction)
            sets = conformal and conformal.describe_sets(prediction, numbers, classes)
            yield rows.with_columns(
                pl.Series(free_name("label", present), np.array(classes)[numbers]),
                *([pl.Series(free_name("set", present), sets)] if sets else []),
                *(
                    pl.Series(free_name(f"probability {name}", present), prediction[:, i])
                    for i, name in enumerate(classes)
                ),
            )


def slice_size(raw: RawTable, contract: Contract, columns: Mapping[str, BaseColumn]) -> int:
    """Return how many rows of a file are in memory at a time.

    With lags all of them are, which are not many: lags look back over the whole table.

    Parameters
    ----------
    raw : RawTable
        The file.
    contract : Contract
        The data contract.
    columns : mapping of str to BaseColumn
        The columns to read, by name.

    Returns
    -------
    int
        Number of rows.
    """
    if contract.lags:
        return max(raw.rows, 1)
    return min(ROWS, slice_rows(columns.values()))


class Forecasts(NamedTuple):
    """Predicted values of n rows, and the step of each in its forecast."""

    values: np.ndarray
    steps: np.ndarray


def with_lags(
    predictor: BundlePredictor, typed: pl.DataFrame, file: Path
) -> EncodedFeatures | Forecasts:
    """Return rows with their lags; or, if lags of the target are not given, their forecasts."""
    contract = predictor.contract
    try:
        if set(contract.target_lags) <= set(typed.columns):
            return encode(contract, add_known_lags(typed, contract))
        values, steps = predict_series(
            typed, contract, predictor.manifest.horizon, predictor.predict
        )
    except UserError as error:
        raise UserError(f"{file}: {error}") from None
    if short := int(np.isnan(values).sum()):
        print(
            f"{short} row(s) have too few earlier rows: their prediction is empty", file=sys.stderr
        )
    return Forecasts(values, steps)


def free_name(name: str, present: list[str]) -> str:
    """Return a name for a column of predictions that no column of the file has."""
    while name in present:
        name = f"predicted {name}"
    return name


def needed(contract: Contract, present: list[str], file: Path) -> dict[str, BaseColumn]:
    """Return the columns to read: the features, and what missing lags are computed from.

    Parameters
    ----------
    contract : Contract
        What the columns are.
    present : list of str
        Columns of the file.
    file : Path
        The file, for messages.

    Returns
    -------
    dict of str to BaseColumn
        The columns to read, by name.

    Raises
    ------
    UserError
        If the file lacks a required column, or has none of the columns.
    """
    columns: dict[str, BaseColumn] = {}
    for name, column in contract.features.items():
        lag = contract.lags.get(name)
        if lag is None or name in present:
            columns[name] = column
        else:
            if lag.lag_of not in present:
                raise UserError(
                    f"{file} has no column {lag.lag_of}, which the forecast is computed from. "
                    f"Put the earlier rows above those to forecast, and leave {lag.lag_of} "
                    "empty in those"
                )
            sources = [lag.lag_of, *contract.names("time"), *contract.names("series")]
            for source in map(str, sources):
                columns[source] = contract.columns[source].model_copy(update={"nullable": True})
    absent = [name for name in columns if name not in present]
    if must := [name for name in absent if not contract.columns[name].nullable]:
        lacking = ", ".join(must)
        raise UserError(f"{file} has no column {lacking}, which the model needs; add it")
    if set(present).isdisjoint(columns):
        wanted = ", ".join(contract.features)
        raise UserError(f"{file} has none of the columns {wanted}; is its first line the header?")
    if absent:
        print(
            f"{file} has no column {', '.join(absent)}: its values are taken as missing",
            file=sys.stderr,
        )
    return columns
