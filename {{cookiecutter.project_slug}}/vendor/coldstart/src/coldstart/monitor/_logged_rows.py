"""The prediction log, which the API keeps: the rows that one model predicted."""

from __future__ import annotations

import datetime as dt
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
from tqdm import tqdm

from coldstart.batch import ROWS
from coldstart.bundle._predictor import BundlePredictor
from coldstart.contract.columns import BaseColumn, Category, Number, Text
from coldstart.data.reading._raw import UNREADABLE
from coldstart.errors import UserError
from coldstart.monitor._rows import (
    LABEL,
    PREDICTION,
    REF,
    REQUEST,
    ROLE,
    ROW,
    SET,
    TIME,
    VERSION,
    feature_types,
)

WHY = "__why__"  # a row is left out


@dataclass
class LoggedRows:
    """The rows of the log that one model predicted in one role.

    Attributes
    ----------
    folder : Path
        The log.
    predictor : BundlePredictor
        The model.
    role : str
        `champion`, `challenger` or `shadow`.
    since, until : datetime, optional
        Times in UTC; the second is the first that is left out again.
    left_out : Counter
        Rows by why they are left out.
    """

    folder: Path
    predictor: BundlePredictor
    role: str
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def name(self) -> str:
        return str(self.folder)

    def notes(self) -> list[str]:
        return [f"{rows:,} rows {why} are left out" for why, rows in self.left_out.most_common(5)]

    def __iter__(self) -> Iterator[pl.DataFrame]:
        """Yield the rows; a column that a file does not have is not in its slice.

        Raises
        ------
        UserError
            If there is no such folder.
        """
        if not self.folder.is_dir():
            raise UserError(
                f"there is no prediction log in {self.folder}; to keep one: make serve "
                f"RECORD={self.folder}. To compare a file instead: make monitor FILE=..."
            )
        yield from concatenated(self._files())

    def _files(self) -> Iterator[pl.DataFrame]:
        # Those whose name begins with a dot are still being written.
        paths = sorted(self.folder.glob("[!.]*.parquet"))
        types = feature_types(self.predictor.contract)
        for path in tqdm(paths, unit="file", disable=None, leave=False):
            try:
                # The API writes files of some thousand rows, so one fits into memory.
                rows = self._select(pl.read_parquet(path, glob=False), types)
            except UNREADABLE as error:
                if path.exists():  # the oldest are deleted while the API runs
                    what = str(error).splitlines()[0][:200]
                    print(
                        f"warning: {path} cannot be read and is left out: {what}", file=sys.stderr
                    )
                continue
            if len(rows):
                yield rows

    def _select(self, table: pl.DataFrame, types: dict[str, pl.DataType]) -> pl.DataFrame:
        """Return the selected rows, and the columns that are compared."""
        version = self.predictor.number
        time = pl.col(TIME).cast(pl.Datetime("us"))
        early = pl.lit(False) if self.since is None else time < self.since
        late = pl.lit(False) if self.until is None else time >= self.until
        why = (
            pl.when(pl.col(ROLE) != self.role)
            .then(pl.format("predicted as {}", ROLE))
            .when(pl.col(VERSION) != version)
            .then(pl.format("predicted by version {}", VERSION))
            .when(early | late)
            .then(pl.lit("of another time"))
        )
        table = table.with_columns(why.alias(WHY))
        counts = table[WHY].drop_nulls().value_counts()
        classes = self.predictor.manifest.classes
        predicted = [LABEL, PREDICTION] if classes else [PREDICTION]
        if len(classes) > 2:
            predicted.append(SET)
        # A log from before there were such columns has none.
        later = [name for name in (REF, SET) if name not in table.columns]
        table = table.with_columns(pl.lit(None, pl.String).alias(name) for name in later)
        columns = self.predictor.contract.features
        values = [
            as_predicted(columns[name], pl.col(name).cast(type_, strict=False), type_)
            for name, type_ in types.items()
            if name in table.columns
        ]
        selected = table.filter(pl.col(WHY).is_null()).select(
            REQUEST, pl.col(ROW).cast(pl.Int32), REF, time, *predicted, *values
        )
        self.left_out.update(dict(counts.iter_rows()))
        return selected


def as_predicted(column: BaseColumn, values: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Return a feature as the model got it: the log has what clients sent, such as "UNKNOWN"."""
    return column.known(values, dtype) if isinstance(column, Number | Category | Text) else values


def concatenated(tables: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Yield small tables one below the other, as long as they have the same columns."""
    waiting: list[pl.DataFrame] = []
    for table in tables:
        enough = sum(map(len, waiting)) >= ROWS
        if waiting and (enough or table.columns != waiting[0].columns):
            yield pl.concat(waiting)
            waiting = []
        waiting.append(table)
    if waiting:
        yield pl.concat(waiting)
