"""Preparation: the first stage. Raw files to the typed table, and to the rows to learn from."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from tqdm import tqdm

from .contract import Contract, Matrices
from .errors import UserError
from .lags import add_lags, begun
from .reading import RawTable, read
from .settings import Settings
from .splitting import COPY, PARTS, Round, codes, split
from .streams import write_parquet
from .validation import Typing, check_names

PREPARED = Path("data/prepared/table.parquet")  # every row that has a target
EXAMPLES = Path("data/prepared/examples.parquet")  # those to learn from, with their parts
PART = "__part_{}__"
SLICE = 200_000  # rows in memory at a time


@dataclass(frozen=True)
class Prepared:
    """The typed rows to learn from, split.

    Attributes
    ----------
    table
        n rows of the contract's columns but those that are ignored.
    rounds
        One split, or where rows are few several.
    classes
        Names of the target's classes in order; empty for regression.
    digest
        SHA-256 of the table, hexadecimal.
    """

    contract: Contract
    table: pl.DataFrame
    rounds: Sequence[Round]
    classes: list[str]
    digest: str

    @cached_property
    def encoded(self) -> Matrices:
        """All rows, encoded."""
        return encode(self.contract, self.table)

    def features(self, rows: np.ndarray) -> Matrices:
        """Encoded features of some rows."""
        return self.encoded[rows]

    @cached_property
    def targets(self) -> np.ndarray:
        """Targets of all rows, shape (n,): class numbers (int64), or quantities (float64)."""
        target = self.table[self.contract.target]
        if not self.contract.classifies:
            return target.to_numpy().astype(np.float64)
        number = target.cast(pl.String).cast(pl.Enum(self.classes), strict=False).to_physical()
        return number.cast(pl.Int64).fill_null(-1).to_numpy()  # -1: a class that came later

    def target(self, rows: np.ndarray) -> np.ndarray:
        """Targets of some rows."""
        chosen: np.ndarray = self.targets[rows]
        return chosen

    def naive(self, rows: np.ndarray) -> np.ndarray | None:
        """Seasonal naive forecast of some rows, shape (k,), if the target has a season."""
        season = getattr(self.contract.columns[self.contract.target], "season", None)
        for name, lag in self.contract.lags.items():
            if lag.lag_of == self.contract.target and lag.steps == season:
                earlier = self.table[name].to_numpy()[rows]
                forecast: np.ndarray = np.where(np.isnan(earlier), np.mean(self.targets), earlier)
                return forecast
        return None


def encode(contract: Contract, table: pl.DataFrame) -> Matrices:
    """Encode the features of a typed table: of a column that repeats, each value once."""
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
    return contract.side_by_side(columns)


def prepare(settings: Settings) -> Prepared:
    """Read, validate and save the table that the contract describes, and split it.

    Raises
    ------
    UserError
        If the data cannot be read, violates the contract or cannot be split.
    """
    contract = Contract.load(settings.contract)
    raw = read(settings.data)
    for finding in raw.findings:
        print(finding)
    PREPARED.parent.mkdir(parents=True, exist_ok=True)
    unfinished = [path.with_suffix(".unfinished") for path in (PREPARED, EXAMPLES)]
    try:
        rows, chance = type_rows(raw, contract, unfinished[0])
        table = sample(unfinished[0], rows, contract, settings)
        with_parts(table, contract, settings, chance).write_parquet(unfinished[1])
        unfinished[0].replace(PREPARED)
        unfinished[1].replace(EXAMPLES)
    finally:
        for path in unfinished:
            path.unlink(missing_ok=True)
    return load(settings)


def with_parts(
    table: pl.DataFrame, contract: Contract, settings: Settings, chance: float
) -> pl.DataFrame:
    """Add lags, and for each split a column with the number of each row's part."""
    if contract.lags:
        table = add_lags(table, contract)
        table = table.filter(begun(table, contract))
    if contract.names("time"):
        table = table.sort(contract.names("time")[0], maintain_order=True)
    parts = split(table, contract, settings.split, settings.seed, chance)
    for name in contract.features:
        if any(table[name].filter(part == 0).is_null().all() for part in parts):
            raise UserError(
                f"{name} has no value in the train part: give it the role ignore in the contract"
            )
    table = table.drop(COPY)
    return table.with_columns(pl.Series(PART.format(i), part) for i, part in enumerate(parts))


def type_rows(raw: RawTable, contract: Contract, path: Path) -> tuple[int, float]:
    """Write the rows that have a target to a file, typed, with a column `COPY`.

    Returns
    -------
    int, float
        How many rows they are, and how probable it is that two are the same by coincidence.

    A slice at a time, so that a table need not fit into memory.

    Raises
    ------
    UserError
        If the table has other columns than the contract, or values that it forbids.
    """
    names = raw.frame.collect_schema().names()
    check_names(names, contract)
    columns = {
        name: column
        for name, column in contract.columns.items()
        if name not in contract.lags and name in contract.used
    }
    # A row without a target is no mistake; it has nothing to teach.
    columns[contract.target] = columns[contract.target].model_copy(update={"nullable": True})
    typing = Typing(columns)
    # A number of the row would make every copy another row.
    told = [name for name in names if contract.columns[name].role != "id"]
    chance = 0.0

    def typed() -> Iterator[pl.DataFrame]:
        nonlocal chance
        with tqdm(unit="row", unit_scale=True, disable=None, leave=False, desc="reading") as bar:
            for rows in raw.slices(SLICE):
                if typing.rows == 0:
                    shares = (rows[name].unique_counts() / len(rows) for name in told)
                    chance = math.prod(float((share**2).sum()) for share in shares)
                copy = rows.select(told).hash_rows().alias(COPY)
                yield typing(rows).hstack([copy]).drop_nulls(contract.target)
                bar.update(len(rows))

    # Not compressed: it is read again at once, and seldom after that.
    written = write_parquet(typed(), path, compression="none")
    typing.check(raw.place)
    if not typing.rows:
        raise UserError("the table has columns but no rows")
    if not written:
        raise UserError(f"{contract.target} is missing in every row")
    if missing := typing.rows - written:
        print(f"{missing} of {typing.rows} rows have no {contract.target} and are left out")
    return written, chance


def sample(path: Path, rows: int, contract: Contract, settings: Settings) -> pl.DataFrame:
    """Read the rows to learn from, in order: all, or if they are too many some of each class.

    Classes (of a quantity, its tenths) keep their shares.
    """
    if rows <= settings.training_rows:
        return pl.read_parquet(path)
    print(
        f"learning from {settings.training_rows:,} of {rows:,} rows, drawn at random with "
        f"{contract.target} in the same shares (training_rows in config.yaml)"
    )
    target = pl.read_parquet(path, columns=[contract.target]).to_series()
    strata = codes(target, contract)
    order = np.random.default_rng(settings.seed).permutation(rows)
    order = order[np.argsort(strata[order], kind="stable")]
    chosen = np.zeros(rows, dtype=bool)
    chosen[order[np.arange(settings.training_rows) * rows // settings.training_rows]] = True
    parts, first = [], 0
    for part in pl.scan_parquet(path).collect_batches(chunk_size=SLICE, lazy=True):
        parts.append(part.filter(chosen[first : first + len(part)]))
        first += len(part)
    return pl.concat(parts)


def load(settings: Settings) -> Prepared:
    """Read the prepared rows.

    Raises
    ------
    UserError
        If there are none, or the contract has changed since.
    """
    contract = Contract.load(settings.contract)
    if not EXAMPLES.is_file():
        raise UserError(f"{EXAMPLES}: there is no prepared table; run: make train")
    table = pl.read_parquet(EXAMPLES)
    parts = [name for name in table.columns if name not in contract.columns]
    if contract.used != set(table.columns) - set(parts):
        raise UserError(f"{settings.contract} has changed since {EXAMPLES}; run: make train")
    rounds = [Round.of(table[name].to_numpy()) for name in parts]
    table = table.drop(parts)
    classes: list[str] = []
    if contract.classifies:
        fitted = np.zeros(len(table), dtype=bool)
        for chosen in rounds:
            fitted[chosen.train] = fitted[chosen.validation] = True
        classes = sorted(table[contract.target].filter(fitted).cast(pl.String).unique().to_list())
    digest = hashlib.sha256(EXAMPLES.read_bytes()).hexdigest()
    return Prepared(contract, table, rounds, classes, digest)


def counted(prepared: Prepared) -> str:
    """How many rows there are, and in which parts."""
    rows = f"{len(prepared.table):,} rows"
    if len(prepared.rounds) > 1:
        return f"{rows}, split {len(prepared.rounds)} times since they are few"
    parts = zip(PARTS, vars(prepared.rounds[0]).values(), strict=True)
    return ", ".join([rows, *(f"{len(part):,} {name}" for name, part in parts if len(part))])
