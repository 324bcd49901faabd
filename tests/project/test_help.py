"""`make help` of a baked project: what there is, on one screen; with V=1 all of it."""

from __future__ import annotations

import re
import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import BakedProject
from test_limbs import standing_on

LINES, COLUMNS = 24, 80
NO_OPTIONS = {"RUN", "LIMBS", "RENT", "PYTHON", "V"}


@pytest.fixture(scope="module")
def project(bake: Callable[..., BakedProject]) -> BakedProject:
    """A project that is baked, and not installed."""
    return bake()


def makefiles(project: BakedProject) -> str:
    """The Makefile and those of the limbs, with the lines that go on in the next joined."""
    limbs = sorted((project.path / "src" / project.package / "limbs").glob("*/targets.mk"))
    texts = [path.read_text() for path in (project.path / "Makefile", *limbs)]
    return "".join(texts).replace("\\\n", "")


def recipes(project: BakedProject) -> dict[str, str]:
    """The recipe of each target that a person may ask for."""
    text = makefiles(project)
    phony = set(" ".join(re.findall(r"^\.PHONY: (.*)", text, re.MULTILINE)).split())
    found: dict[str, str] = defaultdict(str)
    for name, recipe in re.findall(r"^([a-z-]+):.*\n((?:\t.*\n)*)", text, re.MULTILINE):
        found[name] += recipe
    assert set(found) == phony
    return dict(found)


def screen(project: BakedProject) -> list[str]:
    """What `make help` prints."""
    return project.make("help").stdout.splitlines()


def shown(lines: list[str]) -> list[str]:
    """Names of the targets on the screen, as often as they are there."""
    rows = "\n".join(line for line in lines[1:] if not line.startswith(" " * 10))
    names = re.findall(r"^(?!and).{9}([a-z-]+)", rows, re.MULTILINE)
    last = next(number for number, line in enumerate(lines) if line.startswith("and "))
    return names + " ".join(lines[last:])[4:].split()


def explained(project: BakedProject) -> dict[str, str]:
    """What `make help V=1` says of each target."""
    found: dict[str, str] = defaultdict(str)
    name = ""
    for line in project.make("help", "V=1").stdout.splitlines():
        assert len(line) <= COLUMNS
        if match := re.match(r"make ([a-z-]+)", line):
            name = match[1]
        found[name] += line[22:] + " "
    return found


def test_help_fits_on_a_screen_and_has_every_target(project: BakedProject) -> None:
    lines = screen(project)
    assert len(lines) <= LINES
    assert max(map(len, lines)) <= COLUMNS
    assert "make help V=1" in lines[0]
    assert all(line == line.rstrip() for line in lines)
    assert set(shown(lines)) == set(recipes(project))
    first = ["setup", "train", "promote", "serve", "predict"]
    assert shown(lines)[: len(first)] == first


def test_with_v_each_option_that_a_target_takes_is_told(project: BakedProject) -> None:
    told = explained(project)
    assert set(told) - {""} == set(recipes(project))
    (rent,) = re.findall(r"^RENT = (.*)", makefiles(project), re.MULTILINE)
    for name, recipe in recipes(project).items():
        if "what make train ON= takes" not in told[name]:
            recipe = recipe.replace("$(RENT)", rent)
        for option in set(re.findall(r"\$\((?:value )?([A-Z]+)\)", recipe)) - NO_OPTIONS:
            assert re.search(rf"\b{option}=", told[name]), f"make {name} {option}="


def test_without_a_limb_its_targets_are_gone_and_nothing_else(
    project: BakedProject, tmp_path: Path
) -> None:
    whole = set(shown(screen(project)))
    limbs = project.path / "src" / project.package / "limbs"
    for limb in sorted(path.parent for path in limbs.glob("*/targets.mk")):
        copy = BakedProject(tmp_path / limb.name / project.path.name)
        shutil.copytree(project.path, copy.path, ignore=shutil.ignore_patterns(".git"))
        gone = [limb, *standing_on(limb)]
        text = "".join((one / "targets.mk").read_text() for one in gone)
        for one in gone:
            shutil.rmtree(copy.path / one.relative_to(project.path))
        left = set(shown(screen(copy)))
        assert left == set(recipes(copy)), limb.name
        assert whole - left == set(re.findall(r"^([a-z-]+): .venv", text, re.MULTILINE)), limb.name
        assert set(explained(copy)) - {""} == left, limb.name


def test_a_target_of_ones_own_is_listed_without_being_told_to(
    bake: Callable[..., BakedProject],
) -> None:
    project = bake(project_slug="own")
    limb = project.path / "src" / "own" / "limbs" / "mine"
    limb.mkdir()
    (limb / "targets.mk").write_text("mine: ## what I need; COLOUR=red\n\techo $(COLOUR)\n")
    assert "more     mine         what I need" in screen(project)
    assert explained(project)["mine"] == "what I need COLOUR=red "
