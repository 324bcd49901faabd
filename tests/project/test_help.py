"""`make help` of a generated project: one screen; with V=1 every target with all its options."""

from __future__ import annotations

import re
import subprocess
from collections import defaultdict
from collections.abc import Callable

import pytest
from conftest import GeneratedProject

LINES, COLUMNS = 24, 80
NO_OPTIONS = {"RUN", "RENT", "PYTHON", "V"}


@pytest.fixture(scope="module")
def project(generate: Callable[..., GeneratedProject]) -> GeneratedProject:
    """A generated project that is not installed."""
    return generate()


def makefile(project: GeneratedProject) -> str:
    """Return the Makefile, with continued lines joined."""
    return (project.path / "Makefile").read_text().replace("\\\n", "")


def recipes(project: GeneratedProject) -> dict[str, str]:
    """Return the recipe of each target that has a description."""
    text = makefile(project)
    phony = set(" ".join(re.findall(r"^\.PHONY: (.*)", text, re.MULTILINE)).split())
    found: dict[str, str] = defaultdict(str)
    rule = re.compile(r"^([a-z-]+):.*\n((?:(?:\t|#\?).*\n)*)", re.MULTILINE)
    for name, recipe in rule.findall(text):
        found[name] += "".join(re.findall(r"^\t.*\n", recipe, re.MULTILINE))
    assert set(found) == phony
    return dict(found)


def screen(project: GeneratedProject) -> list[str]:
    """Return the lines that `make help` prints."""
    return project.make("help").stdout.splitlines()


def shown(lines: list[str]) -> list[str]:
    """Return the names of the targets on the screen, as often as they are there."""
    last = next(number for number, line in enumerate(lines) if line.startswith("and "))
    names = [line.split()[0] for line in lines[1:last]]
    return names + " ".join(lines[last:])[4:].split()


def explained(project: GeneratedProject) -> dict[str, str]:
    """Return what `make help V=1` prints about each target."""
    found: dict[str, str] = defaultdict(str)
    name = ""
    for line in project.make("help", "V=1").stdout.splitlines()[1:]:
        assert len(line) <= COLUMNS, line
        if match := re.match(r"([a-z-]+) +[a-z]", line):
            name = match[1]
        elif not line.startswith("    "):
            name = ""
        found[name] += line + " "
    return found


def test_help_fits_on_a_screen_and_has_every_target(project: GeneratedProject) -> None:
    lines = screen(project)
    assert len(lines) <= LINES
    assert max(map(len, lines)) <= COLUMNS
    assert "make help V=1" in lines[0]
    assert all(line == line.rstrip() for line in lines)
    assert set(shown(lines)) == set(recipes(project))
    first = ["setup", "train", "promote", "serve", "predict"]
    assert shown(lines)[: len(first)] == first


def test_with_v_each_option_that_a_target_takes_is_explained(project: GeneratedProject) -> None:
    printed = explained(project)
    assert set(printed) - {""} == set(recipes(project))
    (rent,) = re.findall(r"^RENT = (.*)", makefile(project), re.MULTILINE)
    for name, recipe in recipes(project).items():
        recipe = recipe.replace("$(RENT)", rent)
        options = re.findall(r"\$\((?:value )?([A-Z]+)\)|\$\(call yes,([A-Z]+)\)", recipe)
        for option in {one for pair in options for one in pair if one} - NO_OPTIONS:
            assert re.search(rf"\b{option}=", printed[name]), f"make {name} {option}="


def test_a_target_of_ones_own_is_listed(generate: Callable[..., GeneratedProject]) -> None:
    project = generate(project_slug="own")
    with (project.path / "Makefile").open("a") as file:
        file.write("\nmine: ## paint what I need; COLOUR=red\n\techo $(COLOUR)\n")
    row = "mine            paint what I need                      COLOUR=red"
    assert row in screen(project)
    assert row in explained(project)["mine"]


def test_an_option_that_is_set_to_a_word_for_no_is_not_set(project: GeneratedProject) -> None:
    def command(value: str) -> str:
        return project.make("--dry-run", "cloud-destroy", f"YES={value}").stdout

    assert "--yes" in command("1")
    for word in ("0", "n", "no", "No", "NO", "false", "False"):
        assert "--yes" not in command(word)


@pytest.mark.parametrize("word", ["maybe", "none", "O"])
def test_an_option_that_is_neither_yes_nor_no_is_refused(
    project: GeneratedProject, word: str
) -> None:
    command = ["make", "--dry-run", "deploy", "ON=aws", f"PUBLIC={word}"]
    done = subprocess.run(command, cwd=project.path, capture_output=True, text=True)
    assert done.returncode != 0
    assert f"PUBLIC={word} should be yes or no" in done.stderr


@pytest.mark.parametrize("given", ["SOURCES=a.csv", "MODELS=linear", "source=a.csv"])
def test_an_option_that_no_target_has_is_refused(project: GeneratedProject, given: str) -> None:
    command = ["make", "--dry-run", "data", given]
    done = subprocess.run(command, cwd=project.path, capture_output=True, text=True)
    name = given.partition("=")[0]
    assert done.returncode == 2
    assert f"there is no option {name}=" in done.stderr
    known = ["make", "--dry-run", "data", "SOURCE=a.csv", "V=1", "BIRD_STRIKES_SEED=1"]
    assert subprocess.run(known, cwd=project.path, capture_output=True).returncode == 0
