"""The record of predictions, which the API keeps: the rows that one model answered."""

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
from coldstart.data.reading._raw import UNREADABLE
from coldstart.errors import UserError
from coldstart.monitor._rows import LABEL, PREDICTION, REQUEST, ROLE, ROW, TIME, VERSION, types

WHY = "__why__"  # a row is left out


@dataclass
class Recorded:
    """The rows of the record that one model answered in one role.

    Attributes
    ----------
    since, until
        Times in UTC; the second is the first that no longer belongs.
    left_out
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

    def said(self) -> list[str]:
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
                f"there is no record of predictions in {self.folder}: make serve "
                f"RECORD={self.folder} keeps one; a file needs none: make monitor FILE=..."
            )
        yield from together(self._files())

    def _files(self) -> Iterator[pl.DataFrame]:
        # Those whose name begins with a dot are still being written.
        paths = sorted(self.folder.glob("[!.]*.parquet"))
        kinds = types(self.predictor.contract)
        for path in tqdm(paths, unit="file", disable=None, leave=False):
            try:
                # The API writes files of some thousand rows, so one fits into memory.
                rows = self._chosen(pl.read_parquet(path, glob=False), kinds)
            except UNREADABLE as error:
                if path.exists():  # the oldest make way for new ones
                    what = str(error).splitlines()[0][:200]
                    print(f"{path} cannot be read and is left out: {what}", file=sys.stderr)
                continue
            if len(rows):
                yield rows

    def _chosen(self, table: pl.DataFrame, kinds: dict[str, pl.DataType]) -> pl.DataFrame:
        """The rows that are asked about, and the columns that are compared."""
        version = self.predictor.version.get("version", "unregistered")
        time = pl.col(TIME).cast(pl.Datetime("us"))
        early = pl.lit(False) if self.since is None else time < self.since
        late = pl.lit(False) if self.until is None else time >= self.until
        why = (
            pl.when(pl.col(ROLE) != self.role)
            .then(pl.format("answered as {}", ROLE))
            .when(pl.col(VERSION) != version)
            .then(pl.format("answered by version {}", VERSION))
            .when(early | late)
            .then(pl.lit("of another time"))
        )
        table = table.with_columns(why.alias(WHY))
        counts = table[WHY].drop_nulls().value_counts()
        values = [
            pl.col(name).cast(kind, strict=False)
            for name, kind in kinds.items()
            if name in table.columns
        ]
        texts = pl.col(pl.String).replace("", None)  # empty is missing, as it is to a model
        answer = [LABEL, PREDICTION] if self.predictor.manifest.classes else [PREDICTION]
        chosen = table.filter(pl.col(WHY).is_null()).select(
            REQUEST, pl.col(ROW).cast(pl.Int32), time, *answer, *values
        )
        chosen = chosen.with_columns(texts)
        self.left_out.update(dict(counts.iter_rows()))
        return chosen


def together(tables: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Put small tables one below the other, as long as they have the same columns."""
    waiting: list[pl.DataFrame] = []
    for table in tables:
        enough = sum(map(len, waiting)) >= ROWS
        if waiting and (enough or table.columns != waiting[0].columns):
            yield pl.concat(waiting)
            waiting = []
        waiting.append(table)
    if waiting:
        yield pl.concat(waiting)
