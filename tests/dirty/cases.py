"""What is tried: each case is a file and its target, and whether a model is trained on it."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import kinds, sheets
from .sheets import Sheet

Kind = Callable[[Sheet], Sheet]


@dataclass(frozen=True)
class Case:
    """A clean table and the dirt on it.

    Attributes
    ----------
    trains
        Whether `train` runs as well; `data` and `prepare` always do.
    """

    table: Callable[[], Sheet]
    dirt: tuple[Kind, ...] = ()
    trains: bool = False

    def write(self, folder: Path) -> tuple[Path, str]:
        """Write the file and return it with the target."""
        sheet = self.table()
        for kind in self.dirt:
            sheet = kind(sheet)
        return sheet.write(folder), sheet.target


@dataclass(frozen=True)
class Hopeless:
    """A file of which no model can be made."""

    content: bytes
    file: str = "table.csv"
    target: str = "y"

    trains = False

    def write(self, folder: Path) -> tuple[Path, str]:
        """Write the file and return it with the target."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / self.file).write_bytes(self.content)
        return folder / self.file, self.target


def wide(columns: int) -> Callable[[Sheet], Sheet]:
    """Return the kind of dirt that is so many columns for few rows."""
    return lambda sheet: kinds.far_more_columns_than_rows(sheet, columns)


CLEAN = {
    "customers": Case(sheets.customers, trains=True),
    "customers with dates": Case(sheets.with_dates),
    "customers with notes": Case(sheets.with_notes),
    "flats": Case(sheets.flats, trains=True),
    "visits": Case(sheets.visits, trains=True),
    "tumours": Case(sheets.tumours),
}
"""Tables without dirt, to which the others are compared."""

WRITTEN_OTHERWISE = (
    kinds.encoding_utf16,
    kinds.encoding_cp1252,
    kinds.encoding_utf8_with_mark,
    kinds.semicolons,
    kinds.tabs,
    kinds.bars,
    kinds.line_ends_of_windows,
    kinds.decimal_comma,
    kinds.title_lines,
    kinds.totals_row,
    kinds.no_header,
    kinds.gzipped,
    kinds.zipped,
    kinds.excel,
    kinds.parquet,
    kinds.nested_json,
    kinds.several_files,
    kinds.odd_names,
    kinds.doubled_and_empty_names,
    kinds.thousands_separators,
    kinds.thousands_blanks,
    kinds.currency,
    kinds.units,
    kinds.missing_spellings,
    kinds.sentinel,
    kinds.large_sentinel,
    kinds.padded_blanks,
    kinds.boolean_spellings,
)
"""Dirt on the customers that must not change a single value."""

SPECIAL = {
    "quoted line breaks": Case(sheets.with_notes, (kinds.quoted_line_breaks,)),
    "dates in several formats": Case(sheets.with_dates, (kinds.dates_in_several_formats,)),
    "ragged rows": Case(sheets.customers, (kinds.ragged_rows,)),
    "constant and empty columns": Case(sheets.customers, (kinds.constant_and_empty_columns,)),
    "identifier": Case(sheets.customers, (kinds.identifier,)),
    "person": Case(sheets.customers, (kinds.person,)),
    "codes of many values": Case(sheets.customers, (kinds.codes_of_many_values,), trains=True),
    "duplicate rows": Case(sheets.customers, (kinds.duplicate_rows,)),
    "rows without target": Case(sheets.customers, (kinds.rows_without_target,)),
    "no signal": Case(sheets.customers, (kinds.shuffled_target,), trains=True),
    "repeated entities": CLEAN["visits"],
    "time series": Case(sheets.sales, (kinds.reordered,), trains=True),
    "several series": Case(lambda: sheets.sales(shops=4), trains=True),
    "singleton class": Case(sheets.flowers, (kinds.singleton_class,), trains=True),
    "imbalance": Case(lambda: sheets.customers(2400), (kinds.imbalance,), trains=True),
    "thirty rows": Case(sheets.customers, (kinds.thirty_rows,), trains=True),
    "64 x 500": Case(sheets.customers, (wide(500),), trains=True),
    "64 x 2,500": Case(sheets.customers, (wide(2_500),), trains=True),
    "many together": Case(sheets.customers, (kinds.many_together,), trains=True),
}
"""Cases that ask for more than the same values."""

LEAKS: dict[str, tuple[Case, set[str]]] = {
    "copy": (Case(sheets.customers, (kinds.leak_copy,)), {"account_state"}),
    "near-copy": (Case(sheets.customers, (kinds.leak_near_copy,), trains=True), {"left_us"}),
    "missingness": (Case(sheets.customers, (kinds.leak_by_missingness,)), {"closing_day"}),
    "text": (Case(sheets.customers, (kinds.leak_in_text,)), {"remarks"}),
    "parts": (Case(sheets.flats, (kinds.leak_of_parts,)), {"own_money", "loan"}),
    "scaled": (Case(sheets.flats, (kinds.leak_scaled,), trains=True), {"price_usd"}),
}
"""A leak each, and the columns that must not be features."""

ROWS = "".join(f"{n},{n * 7 % 13},{'yes' if n % 3 else 'no'}\n" for n in range(300)).encode()
LENGTHS = "".join(f"{n}," * (n % 9) + f"{n}\n" for n in range(1, 300)).encode()
HOPELESS = {
    "one class": Hopeless(b"a,b,y\n" + ROWS.replace(b"no", b"yes")),
    "no rows": Hopeless(b"a,b,y\n"),
    "nothing at all": Hopeless(b""),
    "blank lines": Hopeless(b"\n\n   \n"),
    "two rows": Hopeless(b"a,b,y\n1,2,yes\n3,4,no\n"),
    "no such target": Hopeless(b"a,b,y\n" + ROWS, target="why"),
    "target never known": Hopeless(b"a,b,y\n" + ROWS.replace(b"yes", b"").replace(b"no", b"")),
    "target alone": Hopeless(b"y\n" + b"yes\nno\n" * 100),
    "lines of every length": Hopeless(b"a,b,c,d,y\n" + LENGTHS),
    "random bytes": Hopeless(random.Random(0).randbytes(20_000)),
    "a web page": Hopeless(b"<!DOCTYPE html>\n<html>\n<body>Please sign in</body>\n</html>\n"),
    "cut off": Hopeless(gzip.compress(b"a,b,y\n" + ROWS)[:400], "table.csv.gz"),
    "broken archive": Hopeless(b"PK\x03\x04" + bytes(200), "table.zip"),
    "no workbook": Hopeless(random.Random(1).randbytes(3_000), "table.xlsx"),
    "broken JSON": Hopeless(b'{"a": 1, "y": "yes"}\n{"a": 2, "y": \n' * 50, "table.jsonl"),
}

CASES: dict[str, Case | Hopeless] = {
    **CLEAN,
    **{kind.__name__: Case(sheets.customers, (kind,)) for kind in WRITTEN_OTHERWISE},
    **SPECIAL,
    **{f"leak: {name}": case for name, (case, _) in LEAKS.items()},
    **{f"hopeless: {name}": case for name, case in HOPELESS.items()},
}
LONG = {"64 x 500", "64 x 2,500"}
"""Cases that take minutes."""
WEEKLY = LONG | {kind.__name__ for kind in WRITTEN_OTHERWISE[1::2]}
"""Those, and every second way to write the same table."""
