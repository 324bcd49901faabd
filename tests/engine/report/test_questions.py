"""The interview questions: one text for the documentation, and for a project with its numbers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from coldstart.report import _questions as questions
from coldstart.report._questions import ChampionFacts, render_questions
from engine.support import PACKAGE, ROOT, TEMPLATE, main

PAGE = ROOT / "docs/explanation/interview-questions.md"


def test_the_page_of_the_documentation_has_the_general_answers() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text.endswith(render_questions())
    assert "In this project" not in text


def test_a_project_prints_them_with_the_numbers_of_its_champion(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(trained)
    assert main(["questions"]) == 0
    text = capsys.readouterr().out
    manifest = json.loads((trained / "bundles/champion/bundle.json").read_text())
    low, high = manifest["metrics"]["interval"]
    score = manifest["metrics"]["test"]["average_precision"]
    assert f"AP {score:.3f} (95% CI {low:.3f} to {high:.3f}; the test rows are" in text
    assert f"{manifest['metrics']['units']})." in text
    assert "split by `date`" in text
    assert "`remarks` (A leak." in text
    assert "`birds_seen` (7" in text
    assert f"src/{PACKAGE}/network.py" in text
    assert "{" not in re.sub(r"`[^`]*`", "", text)
    headings = re.findall(r"^### .*", text, re.MULTILINE)
    assert headings == re.findall(r"^### .*", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


def test_each_answer_is_used_and_works_for_any_target(trained: Path) -> None:
    named = set(re.findall(r"\{(\w+)\}", questions.TEXT.read_text(encoding="utf-8"))) - {"package"}
    assert named == set(questions.ANSWERS)
    facts = ChampionFacts(trained / "bundles/champion")
    facts.manifest.threshold = None
    facts.manifest.metrics["test"] = {facts.metrics["primary"]: 0.5}
    facts.manifest.metrics["baseline"] = {facts.metrics["primary"]: 0.1}
    assert "there is no threshold" in render_questions(PACKAGE, facts)


def test_what_they_tell_to_look_up_is_there(trained: Path) -> None:
    text = " ".join(render_questions("{{cookiecutter.__package}}").split())
    card = (trained / "bundles/champion/MODEL_CARD.md").read_text(encoding="utf-8")
    makefile = (TEMPLATE / "Makefile").read_text(encoding="utf-8")
    titles = set(re.findall(r"the model card's \"(.*?)\"", text))
    paths = set(re.findall(r"`((?:vendor|src|tests)/[\w./{}-]+)`", text))
    targets = set(re.findall(r"`make ([a-z-]+)", text))
    assert titles
    assert titles <= set(re.findall(r"^## (.*)$", card, re.MULTILINE))
    assert paths
    assert {path for path in paths if not (TEMPLATE / path).is_file()} == set()
    assert targets
    assert targets <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
