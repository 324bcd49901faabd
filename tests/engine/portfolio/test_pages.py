"""The portfolio page of small projects: what is recorded, what is shown, what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from fastapi.testclient import TestClient

from coldstart.bundle._bundle import Manifest, write_checksums
from coldstart.bundle._predictor import BundlePredictor
from coldstart.config._sections import ServingSettings
from coldstart.portfolio._recording import STEPS, record
from coldstart.serve import open_app
from engine.portfolio.conftest import FEATURES, TARGETS
from engine.support import PROJECT, main

STORY = "# My fruit\n\nIs *it* sweet?\n\n## The data\n\nPicked by me.\n"


@pytest.fixture
def project(
    trained: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A copy of that with two classes, in which to be."""
    shutil.copytree(trained("two classes"), tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return tmp_path


def reseal(folder: Path) -> None:
    """Seal a bundle that was changed."""
    write_checksums(folder, Manifest.model_validate_json((folder / "bundle.json").read_bytes()))


def pages(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """Run the command, and return what it prints."""
    capsys.readouterr()
    assert main(["pages", "--no-live", *arguments]) == code
    printed = capsys.readouterr()
    return printed.err if code == 2 else printed.out


@pytest.mark.parametrize("task", TARGETS)
def test_what_is_recorded_is_what_the_api_answers(
    task: str, trained: Callable[[str], Path]
) -> None:
    folder = trained(task) / "bundles" / "champion"
    api = TestClient(open_app(PROJECT, folder, ServingSettings()))
    recorded = json.loads(
        json.dumps(record(BundlePredictor(folder), "Fruit"))
    )  # keys of JSON are texts
    about, names = recorded["about"], list(FEATURES)
    assert about["example"] == recorded["rows"][0]
    asked = 0
    for row, answers in zip(recorded["rows"], recorded["explanations"], strict=True):
        questions = [(row, answers["own"])]
        for name, changed in answers["changed"].items():
            questions += [({**row, name: value}, answer) for value, answer in changed]
        for question, (values, label, place, below, by) in questions:
            answer = api.post("/page/explain", json=question)
            assert answer.status_code == 200, answer.text
            explanation = answer.json()
            prediction = explanation["prediction"]
            expected = (
                list(prediction["probabilities"].values())
                if about["classes"]
                else [prediction["value"]]
            )
            assert values == pytest.approx(expected, abs=1e-6, rel=1e-5)
            assert values[place] == pytest.approx(explanation["value"], abs=1e-6, rel=1e-5)
            if about["classes"]:
                assert about["classes"][label] == prediction["label"]
                assert about["classes"][place] == explanation["subject"]
            assert below == pytest.approx(explanation["reference"]["below"], abs=1e-4)
            among = {
                **recorded["references"][str(place)],
                "below": explanation["reference"]["below"],
            }
            assert among == explanation["reference"]
            moved = [explanation["contributions"]["by_feature"][name] for name in names]
            assert by == pytest.approx(moved, abs=1e-6, rel=1e-5)
            assert recorded["reference_rows"] == explanation["contributions"]["rows"]
            asked += 1
    assert asked > 3 * len(names)


def test_each_control_offers_what_is_recorded_and_nothing_else(
    trained: Callable[[str], Path],
) -> None:
    recorded = record(BundlePredictor(trained("two classes") / "bundles" / "champion"), "Fruit")
    kinds = {column["name"]: column["kind"] for column in recorded["about"]["columns"]}
    numbers = dict.fromkeys(["weight", "speed", "height"], "number")
    assert kinds == dict.fromkeys(FEATURES, "choice") | numbers | {"bruised": "boolean"}
    rows = recorded["rows"]
    assert len(rows) == 3
    for column in recorded["about"]["columns"]:
        name = column["name"]
        offered = {"number": column.get("stops"), "boolean": [False, True]}.get(
            column["kind"], column.get("choices")
        )
        assert not column.get("free")
        assert len(offered) <= STEPS + len(rows)
        for row, answers in zip(rows, recorded["explanations"], strict=True):
            there = [value for value, _ in answers["changed"][name]]
            assert {*there, row[name]} == {None, *offered}
    weights = next(one["stops"] for one in recorded["about"]["columns"] if one["name"] == "weight")
    assert (weights[0], weights[-1]) == (0, 1000)


def test_a_table_of_many_columns_is_recorded_where_it_moves_most(
    trained: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coldstart.portfolio._recording.MAX_NUMBERS", 360)
    recorded = record(BundlePredictor(trained("two classes") / "bundles" / "champion"), "Fruit")
    for answers in recorded["explanations"]:
        assert {*answers["changed"]} == {"weight", "colour"}
        assert len(answers["changed"]["colour"]) <= 4
        assert 0 < len(answers["changed"]["weight"]) <= 8


def test_where_a_feature_is_personal_no_row_is_recorded(project: Path) -> None:
    path = project / "bundles/champion/schema.yaml"
    contract = yaml.safe_load(path.read_text())
    contract["columns"]["picked"]["personal"] = contract["columns"]["shop"]["personal"] = True
    path.write_text(yaml.safe_dump(contract, sort_keys=False))
    reseal(path.parent)
    predictor = BundlePredictor(path.parent)
    recorded = record(predictor, "Fruit")
    assert recorded["rows"] == [json.loads(json.dumps(predictor.contract.example()))]
    columns = {column["name"]: column for column in recorded["about"]["columns"]}
    assert columns["picked"]["choices"] == [recorded["rows"][0]["picked"]]
    assert columns["shop"]["choices"] == [recorded["rows"][0]["shop"]]
    assert "shop 1" not in json.dumps(recorded)


def test_the_first_time_a_story_is_begun_and_what_says_nothing_is_left_out(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = pages(capsys)
    assert "STORY.md: an outline was written" in printed
    assert (
        "sections without text are left out: The question, What went wrong, What I learned"
        in printed
    )
    page = (project / "site/index.html").read_text()
    assert page.count("<h2>") == 2
    assert "<!--" not in page
    assert "linear, version 1, the champion" in page
    assert '<ol class="pipeline"><li><strong>read, validate</strong><br>fruit.csv' in page
    assert (project / "site/page/card").read_text().startswith("<h2>Model card: linear")

    (project / "STORY.md").write_text(STORY)
    printed = pages(capsys)
    assert "outline" not in printed
    assert "left out" not in printed
    page = (project / "site/index.html").read_text()
    assert "<p>Is <em>it</em> sweet?</p>" in page
    assert '<meta name="description" content="Is it sweet?">' in page
    assert "champion" not in page  # who takes the facts out has none
    assert (project / "STORY.md").read_text() == STORY
    assert not list(project.glob(".site*"))


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("<script>alert(1)</script>", "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>"),
        ("a <b onclick=x>b</b> c", "<p>a &lt;b onclick=x&gt;b&lt;/b&gt; c</p>"),
        ("a <!-- no --> c", "<p>a  c</p>"),
        ("<!-- no --> <img src=x>", "<p>&lt;img src=x&gt;</p>"),
        ("```\n<!-- fact: pipeline -->\n```", "<code>&lt;!-- fact: pipeline --&gt;\n</code>"),
        ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>"),
        ("| a |\n|--:|\n| 1 |", "<td>1</td>"),
        ("![Mine](<my bird.png>)", '<img src="pictures/my%20bird.png" alt="Mine" />'),
        ("### More\n\nwords", "<h2>Part</h2>\n<h3>More</h3>\n<p>words</p>"),
    ],
)
def test_the_story_is_markdown_in_which_nothing_is_a_tag(
    written: str, shown: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "my bird.png").write_bytes(b"a bird")
    (project / "STORY.md").write_text(f"# Mine & yours\n\n## Part\n\n{written}\n")
    pages(capsys)
    page = (project / "site/index.html").read_text()
    assert shown in page
    assert "<title>Mine &amp; yours</title>" in page
    assert not any(sign in page for sign in ("<script", "<b ", "<img src=x", " style="))
    bird = project / "site/pictures/my bird.png"
    assert bird.exists() == ("pictures/my" in shown)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("No title\n", "has no title"),
        ("# A\n\n<!-- fact: resluts -->\n", "no fact 'resluts'; choose among results, pipeline"),
        ("# A\n\n![b](https://example.com/b.png)\n", "https://example.com/b.png is not a file"),
        ("# A\n\n![b](../b.png)\n", "../b.png is not a file"),
        (b"# \xff\n", "is not UTF-8 text"),
    ],
)
def test_a_story_that_cannot_be_read_is_reported_and_the_page_stays(
    text: str | bytes, message: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "STORY.md").write_text(STORY)
    pages(capsys)
    before = (project / "site/index.html").read_bytes()
    (project / "STORY.md").write_bytes(text if isinstance(text, bytes) else text.encode())
    printed = pages(capsys, code=2)
    assert message in printed
    assert len(printed.splitlines()) == 1
    assert (project / "site/index.html").read_bytes() == before
    assert not list(project.glob(".site*"))


def test_the_page_of_another_champion_is_reported(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "run: make pages" in pages(capsys, "--check", code=2)
    pages(capsys)
    assert "shows the champion, version 1" in pages(capsys, "--check")
    bundle = project / "bundles/champion"
    (bundle / "MODEL_CARD.md").write_text("# Another\n")
    reseal(bundle)
    assert "not the champion; run: make pages" in pages(capsys, "--check", code=1)
    pages(capsys)
    assert "shows the champion" in pages(capsys, "--check")
    assert "Another" in (project / "site/page/card").read_text()
    shutil.rmtree(bundle)
    assert "run: make pull" in pages(capsys, "--check", code=2)


def test_nothing_is_claimed_that_the_last_run_did_not_show(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (project / "fruit.csv").open("a") as file:
        file.write("150,red,shop 1,true,2024-02-02,ripe,5,100,true\n")
    assert main(["prepare"]) == 0
    assert "other data" in pages(capsys, code=2)
    shutil.rmtree(project / "bundles")
    assert "run: make pull" in pages(capsys, code=2)
    assert not (project / "site").exists()
    assert not (project / "STORY.md").exists()


def test_a_folder_that_it_did_not_write_is_left_alone(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "site").mkdir()
    (project / "site/mine.html").write_text("mine")
    assert "make pages did not write" in pages(capsys, code=2)
    assert (project / "site/mine.html").read_text() == "mine"


def test_all_addresses_are_relative_and_the_plots_are_the_bundles(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pages(capsys)
    for name in ("index.html", "demo.html"):
        page = (project / "site" / name).read_text()
        assert "default-src 'self'" in page
        assert not any(sign in page for sign in ('href="/', 'src="/', "http:", "https:"))
    manifest = json.loads((project / "bundles/champion/bundle.json").read_text())
    plots = {name for name in manifest["files"] if name.endswith(".png")}
    assert plots == {path.name for path in (project / "site/page").rglob("*.png")}
    assert plots
