"""Datasets: raw files to the typed table, and to the rows that models are trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from coldstart.config._settings import Settings
from coldstart.contract._contract import Contract, EncodedFeatures
from coldstart.contract._derived import explain_left_out
from coldstart.data._objective import Objective, choose_objective
from coldstart.data._rows import ROW, ROW_HASH, check_weights, type_rows
from coldstart.data._sampling import ReservoirSampler, sample
from coldstart.data._splitting import Split, split
from coldstart.data._streams import write_parquet
from coldstart.data.reading._read import read, row_groups
from coldstart.errors import UserError

PREPARED = Path("data/prepared/table.parquet")  # every row that has a target; with lags, every row
EXAMPLES = Path(
    "data/prepared/examples.parquet"
)  # the rows that are trained on or evaluated, with their parts
PART = "__part_{}__"
DIGEST = "digest"


@dataclass(frozen=True)
class Dataset:
    """Typed rows, split for training and evaluation.

    Parameters
    ----------
    contract : Contract
        The data contract of the table.
    table : polars.DataFrame
        n rows of the schema's columns, except those with the role ignore.
    splits : sequence of Split
        One split, or several if rows are few.
    classes : list of str
        Sorted names of the target's classes. Empty for regression.
    digest : str
        SHA-256 of the prepared file, hexadecimal.
    row_ids : polars.DataFrame, optional
        If rows are streamed, the columns `ROW` and `ROW_HASH` of these rows.
    objective : Objective, optional
        The metric that models are chosen by, and how the threshold is chosen.
    """

    contract: Contract
    table: pl.DataFrame
    splits: Sequence[Split]
    classes: list[str]
    digest: str
    row_ids: pl.DataFrame | None = None
    objective: Objective = field(default_factory=Objective)

    @cached_property
    def encoded(self) -> EncodedFeatures:
        """Encoded features of all rows."""
        return encode(self.contract, self.table)

    @cached_property
    def test_rows(self) -> np.ndarray:
        """Sorted numbers of the rows that some split tests, shape (k,)."""
        return np.unique(np.concatenate([split.test for split in self.splits]))

    @cached_property
    def fitting_rows(self) -> np.ndarray:
        """Numbers of the rows that the final model is fitted on, shape (k,).

        These include the validation rows, which are the latest before the test rows. If several
        splits have tested every row, by other models, they include the test rows as well.
        """
        rows = np.concatenate(
            [part for split in self.splits for part in (split.train, split.validation)]
        )
        return rows if len(self.splits) == 1 else np.union1d(rows, self.test_rows)

    @property
    def smallest_part(self) -> np.ndarray:
        """Numbers of the rows of the smallest training set, shape (k,)."""
        return min((split.train for split in self.splits), key=len)

    def features(self, rows: np.ndarray) -> EncodedFeatures:
        """Return the encoded features of some rows.

        Parameters
        ----------
        rows : ndarray of int, shape (k,)
            Row numbers of the table.

        Returns
        -------
        EncodedFeatures
            k encoded rows.
        """
        return self.encoded[rows]

    @cached_property
    def targets(self) -> np.ndarray:
        """Targets of all rows, shape (n,): class indices (int64), or values (float64).

        The index of a class that no training row has is -1.
        """
        target = self.table[self.contract.target]
        if not self.contract.classifies:
            return target.to_numpy().astype(np.float64)
        number = target.cast(pl.String).cast(pl.Enum(self.classes), strict=False).to_physical()
        return number.cast(pl.Int64).fill_null(-1).to_numpy()  # -1: a class that came later

    def target(self, rows: np.ndarray) -> np.ndarray:
        """Return the targets of some rows.

        Parameters
        ----------
        rows : ndarray of int, shape (k,)
            Row numbers of the table.

        Returns
        -------
        ndarray of shape (k,)
            Class indices (int64), or values in the target's unit (float64).
        """
        chosen: np.ndarray = self.targets[rows]
        return chosen

    def sample_weight(self, rows: np.ndarray) -> np.ndarray | None:
        """Return the weights of some rows, or None if no column has the role weight.

        Parameters
        ----------
        rows : ndarray of int, shape (k,)
            Row numbers of the table.

        Returns
        -------
        ndarray of float64, shape (k,) or None
            Weights in fitting and evaluation.
        """
        weight = self.contract.names("weight")
        return self.table[weight[0]].to_numpy()[rows].astype(np.float64) if weight else None

    def without(self, names: Sequence[str]) -> Dataset:
        """Return the same rows without some features.

        Parameters
        ----------
        names : sequence of str
            Names of features, not of all.

        Returns
        -------
        Dataset
            The dataset, whose contract ignores them.
        """
        columns = self.contract.columns
        ignored = {name: columns[name].model_copy(update={"role": "ignore"}) for name in names}
        return replace(self, contract=Contract(columns=columns | ignored))

    def seasonal_naive(self, rows: np.ndarray) -> np.ndarray | None:
        """Return the seasonal naive forecast of some rows.

        Parameters
        ----------
        rows : ndarray of int, shape (k,)
            Row numbers of the table.

        Returns
        -------
        ndarray of shape (k,) or None
            The target one season earlier, or its mean where the series had not begun. None if the
            target has no season.
        """
        season = getattr(self.contract.columns[self.contract.target], "season", None)
        for name, lag in self.contract.lags.items():
            if lag.lag_of == self.contract.target and lag.steps == season:
                earlier = self.table[name].to_numpy()[rows]
                forecast: np.ndarray = np.where(np.isnan(earlier), np.mean(self.targets), earlier)
                return forecast
        return None


def encode(contract: Contract, table: pl.DataFrame) -> EncodedFeatures:
    """Encode the features of a typed table.

    Parameters
    ----------
    contract : Contract
        What the columns are.
    table : polars.DataFrame
        n typed rows.

    Returns
    -------
    EncodedFeatures
        n encoded rows.

    Notes
    -----
    Each distinct value of a column is encoded once, which is several times faster.
    """
    columns: dict[str, list[Any]] = {"numbers": [], "strings": []}
    for name, column in contract.features.items():
        values = table[name]
        if values.dtype.is_float():
            array: Any = values.to_numpy()
            columns[column.matrix] += column.encode(array)
            continue
        distinct = values.unique()
        numbered = values.replace_strict(distinct, pl.Series(np.arange(len(distinct))))
        place = numbered.cast(pl.Int64).to_numpy()
        kind = np.float64 if column.matrix == "numbers" else object
        parts = column.encode(distinct.to_list())
        columns[column.matrix] += [np.array(part, dtype=kind)[place] for part in parts]
    return contract.assemble(columns)


def prepare(settings: Settings) -> Dataset:
    """Read the table, validate it against schema.yaml, save it and split it.

    Parameters
    ----------
    settings : Settings
        The project's settings.

    Returns
    -------
    Dataset
        The typed rows. If there are more than `training_rows`, a random sample of them.

    Raises
    ------
    UserError
        If the data cannot be read, violates schema.yaml or cannot be split.
    """
    contract = Contract.load(settings.contract)
    contract.set_table(settings.data.table)
    stream = settings.neural.stream
    if stream:
        row_groups(settings.data)  # before the long reading: whether there are any
        if contract.lags:
            raise UserError(
                f"{next(iter(contract.lags))} is an earlier row's value, and rows are streamed in "
                "no order: set neural.stream to false in config.yaml, or remove it"
            )
    raw = read(settings.data)
    for finding in raw.findings:
        print(finding)
    for line in explain_left_out(contract.encoded_columns()):
        print(line)
    PREPARED.parent.mkdir(parents=True, exist_ok=True)
    unfinished = [path.with_suffix(".unfinished") for path in (PREPARED, EXAMPLES)]
    digest = ""
    try:
        if stream:
            sampler = ReservoirSampler(settings.training_rows, settings.seed)
            rows, coincidence = type_rows(raw, contract, sampler.add)
            table, digest = sampler.rows(), sampler.digest.hexdigest()
            PREPARED.unlink(missing_ok=True)  # what it held may have been another table
            print(
                f"{len(table):,} of {rows:,} rows are sampled at random (training_rows in "
                "config.yaml); the network trains on all rows that are not held out"
            )
        else:
            # Not compressed: it is read again at once, and seldom after that.
            write = partial(write_parquet, path=unfinished[0], compression="none")
            rows, coincidence = type_rows(raw, contract, write)
            table = sample(unfinished[0], rows, contract, settings)
        table = assign_parts(table, contract, settings, coincidence)
        table.write_parquet(unfinished[1], metadata={DIGEST: digest})
        if not stream:
            unfinished[0].replace(PREPARED)
        unfinished[1].replace(EXAMPLES)
    finally:
        for path in unfinished:
            path.unlink(missing_ok=True)
    return load(settings)


def assign_parts(
    table: pl.DataFrame, contract: Contract, settings: Settings, coincidence: float
) -> pl.DataFrame:
    """Add for each split a column with the number of each row's part."""
    if contract.names("time"):
        table = table.sort(contract.names("time")[0], maintain_order=True)
    if contract.pictures:
        from coldstart.data._picture_copies import join_copies  # needs Pillow

        table, coincidence = join_copies(table, contract), 0.0  # no two are equal by chance
    parts = split(table, contract, settings.split, settings.seed, coincidence)
    if settings.neural.stream and len(parts) > 1:
        raise UserError(
            f"neural.stream needs one split, and {len(table)} rows are so few that they are split "
            f"{len(parts)} times: raise training_rows, or lower split.cross_validate_below"
        )
    names = pl.col(list(contract.features))
    for part in parts:
        has_value = table.select(names.filter(pl.Series(part == 0)).is_not_null().any())
        for name, value in has_value.row(0, named=True).items():
            if not value:
                raise UserError(
                    f"{name} has no value in the training set: give it the role ignore in "
                    "schema.yaml"
                )
    for name in contract.names("weight"):
        check_weights(table[name])
        if not (table[name] > 0).any():
            raise UserError(f"{name}: the weight of each row is 0, so that no row counts")
    if not settings.neural.stream:
        table = table.drop(ROW_HASH, ROW)
    return table.with_columns(pl.Series(PART.format(i), part) for i, part in enumerate(parts))


def load(settings: Settings) -> Dataset:
    """Load the rows that `prepare` saved.

    Parameters
    ----------
    settings : Settings
        The project's settings.

    Returns
    -------
    Dataset
        The same as `prepare` returned.

    Raises
    ------
    UserError
        If nothing was prepared, or schema.yaml has changed since.
    """
    contract = Contract.load(settings.contract)
    if not EXAMPLES.is_file():
        raise UserError(f"{EXAMPLES}: nothing is prepared; run: make train")
    table = pl.read_parquet(EXAMPLES)
    parts = [name for name in table.columns if name not in contract.columns]
    row_ids = table.select(ROW, ROW_HASH) if ROW_HASH in parts else None
    parts = [name for name in parts if name not in (ROW, ROW_HASH)]
    table = table.drop(ROW, ROW_HASH, strict=False)
    if contract.used != set(table.columns) - set(parts):
        raise UserError(f"{settings.contract} has changed since {EXAMPLES}; run: make train")
    splits = [Split.of(table[name].to_numpy()) for name in parts]
    table = table.drop(parts)
    classes: list[str] = []
    if contract.classifies:
        fitted = np.zeros(len(table), dtype=bool)
        for chosen in splits:
            fitted[chosen.train] = fitted[chosen.validation] = True
        classes = sorted(table[contract.target].filter(fitted).cast(pl.String).unique().to_list())
    digest = hashlib.sha256(EXAMPLES.read_bytes()).hexdigest()
    objective = choose_objective(settings, contract, table[contract.target], classes)
    return Dataset(contract, table, splits, classes, digest, row_ids, objective)


def describe_split(dataset: Dataset) -> str:
    """Describe how many rows and groups there are, and how many in each part.

    Parameters
    ----------
    dataset : Dataset
        The typed rows.

    Returns
    -------
    str
        One line to print.
    """
    group = dataset.contract.names("group")
    rows = f"{len(dataset.table):,} rows"
    if group:
        rows += f" ({dataset.table[group[0]].n_unique():,} groups of {group[0]})"
    if len(dataset.splits) > 1:
        return f"{rows}, split {len(dataset.splits)} times since they are few"
    parts = dataset.splits[0].parts()
    shown = [f"{len(part):,} {name}" for name, part in parts.items()]
    if group:
        counts = [dataset.table[group[0]][part].n_unique() for part in parts.values()]
        shown = [f"{one} ({count:,})" for one, count in zip(shown, counts, strict=True)]
    return ", ".join([rows, *shown])
