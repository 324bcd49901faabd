"""Rows to compare: of the log, of a file, or prepared ones; typed, a slice at a time."""

from __future__ import annotations

import datetime as dt
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl
from tqdm import tqdm

from ...batch import ROWS, needed
from ...contract import Contract
from ...errors import UserError
from ...lags import add_lags
from ...preparation import EXAMPLES, PART, encode
from ...reading import scan
from ...reading.raw import UNREADABLE
from ...scoring import Scorer
from ...settings import Dialect
from ...splitting import PARTS
from ...validation import Typing

REQUEST, ROW, TIME, VERSION, ROLE = "__request__", "__row__", "__time__", "__version__", "__role__"
LABEL, PREDICTION = "__label__", "__prediction__"


class Rows(Protocol):
    """Rows with the model's answers, in the columns that the log has.

    Attributes
    ----------
    name
        For people.
    """

    @property
    def name(self) -> str: ...

    def __iter__(self) -> Iterator[pl.DataFrame]: ...

    def said(self) -> list[str]:
        """What a person should know of them, once they were read."""
        ...


@dataclass
class Log:
    """The rows of the log that one model answered in one role.

    Attributes
    ----------
    since, until
        Times in UTC; the second is the first that no longer belongs.
    left_out
        Rows by why they are left out.
    """

    folder: Path
    scorer: Scorer
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
        """Yield the rows; a column that a file does not have is not in its slices.

        Raises
        ------
        UserError
            If there is no such folder.
        """
        if not self.folder.is_dir():
            raise UserError(
                f"there is no log of predictions in {self.folder}: switch it on (serving.log in "
                "config.yaml), or compare a file: make monitor FILE=..."
            )
        # The one that is being written is hidden.
        paths = [path for path in sorted(self.folder.glob("*.parquet")) if path.name[0] != "."]
        for path in tqdm(paths, unit="file", disable=None, leave=False):
            try:
                yield from self._read(path)
            except UNREADABLE as error:
                if path.exists():  # the oldest make way for new ones
                    what = str(error).splitlines()[0][:200]
                    print(f"{path} cannot be read and is left out: {what}", file=sys.stderr)

    def _read(self, path: Path) -> Iterator[pl.DataFrame]:
        frame = pl.scan_parquet(path, glob=False).with_columns(
            pl.col(TIME).cast(pl.Datetime("us")), pl.col(ROW).cast(pl.Int32)
        )
        there = frame.collect_schema()
        version = self.scorer.version.get("version", "unregistered")
        early = pl.lit(False) if self.since is None else pl.col(TIME) < self.since
        late = pl.lit(False) if self.until is None else pl.col(TIME) >= self.until
        why = (
            pl.when(pl.col(ROLE) != self.role)
            .then(pl.format("answered as {}", ROLE))
            .when(pl.col(VERSION) != version)
            .then(pl.format("answered by version {}", VERSION))
            .when(early | late)
            .then(pl.lit("of another time"))
        )
        counts = frame.group_by(why.alias("why")).len().drop_nulls().collect()
        self.left_out.update(dict(counts.iter_rows()))
        values = [
            pl.col(name).cast(kind, strict=False)
            for name, kind in types(self.scorer.contract).items()
            if name in there
        ]
        answer = [LABEL, PREDICTION] if self.scorer.manifest.classes else [PREDICTION]
        rows = frame.filter(why.is_null()).select(REQUEST, ROW, TIME, *answer, *values)
        for some in rows.collect_batches(chunk_size=ROWS, lazy=True):
            if len(some):
                yield some


@dataclass
class FileRows:
    """The rows of a file; the model answers them here."""

    file: Path
    scorer: Scorer
    broken: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return str(self.file)

    def said(self) -> list[str]:
        return self.broken

    def __iter__(self) -> Iterator[pl.DataFrame]:
        """Yield the rows. What breaks the contract, and the API would refuse, is counted.

        Raises
        ------
        UserError
            If the file cannot be read, or lacks a column.
        """
        raw = scan(self.file, Dialect(ragged="refuse"))
        contract = self.scorer.contract
        present = raw.frame.collect_schema().names()
        columns = needed(contract, present, self.file)
        for name in [contract.target, *contract.names("time")]:
            if name in present:
                columns[name] = contract.columns[name].model_copy(update={"nullable": True})
        nulls = [pl.lit(None, pl.String).alias(name) for name in columns if name not in present]
        typing = Typing(columns)
        with tqdm(total=raw.rows, unit="row", unit_scale=True, disable=None, leave=False) as bar:
            # Lags look back over the whole table.
            for rows in raw.slices(max(raw.rows, 1) if contract.lags else ROWS):
                typed = typing(rows.with_columns(nulls))
                yield answered(self.scorer, add_lags(typed, contract))
                bar.update(len(rows))
        self.broken = [
            f"{one.column}: {one.count:,} value(s) {one.rule}, the first is {one.value} "
            f"({raw.place(one.row)}); the API would refuse such rows"
            for one in typing.breaches.values()
        ]


@dataclass
class PartRows:
    """The prepared rows of a part; the model answers them here."""

    part: str
    scorer: Scorer

    @property
    def name(self) -> str:
        return f"{EXAMPLES}, {self.part}"

    def said(self) -> list[str]:
        return []

    def __iter__(self) -> Iterator[pl.DataFrame]:
        """Yield the rows.

        Raises
        ------
        UserError
            If there are none, or they are not those of the model's contract.
        """
        if not EXAMPLES.is_file():
            raise UserError(f"{EXAMPLES}: there is no prepared table; run: make prepare")
        number = PARTS.index(self.part)
        rows = pl.read_parquet(EXAMPLES).filter(pl.col(PART.format(0)) == number)
        needs = self.scorer.contract.features
        if lacking := [name for name in needs if name not in rows.columns]:
            raise UserError(f"{EXAMPLES} has no {lacking[0]}, which the model needs: make train")
        for some in rows.iter_slices(ROWS):
            yield answered(self.scorer, some)


def types(contract: Contract) -> dict[str, pl.DataType]:
    """Types that the features have in a typed table."""
    columns = contract.features
    return dict(Typing(columns)(pl.DataFrame(schema=dict.fromkeys(columns, pl.String))).schema)


def answered(scorer: Scorer, rows: pl.DataFrame) -> pl.DataFrame:
    """Add the model's answers, in the columns that the log has."""
    prediction = scorer.predict(encode(scorer.contract, rows)).astype(np.float64)
    if classes := scorer.manifest.classes:
        labels = np.array(classes)[scorer.labels(prediction)]
        rows = rows.with_columns(pl.Series(LABEL, labels, dtype=pl.String))
    times = [name for name in scorer.contract.names("time") if name in rows.columns]
    rows = rows.with_columns(pl.col(name).cast(pl.Datetime("us")).alias(TIME) for name in times)
    return rows.with_columns(pl.Series(PREDICTION, prediction[:, -1]))
