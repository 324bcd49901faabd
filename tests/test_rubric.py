"""docs/explanation/readiness.md: what it names exists, and its points add up."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from conftest import ROOT, TEMPLATE, targets

PAGE = (ROOT / "docs/explanation/readiness.md").read_text()
PACKAGE = TEMPLATE / "src/{{cookiecutter.__package}}"
ENGINE = TEMPLATE / "vendor/coldstart/src/coldstart"
POINTS = {"1": 1.0, "½": 0.5, "0": 0.0}
ASKED = {"Data": 7, "Model": 7, "Infrastructure": 7, "Monitoring": 7}


def lines(part: str) -> list[list[str]]:
    """Cells of the table below a heading, a list a line."""
    table = re.split(rf"^##+ {part}$", PAGE, flags=re.MULTILINE)[1]
    table = re.split(r"^##+ |^\*\*|^Data ", table, flags=re.MULTILINE)[0]
    rows = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


ALL = [(row[0], row[-2], row[-1]) for part in (*ASKED, "A course's project") for row in lines(part)]


def known_tests() -> Iterator[str]:
    """Names of all tests, as the page writes them."""
    for folder in (ROOT / "tests", TEMPLATE / "tests"):
        for path in folder.rglob("test_*.py"):
            found = re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
            yield from (f"{path.name}::{name}" for name in found)


def test_the_points_add_up() -> None:
    sums = {}
    for part, count in ASKED.items():
        rows = lines(part)
        assert [row[0].partition(".")[0] for row in rows] == [str(i + 1) for i in range(count)]
        sums[part] = sum(POINTS[row[1]] for row in rows)
    written = {part: f"{total:g}".replace(".5", "½") for part, total in sums.items()}
    weakest = f"{min(sums.values()):g}".replace(".5", "½")
    listed = ", ".join(f"{part} {total}" for part, total in written.items())
    assert f"{listed}: **{weakest}** in all" in PAGE
    course = lines("A course's project")
    got, most = (sum(int(row[column]) for row in course) for column in (2, 1))
    assert f"**{got} of {most}.**" in PAGE


@pytest.mark.parametrize(("asked", "does", "test"), ALL, ids=[row[0] for row in ALL])
def test_what_a_line_names_is_there(asked: str, does: str, test: str) -> None:
    there = set(known_tests())
    named = re.findall(r"`(test_\w+\.py::test_\w+)`", test)
    assert set(named) <= there, set(named) - there
    assert bool(named) is not does.startswith("not yet")
    for code in re.findall(r"`([^`]+)`", does):
        if code.startswith("make "):
            assert code.split()[1] in targets(), code
        elif re.fullmatch(r"[\w./-]+\.\w+|[\w-]+/[\w/-]+|Makefile", code):
            places = (ROOT / code, TEMPLATE / code, PACKAGE / code, ENGINE / code)
            assert any(path.exists() for path in places), code


def test_each_line_says_what_its_points_are_for() -> None:
    for part in ASKED:
        for _, points, does, test in lines(part):
            assert (points == "0") is does.startswith("not yet"), does
            assert (points == "0") is (test == ""), does
