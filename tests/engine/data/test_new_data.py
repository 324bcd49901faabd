"""What `make data` for other data does with the project's files: the demo goes, and comes back."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from coldstart.contract import Contract
from coldstart.contract.columns import Boolean, Number
from coldstart.data.sources._import_log import load_entries
from coldstart.data.sources._importing import import_source
from coldstart.data.sources._sources import parse
from engine.support import TEMPLATE, main

README = """# Mine

<!-- report: results -->
| model | score |
<!-- end report -->
My words.
<!-- report: data -->

Strikes.

<!-- end report -->
"""


def houses(path: Path, rows: int = 120) -> Path:
    """Write another table."""
    rng = random.Random(0)
    lines = ["size,rooms,garden,sold,price"]
    for _ in range(rows):
        size = rng.randint(40, 200)
        rooms, garden, sold = size // 25 + rng.randint(0, 2), rng.choice("yn"), rng.choice("YN")
        lines.append(f"{size},{rooms},{garden},{sold},{size * 3 + rng.randint(0, 60)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The generated project, as far as `make data` touches it, with a trained model."""
    project = tmp_path / "project"
    (project / "tests").mkdir(parents=True)
    for name in ("config.yaml", "schema.yaml", "tests/test_demo_data.py"):
        shutil.copy(TEMPLATE / name, project / name)
    shutil.copytree(TEMPLATE / "data" / "raw", project / "data" / "raw")
    (project / "README.md").write_text(README)
    shutil.copy(TEMPLATE / ".gitignore", project)
    (project / "bundles" / "champion").mkdir(parents=True)
    (project / "bundles" / "champion" / "bundle.json").write_text("birds")
    monkeypatch.chdir(project)
    return project


def content(folder: Path) -> dict[str, bytes]:
    """Content of all files of a project but those of `data` that are no raw data."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    names = {path.relative_to(folder).as_posix(): path for path in files}
    out = ["data/before", "data/report.html", "data/raw/houses", "data/README.md"]
    out += ["data/arrivals.jsonl", "data/local_sources.json", ".lock", ".gitignore"]
    kept = {name for name in names if not name.startswith(tuple(out))}
    return {name: path.read_bytes() for name, path in names.items() if name in kept}


def test_the_demo_makes_way_for_other_data_and_comes_back_with_one_command(
    demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = content(demo)
    source = houses(tmp_path / "houses.csv")
    assert main(["data", "--source", str(source), "--target", "price"]) == 0
    (line,) = [one for one in capsys.readouterr().out.splitlines() if one.startswith("moved to ")]
    assert "data/before/demo: tests/test_demo_data.py, bundles, the results in README.md" in line
    assert "data/raw (4 files); back with: make data DEMO=1" in line

    assert set(content(demo)) == {"README.md", "config.yaml", "schema.yaml"}
    empty = "<!-- report: {} -->\n<!-- end report -->\n"
    results, data = empty.format("results"), empty.format("data")
    assert Path("README.md").read_text() == f"# Mine\n\n{results}My words.\n{data}"
    config = yaml.safe_load(Path("config.yaml").read_text())
    assert config["experiment"] == "houses-price"
    assert not {"models", "split", "leak_threshold"} & set(config)
    for name in ("README.md", "config.yaml", "schema.yaml"):
        assert not any(word in Path(name).read_text() for word in ("strike", "bird", "effect"))

    Path("README.md").write_text(Path("README.md").read_text().replace("My words", "New words"))
    Path("bundles").mkdir()
    Path("bundles", "mine").write_text("houses")
    assert main(["data", "--demo"]) == 0
    assert "restored: " in capsys.readouterr().out
    after = content(demo)
    assert after.pop("README.md").decode() == README.replace("My words", "New words")
    before.pop("README.md")
    assert after == before
    assert not Path("data/before/demo").exists()
    (models,) = Path("data/before").glob("bundles.*")  # those of the other data
    assert (models / "mine").read_text() == "houses"
    assert main(["prepare"]) == 0


def test_other_rows_of_the_same_data_move_nothing(
    demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = houses(tmp_path / "houses.csv")
    command = ["data", "--source", str(source)]
    assert main([*command, "--target", "price"]) == 0
    Path("bundles").mkdir()
    houses(source, rows=140)
    assert main(command) == 0
    assert Path("bundles").is_dir()
    assert "moved" not in capsys.readouterr().out.partition("Next:")[2]
    assert yaml.safe_load(Path("config.yaml").read_text())["experiment"] == "houses-price"

    assert main([*command, "--target", "sold"]) == 0  # another target is another model
    assert not Path("bundles").exists()
    assert yaml.safe_load(Path("config.yaml").read_text())["experiment"] == "houses-sold"


def test_another_target_of_the_demo_keeps_its_data(demo: Path) -> None:
    assert main(["data", "--target", "num_engs"]) == 0
    assert Path("data/raw/strikes.csv.gz").is_file()
    assert not Path("tests/test_demo_data.py").exists()
    config = yaml.safe_load(Path("config.yaml").read_text())
    assert config["experiment"] == "strikes-num_engs"
    assert len(config["data"]["joins"]) == 2
    assert "leak_threshold" not in config
    assert main(["data", "--demo"]) == 0
    assert Path("tests/test_demo_data.py").is_file()


def test_a_table_that_cannot_be_used_moves_nothing(demo: Path, tmp_path: Path) -> None:
    before = content(demo)
    source = houses(tmp_path / "houses.csv")
    assert main(["data", "--source", str(source), "--target", "cost"]) == 2
    assert content(demo) == before


def test_without_the_demo_here_git_is_named(
    demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = houses(tmp_path / "houses.csv")
    assert main(["data", "--source", str(source), "--target", "price"]) == 0
    shutil.rmtree("data/before")  # git ignores it: it is not in a clone
    capsys.readouterr()
    assert main(["data", "--demo"]) == 2
    assert "\ngit checkout $(git log " in capsys.readouterr().err


def test_the_draft_holds_lines_to_fill_in(demo: Path, tmp_path: Path) -> None:
    source = houses(tmp_path / "houses.csv")
    assert main(["data", "--source", str(source), "--target", "sold"]) == 0
    drafted = Path("schema.yaml").read_text()
    assert "  sold:\n" in drafted
    assert "    labels:\n      'false': ''\n      'true': ''\n" in drafted
    columns = yaml.safe_load(drafted)["columns"]
    assert columns["size"]["description"] == columns["size"]["unit"] == ""
    assert "unit" not in columns["garden"]
    filled = drafted.replace("'true': ''", "'true': Sold", 1).replace("unit: ''", "unit: m²", 1)
    Path("schema.yaml").write_text(filled)
    contract = Contract.load(Path("schema.yaml"))
    sold, size = contract.columns["sold"], contract.columns["size"]
    assert isinstance(sold, Boolean)
    assert sold.labels == {"true": "Sold"}
    assert isinstance(size, Number)
    assert size.unit == "m²"
    assert main(["data"]) == 0  # what was filled in stays
    assert "'true': Sold" in Path("schema.yaml").read_text()


def test_the_labels_of_many_classes_are_drafted_in_order(demo: Path, tmp_path: Path) -> None:
    path = tmp_path / "grades.csv"
    lines = [f"{i % 7},{'ABC'[i % 3]}" for i in range(90)]
    path.write_text("\n".join(["x,grade", *lines]) + "\n")
    assert main(["data", "--source", str(path), "--target", "grade"]) == 0
    labels = yaml.safe_load(Path("schema.yaml").read_text())["columns"]["grade"]["labels"]
    assert labels == {"A": "", "B": "", "C": ""}


def test_no_folder_of_this_computer_goes_into_a_file_that_git_keeps(
    demo: Path, tmp_path: Path
) -> None:
    source = houses(tmp_path / "houses.csv")
    assert main(["data", "--source", str(source), "--target", "price"]) == 0
    ignored = ("data/before/", "data/local_sources.json", "data/prepared", "data/report.html")
    for path in demo.rglob("*"):
        name = path.relative_to(demo).as_posix()
        if path.is_file() and not name.startswith(ignored):
            assert str(tmp_path).encode() not in path.read_bytes(), name
    (entry,) = load_entries()
    assert (entry.source, entry.local) == ("houses.csv", True)
    assert "make collect SOURCE='FOLDER/houses.csv'" in Path("data/README.md").read_text()

    houses(source, rows=130)
    assert main(["collect"]) == 0  # here it is known where the file is
    assert len(load_entries()) == 2


def test_in_a_clone_a_local_file_is_asked_for(
    demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import_source(str(houses(tmp_path / "houses.csv")))
    Path("data/local_sources.json").unlink()
    shutil.rmtree("data/raw/houses")
    assert main(["collect"]) == 2
    assert "imported on another computer; run: make collect SOURCE=" in capsys.readouterr().err
    there = houses(tmp_path / "elsewhere" / "houses.csv")
    assert main(["collect", "--source", str(there)]) == 0
    (entry,) = load_entries()
    assert entry.table.is_file()
    assert json.loads(Path("data/local_sources.json").read_text()) == {"houses": str(there)}


def test_two_files_of_one_name_outside_the_project_are_two_sources(
    demo: Path, tmp_path: Path
) -> None:
    for number in (1, 2):
        import_source(str(houses(tmp_path / str(number) / "houses.csv", rows=100 + number)))
    assert [entry.collection for entry in load_entries()] == ["houses", "houses-2"]
    assert [entry.source for entry in load_entries()] == ["houses.csv"] * 2
    again = import_source(str(tmp_path / "1" / "houses.csv"))
    assert again == load_entries()[0].table


@pytest.mark.parametrize(
    ("written", "logged"),
    [
        ("in/a.csv", "in/a.csv"),
        ("{here}/in/a.csv", "in/a.csv"),
        ("{outside}/in/a.csv", "a.csv"),
        ("../in/a.csv", "a.csv"),
        ("{outside}/in", "in"),
        ("{outside}/in/*.csv", "*.csv"),
        ("{outside}/**/*.csv", "**/*.csv"),
    ],
)
def test_what_is_logged_of_a_file_is_its_place_in_the_project_or_its_name(
    written: str, logged: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in (tmp_path / "in", tmp_path / "project" / "in"):
        folder.mkdir(parents=True)
        (folder / "a.csv").write_text("x\n1\n")
    monkeypatch.chdir(tmp_path / "project")
    source = parse(written.format(here=tmp_path / "project", outside=tmp_path))
    assert source.address == logged
    assert source.local == (".." in written or "outside" in written)


def test_a_log_of_the_first_version_is_read(demo: Path) -> None:
    import_source("data/raw/aircraft.csv", license="CC0")
    log = Path("data/arrivals.jsonl")
    log.write_text(log.read_text().replace('"license"', '"licence"').replace('"local":false,', ""))
    (entry,) = load_entries()
    assert entry.license == "CC0"


def test_a_quarantine_under_its_old_name_is_refused_with_the_new_one(
    demo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = Path("config.yaml").read_text()
    for old, new in (
        ("data:\n  dialect: {ragged: set aside}\n", "is now called 'quarantine'"),
        ("too_good: 0.6\ndata:\n", "too_good is now called leak_threshold"),
    ):
        Path("config.yaml").write_text(config.replace("data:\n", old, 1))
        assert main(["prepare"]) == 2
        assert new in capsys.readouterr().err


def ignored(*paths: Path) -> list[str]:
    """Return the paths that git ignores."""
    subprocess.run(["git", "init", "--quiet"], check=True)
    done = subprocess.run(
        ["git", "check-ignore", *map(str, paths)], capture_output=True, text=True, check=False
    )
    return done.stdout.split()


def test_git_keeps_a_small_table_that_may_be_shared_and_asks_once(
    demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["data", "--source", str(houses(tmp_path / "houses.csv")), "--target", "price"]
    assert main(command) == 0
    assert "make data SHARE=yes" in capsys.readouterr().out  # nobody is there to be asked
    (entry,) = load_entries()
    assert ignored(entry.table) == [str(entry.table)]

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question)
        return ""

    monkeypatch.setattr("builtins.input", answer)
    for _ in range(2):
        assert main(command) == 0
    (question,) = asked
    assert "May data/raw/houses (0.0 MB) be shared?" in question
    assert ignored(entry.table) == [str(entry.table)]

    assert main([*command, "--share"]) == 0
    assert ignored(entry.table, Path("data/raw/other/x.csv")) == ["data/raw/other/x.csv"]
    assert main(command) == 0
    assert main([*command, "--no-share"]) == 0
    assert ignored(entry.table) == [str(entry.table)]
    assert len(asked) == 1


def test_a_table_about_people_is_not_kept_by_git(
    demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "people.csv"
    lines = [f"p{i}@example.org,{i % 9},{i % 2}" for i in range(60)]
    path.write_text("\n".join(["email,visits,bought", *lines]) + "\n")
    assert main(["data", "--source", str(path), "--target", "bought", "--share"]) == 0
    assert "is not kept by git: email identifies people" in capsys.readouterr().out
    (entry,) = load_entries()
    assert ignored(entry.table) == [str(entry.table)]
