"""The kinds of dirt: each function takes a table and returns it as some people would have it."""

from __future__ import annotations

import datetime as dt
import random
from dataclasses import replace

from .sheets import Sheet

# How the file is written -----------------------------------------------------------------


def encoding_utf16(sheet: Sheet) -> Sheet:
    """Excel's "Unicode text"."""
    return replace(sheet, encoding="utf-16", delimiter="\t", newline="\r\n", file="table.txt")


def encoding_cp1252(sheet: Sheet) -> Sheet:
    """Windows in the west of Europe."""
    return replace(sheet, encoding="cp1252")


def encoding_utf8_with_mark(sheet: Sheet) -> Sheet:
    """Excel's "CSV UTF-8": three bytes before the first name."""
    return replace(sheet, encoding="utf-8-sig")


def semicolons(sheet: Sheet) -> Sheet:
    """Between fields, as where the comma is the decimal mark."""
    return replace(sheet, delimiter=";")


def tabs(sheet: Sheet) -> Sheet:
    """Between fields, in a file that is called .csv all the same."""
    return replace(sheet, delimiter="\t")


def bars(sheet: Sheet) -> Sheet:
    """Between fields."""
    return replace(sheet, delimiter="|", file="table.txt")


def line_ends_of_windows(sheet: Sheet) -> Sheet:
    """Carriage return and line feed."""
    return replace(sheet, newline="\r\n")


def decimal_comma(sheet: Sheet) -> Sheet:
    """Numbers as in German, and the delimiter that goes with them."""
    return semicolons(sheet.change("income", lambda _, value: value.replace(".", ",")))


def title_lines(sheet: Sheet) -> Sheet:
    """What the table is, over the table."""
    return replace(sheet, above=["Customers of the north", "as of June, all plans", ""])


def totals_row(sheet: Sheet) -> Sheet:
    """The sum below the rows, and where it comes from."""
    total = sum(float(value) for value in sheet.values("income"))
    line = ["Total", f"{total:.2f}", *[""] * (len(sheet.names) - 2)]
    return replace(sheet, below=[sheet.delimiter.join(line), "", "Source: our records"])


def no_header(sheet: Sheet) -> Sheet:
    """Rows alone."""
    return replace(sheet, header=False, target=f"column {len(sheet.names)}")


def quoted_line_breaks(sheet: Sheet) -> Sheet:
    """Line breaks, delimiters and quotes inside a text."""
    return sheet.change("note", lambda _, text: text.replace(" bill ", ' "bill",\n'))


def ragged_rows(sheet: Sheet) -> Sheet:
    """Every hundredth row has a field too many, and one a field too few."""
    rows = [[*row, "?"] if number % 100 == 50 else row for number, row in enumerate(sheet.rows)]
    rows[75] = rows[75][:-1]
    return replace(sheet, rows=rows)


def gzipped(sheet: Sheet) -> Sheet:
    """Compressed."""
    return replace(sheet, file="table.csv.gz")


def zipped(sheet: Sheet) -> Sheet:
    """One table in a folder in an archive."""
    return replace(sheet, file="table.csv.zip")


def excel(sheet: Sheet) -> Sheet:
    """A workbook with a second page of notes."""
    return replace(sheet, file="table.xlsx")


def parquet(sheet: Sheet) -> Sheet:
    """A file that has types."""
    return replace(sheet, file="table.parquet")


def nested_json(sheet: Sheet) -> Sheet:
    """Objects within objects, one a line."""
    outer = {"income": "person.money.income", "age": "person.age", "city": "person.city"}
    return replace(sheet, names=[outer.get(n, n) for n in sheet.names], file="table.jsonl")


def several_files(sheet: Sheet) -> Sheet:
    """A file a quarter, in one folder."""
    return replace(sheet, files=4)


# Names -----------------------------------------------------------------------------------


def odd_names(sheet: Sheet) -> Sheet:
    """Emoji, keywords of Python and SQL, umlauts, brackets, blanks around."""
    new = ["class", "select", "Größe (€)", "📞 calls", "plan[0]", " city ", 'a "b"', "churn?"]
    return replace(sheet, names=new, target="churn?")


def doubled_and_empty_names(sheet: Sheet) -> Sheet:
    """Two columns of one name and one without."""
    names = ["value", "value", "", *sheet.names[3:]]
    return replace(sheet, names=names)


# Values ----------------------------------------------------------------------------------


def thousands_separators(sheet: Sheet) -> Sheet:
    """1,234.50."""
    return sheet.change("income", lambda _, value: f"{float(value):,.2f}")


def thousands_blanks(sheet: Sheet) -> Sheet:
    """1 234,50, with the no-break space that French software writes."""
    written = sheet.change(
        "income", lambda _, value: f"{float(value):,.2f}".replace(",", "\u202f").replace(".", ",")
    )
    return semicolons(written)


def currency(sheet: Sheet) -> Sheet:
    """$1,234.50."""
    return sheet.change("income", lambda _, value: f"${float(value):,.2f}")


def units(sheet: Sheet) -> Sheet:
    """12 months."""
    return sheet.change("months", lambda _, value: f"{value} months")


def missing_spellings(sheet: Sheet) -> Sheet:
    """Every way to write nothing, in one column."""
    spellings = ["NA", "NULL", "nil", ".", "-", "?", "n/a", "   ", "None", "#N/A"]
    return sheet.change("age", lambda row, value: value or spellings[row % len(spellings)])


def sentinel(sheet: Sheet) -> Sheet:
    """A number that stands for nothing."""
    return sheet.change("age", lambda _, value: value or "-999")


def large_sentinel(sheet: Sheet) -> Sheet:
    """A number of nines."""
    return sheet.change("age", lambda _, value: value or "99999999")


def padded_blanks(sheet: Sheet) -> Sheet:
    """Blanks around the labels of some rows."""
    return sheet.change("plan", lambda row, value: f" {value}  " if row % 3 == 0 else value)


def boolean_spellings(sheet: Sheet) -> Sheet:
    """YES, y, 1 and T mean the same."""
    ways = {"yes": ["YES", "y", "1", "T"], "no": ["NO", "n", "0", "F"]}
    return sheet.change("newsletter", lambda row, value: ways[value][row % 4])


def dates_in_several_formats(sheet: Sheet) -> Sheet:
    """2001-12-31, 31.12.2001 and Dec 31, 2001."""
    formats = ["%Y-%m-%d", "%d.%m.%Y", "%b %d, %Y"]
    return sheet.change(
        "birthday", lambda row, day: dt.date.fromisoformat(day).strftime(formats[row % 3])
    )


# Columns and rows that teach nothing -----------------------------------------------------


def constant_and_empty_columns(sheet: Sheet) -> Sheet:
    """One value everywhere, and none anywhere."""
    rows = len(sheet.rows)
    return sheet.add("country", ["DE"] * rows).add("fax", [""] * rows)


def identifier(sheet: Sheet) -> Sheet:
    """A number for each row, and a code for each."""
    dice = random.Random(7)
    codes = [f"{dice.getrandbits(40):010x}" for _ in sheet.rows]
    numbers = [str(number) for number in range(10_001, 10_001 + len(sheet.rows))]
    return sheet.add("customer_id", numbers, at=0).add("token", codes)


def person(sheet: Sheet) -> Sheet:
    """Name, e-mail, telephone and address."""
    dice = random.Random(8)
    first = ["Anna", "Ben", "Chloé", "Dmitri", "Elif", "Farid", "Greta", "Hiro", "Ines", "Jonas"]
    last = ["Meyer", "Rossi", "Novak", "Silva", "Tanaka", "Okafor", "Nilsson", "Dubois", "Kaya"]
    streets = ["High Street", "Rue Haute", "Lindenweg", "Via Roma", "Mill Lane"]
    names = [f"{dice.choice(first)} {dice.choice(last)}" for _ in sheet.rows]
    mails = [f"{name.split()[0].lower()}{row}@example.com" for row, name in enumerate(names)]
    phones = [f"+49 30 {dice.randint(1_000_000, 9_999_999)}" for _ in names]
    homes = [f"{dice.choice(streets)} {dice.randint(1, 300)}" for _ in names]
    sheet = sheet.add("name", names).add("email", mails)
    return sheet.add("phone", phones).add("address", homes)


def codes_of_many_values(sheet: Sheet) -> Sheet:
    """A code of 200 values, some of which tell something."""
    dice = random.Random(9)
    good, bad = [f"K{n:03}" for n in range(100)], [f"K{n:03}" for n in range(100, 200)]
    odds = {"yes": 0.35, "no": 0.65}
    values = sheet.values(sheet.target)
    return sheet.add(
        "tariff", [dice.choice(good if dice.random() < odds[v] else bad) for v in values]
    )


def duplicate_rows(sheet: Sheet) -> Sheet:
    """A third of the rows came twice."""
    return replace(sheet, rows=[*sheet.rows, *sheet.rows[::3]])


def rows_without_target(sheet: Sheet) -> Sheet:
    """A row in ten is not known yet."""
    return sheet.change(sheet.target, lambda row, value: "" if row % 10 == 0 else value)


def shuffled_target(sheet: Sheet) -> Sheet:
    """Nothing tells anything."""
    values = sheet.values(sheet.target)
    random.Random(10).shuffle(values)
    return sheet.change(sheet.target, lambda row, _: values[row])


def reordered(sheet: Sheet) -> Sheet:
    """The newest first."""
    return replace(sheet, rows=sheet.rows[::-1])


# Leaks -----------------------------------------------------------------------------------


def leak_copy(sheet: Sheet) -> Sheet:
    """The target under another name, in other words."""
    words = {"yes": "closed", "no": "open"}
    return sheet.add("account_state", [words[v] for v in sheet.values(sheet.target)])


def leak_near_copy(sheet: Sheet) -> Sheet:
    """The target, with a mistake in one row of 50."""
    other = {"yes": "no", "no": "yes"}
    values = sheet.values(sheet.target)
    return sheet.add("left_us", [other[v] if row % 50 == 0 else v for row, v in enumerate(values)])


def leak_by_missingness(sheet: Sheet) -> Sheet:
    """A day that only those have who left."""
    dice = random.Random(11)
    days = [dt.date(2023, 1, 1) + dt.timedelta(dice.randint(0, 300)) for _ in sheet.rows]
    values = zip(days, sheet.values(sheet.target), strict=True)
    return sheet.add("closing_day", [day.isoformat() if v == "yes" else "" for day, v in values])


def leak_in_text(sheet: Sheet) -> Sheet:
    """What the clerk wrote afterwards."""
    said = {"yes": "contract cancelled by customer", "no": "routine question answered"}
    dice = random.Random(12)
    extra = ["by phone", "at the desk", "in writing", "twice", "on Monday"]
    texts = [
        f"{dice.choice(extra)}: {said[v]}, {dice.choice(extra)}" for v in sheet.values("churn")
    ]
    return sheet.add("remarks", texts)


def leak_of_parts(sheet: Sheet) -> Sheet:
    """Two amounts of which the target is the sum."""
    dice = random.Random(13)
    shares = [(int(v), dice.uniform(0.2, 0.8)) for v in sheet.values(sheet.target)]
    own = [round(v * share) for v, share in shares]
    sheet = sheet.add("own_money", [str(part) for part in own])
    return sheet.add("loan", [str(v - part) for (v, _), part in zip(shares, own, strict=True)])


def leak_scaled(sheet: Sheet) -> Sheet:
    """The target in another currency."""
    return sheet.add("price_usd", [f"{int(v) * 1.08:.0f}" for v in sheet.values(sheet.target)])


# Few rows, rare classes ------------------------------------------------------------------


def singleton_class(sheet: Sheet) -> Sheet:
    """A class of one row, and one of three."""
    rare = {0: "unheard-of", 40: "rare", 80: "rare", 140: "rare"}
    return sheet.change(sheet.target, lambda row, value: rare.get(row, value))


def imbalance(sheet: Sheet) -> Sheet:
    """Of those who left, one in six is in the file."""
    kept = [r for n, r in enumerate(sheet.rows) if r[-1] == "no" or n % 6 == 0]
    return replace(sheet, rows=kept)


def thirty_rows(sheet: Sheet) -> Sheet:
    """The first thirty."""
    return replace(sheet, rows=sheet.rows[:30])


def far_more_columns_than_rows(sheet: Sheet, columns: int) -> Sheet:
    """Return 64 rows of so many columns, of which a few say something about the target."""
    dice = random.Random(14)
    rows = sheet.rows[:64]
    noise = [[f"{dice.gauss(0, 1):.3f}" for _ in range(columns - len(rows[0]))] for _ in rows]
    names = [f"gene {number}" for number in range(1, len(noise[0]) + 1)]
    lines = [[*extra, *row] for extra, row in zip(noise, rows, strict=True)]
    return replace(sheet, names=[*names, *sheet.names], rows=lines)


def many_together(sheet: Sheet) -> Sheet:
    """An export of a German office: everything above at once."""
    sheet = missing_spellings(padded_blanks(boolean_spellings(identifier(sheet))))
    sheet = leak_near_copy(constant_and_empty_columns(person(sheet)))
    sheet = decimal_comma(duplicate_rows(sheet))
    total = ["Summe", *[""] * (len(sheet.names) - 1)]
    return replace(
        sheet,
        encoding="cp1252",
        newline="\r\n",
        above=["Kündigungen", "Stand: Juni", ""],
        below=[";".join(total)],
        file="Export für Büro.csv",
    )
