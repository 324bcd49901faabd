"""A table as text, as a person's file holds it, and the clean tables that the dirt goes onto."""

# The generated project's environment has the libraries that some files are written with.
# mypy: disable-error-code="import-not-found, import-untyped"

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import json
import math
import random
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Sheet:
    """A table, every value as it will be written.

    Attributes
    ----------
    names, rows
        The header and the lines below it; a line may have too many or too few fields.
    target
        What a person would give as TARGET.
    file
        Its name; the suffix says how it is written.
    above, below
        Lines over the header and under the last row, written as they are.
    files
        Into how many files of a folder the rows are divided.
    """

    names: list[str]
    rows: list[list[str]]
    target: str
    file: str = "table.csv"
    delimiter: str = ","
    encoding: str = "utf-8"
    newline: str = "\n"
    header: bool = True
    above: Sequence[str] = ()
    below: Sequence[str] = ()
    files: int = 1

    def values(self, name: str) -> list[str]:
        """One column."""
        at = self.names.index(name)
        return [row[at] for row in self.rows]

    def add(self, name: str, values: Sequence[str], at: int | None = None) -> Sheet:
        """Return it with one more column; the target stays the last."""
        at = len(self.names) - 1 if at is None else at
        rows = [[*row[:at], value, *row[at:]] for row, value in zip(self.rows, values, strict=True)]
        return replace(self, names=[*self.names[:at], name, *self.names[at:]], rows=rows)

    def change(self, name: str, new: Callable[[int, str], str]) -> Sheet:
        """Return it with a column written otherwise: `new(number of the row, value)`."""
        at = self.names.index(name)
        rows = [list(row) for row in self.rows]
        for number, row in enumerate(rows):
            row[at] = new(number, row[at])
        return replace(self, rows=rows)

    def write(self, folder: Path) -> Path:
        """Write it, and return the path of the file, or of the folder where it is several."""
        folder.mkdir(parents=True, exist_ok=True)
        if self.files == 1:
            return self._write(folder / self.file)
        size = math.ceil(len(self.rows) / self.files)
        for number in range(self.files):
            part = replace(self, rows=self.rows[number * size : (number + 1) * size], files=1)
            part._write(folder / f"{number + 1:02} {self.file}")
        return folder

    def _write(self, path: Path) -> Path:
        inner = path.name.removesuffix(".gz").removesuffix(".zip")
        writers = {"xlsx": self._excel, "parquet": self._parquet, "jsonl": self._json_lines}
        content = writers.get(inner.rpartition(".")[2], self._text)()
        if path.suffix == ".gz":
            content = gzip.compress(content)
        elif path.suffix == ".zip":
            packed = io.BytesIO()
            with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr(f"export/{inner}", content)
            content = packed.getvalue()
        path.write_bytes(content)
        return path

    def _text(self) -> bytes:
        table = io.StringIO()
        writer = csv.writer(table, delimiter=self.delimiter, lineterminator=self.newline)
        writer.writerows([self.names, *self.rows] if self.header else self.rows)
        above = "".join(line + self.newline for line in self.above)
        below = "".join(line + self.newline for line in self.below)
        return (above + table.getvalue() + below).encode(self.encoding)

    def _excel(self) -> bytes:
        import openpyxl

        book = openpyxl.Workbook()
        page = book.active
        for row in [*([line] for line in self.above), self.names, *self._typed()]:
            page.append(row)
        book.create_sheet("Notes").append(["Written by hand"])
        file = io.BytesIO()
        book.save(file)
        return file.getvalue()

    def _parquet(self) -> bytes:
        import polars as pl

        file = io.BytesIO()
        pl.DataFrame(
            self._typed(), schema=self.names, orient="row", infer_schema_length=None
        ).write_parquet(file)
        return file.getvalue()

    def _json_lines(self) -> bytes:
        """One object a line; `a.b` is written as an object within the object."""
        lines = []
        for row in self._typed():
            line: dict[str, Any] = {}
            for name, value in zip(self.names, row, strict=True):
                *outer, last = name.split(".")
                place = line
                for key in outer:
                    place = place.setdefault(key, {})
                place[last] = value
            lines.append(json.dumps(line, ensure_ascii=False))
        return "\n".join(lines).encode(self.encoding) + b"\n"

    def _typed(self) -> list[list[Any]]:
        return [[typed(value) for value in row] for row in self.rows]


def typed(value: str) -> Any:
    """A text as the value that a file with types would hold."""
    if value == "":
        return None
    for kind in (int, float, dt.date.fromisoformat):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def customers(rows: int = 1200) -> Sheet:
    """Who leaves? Numbers, categories, a boolean and some missing values; an AUC of about 0.85."""
    dice = random.Random(1)
    lines = []
    for _ in range(rows):
        months, income = dice.randint(1, 72), round(dice.lognormvariate(10.3, 0.4), 2)
        age, calls = dice.randint(18, 85), dice.choice([0, 0, 0, 1, 1, 2, 3, 5])
        plan = dice.choice(["basic", "plus", "family", "business"])
        city = dice.choice(["Köln", "Zürich", "Malmö", "Besançon", "Málaga", "León"])
        letter = dice.choice(["yes", "no"])
        lean = 1.2 - 0.06 * months + 0.8 * calls - (income - 30_000) / 20_000
        lean += {"basic": 1.0, "plus": 0.0, "family": -0.7, "business": -0.3}[plan]
        leaves = dice.random() < 1 / (1 + math.exp(-lean - 0.6 * (letter == "no")))
        known = "" if dice.random() < 0.06 else str(age)
        cells = [str(months), f"{income:.2f}", known, str(calls), plan, city, letter]
        lines.append([*cells, "yes" if leaves else "no"])
    names = ["months", "income", "age", "calls", "plan", "city", "newsletter", "churn"]
    return Sheet(names, lines, "churn")


def with_dates(rows: int = 1200) -> Sheet:
    """The customers, and a day of birth, which no split should follow."""
    dice = random.Random(2)
    days = [dt.date(1940, 1, 1) + dt.timedelta(dice.randint(0, 23_000)) for _ in range(rows)]
    return customers(rows).add("birthday", [day.isoformat() for day in days])


def with_notes(rows: int = 1200) -> Sheet:
    """The customers, and what they wrote."""
    dice = random.Random(3)
    words = ["I", "called", "about", "the", "bill", "and", "line", "but", "nobody", "knew", "when"]
    notes = [" ".join(dice.choices(words, k=dice.randint(6, 25))) for _ in range(rows)]
    return customers(rows).add("note", notes)


def flats(rows: int = 1200) -> Sheet:
    """What does a flat cost? A regression, skewed."""
    dice = random.Random(4)
    lines = []
    for _ in range(rows):
        area, floor, year = dice.randint(20, 200), dice.randint(0, 9), dice.randint(1900, 2020)
        part = dice.choice(["centre", "harbour", "north", "south"])
        level = {"centre": 1.5, "harbour": 1.2, "north": 0.9, "south": 1.0}[part]
        price = 2500 * area * level * (1 + 0.02 * floor) * dice.lognormvariate(0, 0.15)
        lines.append([str(area), str(floor), str(year), part, str(round(price))])
    return Sheet(["area", "floor", "built", "part", "price"], lines, "price", "flats.csv")


def visits(patients: int = 150, each: int = 8) -> Sheet:
    """Whether a patient improves, with several visits of each."""
    dice = random.Random(5)
    lines = []
    for patient in range(patients):
        level, dose = dice.gauss(0, 1), dice.choice([0, 10, 20])
        improves = dice.random() < 1 / (1 + math.exp(-level - dose / 10 + 1))
        for visit in range(each):
            pulse, fever = 70 + 3 * level + dice.gauss(0, 8), 37 + dice.gauss(0, 0.4)
            cells = [f"P{patient:03}", str(visit), f"{pulse:.1f}", f"{fever:.1f}", str(dose)]
            lines.append([*cells, "yes" if improves else "no"])
    dice.shuffle(lines)
    names = ["patient", "visit", "pulse", "temperature", "dose", "improved"]
    return Sheet(names, lines, "improved", "visits.csv")


def sales(months: int = 120, shops: int = 1) -> Sheet:
    """Sales of each month, with a season and a trend: a table to forecast."""
    dice = random.Random(6)
    lines = []
    for shop in range(shops):
        for month in range(months):
            season = 1 + 0.4 * math.sin(2 * math.pi * month / 12)
            sold = (100 + 50 * shop + month) * season * dice.lognormvariate(0, 0.05)
            day = dt.date(2012 + month // 12, month % 12 + 1, 1).isoformat()
            lines.append([day, *([f"shop {shop + 1}"] if shops > 1 else []), f"{sold:.1f}"])
    names = ["month", *(["shop"] if shops > 1 else []), "sold"]
    return Sheet(names, lines, "sold", "sales.csv")


def tumours() -> Sheet:
    """Scikit-learn's breast cancer: 569 rows, 30 numbers."""
    from sklearn.datasets import load_breast_cancer

    known = load_breast_cancer()
    rows = [
        [*(f"{value:g}" for value in line), ["malignant", "benign"][label]]
        for line, label in zip(known.data, known.target, strict=True)
    ]
    return Sheet([*map(str, known.feature_names), "diagnosis"], rows, "diagnosis", "tumours.csv")


def flowers() -> Sheet:
    """Scikit-learn's iris: 150 rows, three classes."""
    from sklearn.datasets import load_iris

    known = load_iris()
    rows = [
        [*(f"{value:g}" for value in line), str(known.target_names[label])]
        for line, label in zip(known.data, known.target, strict=True)
    ]
    return Sheet([*known.feature_names, "species"], rows, "species", "flowers.csv")
