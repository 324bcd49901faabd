"""Encodings that are no UTF: guessed from the fields with letters outside ASCII."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from dirty.letters import ENCODINGS, TOWNS, tables

from coldstart.config._sections import Dialect
from coldstart.data.reading._raw import RawTable
from coldstart.data.reading._read import scan
from coldstart.data.reading._text_tables import HEAD


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(content: bytes) -> RawTable:
    """Read a file of this content."""
    Path("table.csv").write_bytes(content)
    return scan(Path("table.csv"), Dialect())


def column(content: bytes, name: str) -> list[str]:
    """Read one column of a file."""
    return read(content).frame.collect()[name].to_list()


@pytest.mark.parametrize(("density", "floor"), [(0.02, 31), (0.1, 34), (0.3, 34), (1.0, 34)])
def test_nearly_all_languages_are_read_rightly_in_their_encodings(
    density: float, floor: int
) -> None:
    wrong = []
    for one in tables(density):
        if column(one.content, "town") != one.towns:
            wrong.append(f"{one.language} in {one.encoding}")
    print(f"{density:.0%} of the rows: {len(ENCODINGS) - len(wrong)} of {len(ENCODINGS)}; {wrong}")
    assert len(ENCODINGS) == 34
    assert len(ENCODINGS) - len(wrong) >= floor


@pytest.mark.parametrize("count", [1, 2, 3, 6, 20])
def test_a_few_western_names_are_hardly_taken_for_others(count: int) -> None:
    """Windows-1252 is the most frequent encoding, and few letters do not tell it from others."""
    draw, right = random.Random(count), 0
    western = [language for language, encoding in ENCODINGS if encoding == "cp1252"]
    for language in western * 20:
        towns = [town for town in TOWNS[language].split() if not town.isascii()]
        some = draw.sample(towns, count)
        content = "town,size\n" + "".join(f"{town},{draw.randint(10, 99)}\n" for town in some)
        right += column(content.encode("cp1252"), "town") == some
    print(f"{count} names: {right / 100:.0%}")
    assert right >= 90


@pytest.mark.parametrize("text", ["don\u2019t", "\u201chello\u201d", "°C", "m²", "€ 5", "50–100"])
def test_a_sign_alone_is_read_as_windows_writes_it(text: str) -> None:
    assert column(f"a,b\n1,{text}\n2,x\n".encode("cp1252"), "b") == [text, "x"]


def test_letters_far_down_decide_the_encoding_of_a_large_file() -> None:
    towns = TOWNS["Russian"].split()
    plain = "".join(f"{number},x\n" for number in range(100_000))
    content = "a,b\n" + plain + "".join(f"1,{town}\n" for town in towns) + plain
    found = read(content.encode("cp1251"))
    assert found.frame.collect()["b"][100_000 : 100_000 + len(towns)].to_list() == towns
    assert found.findings == [
        "table.csv: the encoding is not UTF-8 and is taken for Windows-1251; "
        "if letters look wrong, set data.dialect.encoding"
    ]


@pytest.mark.parametrize("shift", range(4))
def test_a_letter_at_the_end_of_the_sample_is_no_sign_of_another_encoding(shift: int) -> None:
    start = "a,b\n" + "x" * shift + ",1\n"
    found = read((start + "ü東,1\n" * (HEAD // 4)).encode())
    assert found.findings == []
