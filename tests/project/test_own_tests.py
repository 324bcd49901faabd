"""The tests that a generated project has of its own pass, on the demo's data and on one's own."""

from __future__ import annotations

import functools
import http.server
import random
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import GeneratedProject

pytestmark = pytest.mark.slow

# As in a make that make runs, whose messages must not disturb.
NESTED = {"MAKELEVEL": "1", "PYTEST_ADDOPTS": "--tb=short --disable-warnings --durations=10"}


def write_houses(path: Path) -> None:
    """Write a table as people have them: day before month, words for yes, a comma in numbers."""
    dice = random.Random(0)
    lines = ["sold;area;rooms;garden;district;price"]
    for number in range(600):
        area, rooms, garden = dice.randint(30, 200), dice.randint(1, 6), dice.random() < 0.4
        district = dice.choice(["north", "south", "harbour"])
        price = 900 * area + 20_000 * garden + 30_000 * (district == "harbour")
        price += round(dice.gauss(0, 8_000))
        day = f"{number % 28 + 1:02}.{number % 12 + 1:02}.2023"
        lines.append(f"{day};{area},5;{rooms};{'yes' if garden else 'no'};{district};{price}")
    path.write_text("\n".join(lines) + "\n")


def skipped(project: GeneratedProject) -> int:
    """Run the project's tests, which must pass, and return how many were skipped."""
    printed = project.make("test", **NESTED).stdout
    print(printed[-2000:])
    last = next(line for line in reversed(printed.splitlines()) if " passed" in line)
    return int(found[1]) if (found := re.search(r"(\d+) skipped", last)) else 0


def test_a_project_passes_its_own_tests(copied: GeneratedProject) -> None:
    assert skipped(copied) == 1  # the list of known directions is to be filled in


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Where a server of files offers a table."""
    folder = tmp_path / "offered"
    folder.mkdir()
    write_houses(folder / "houses.csv")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/houses.csv"
        server.shutdown()


def test_a_project_passes_its_own_tests_and_lint_with_data_of_ones_own(
    copied: GeneratedProject, address: str
) -> None:
    copied.make("data", f"SOURCE={address}", "TARGET=price")
    copied.make("lint")
    assert skipped(copied) == 1

    # A clone that lacks the table skips what needs it, and the table can be collected again.
    for folder in (copied.path / "data" / "raw").iterdir():
        if folder.is_dir():
            shutil.rmtree(folder)
    assert skipped(copied) > 1
    copied.make("collect")
    copied.make("prepare")
