"""Arrivals: kept once, as they came; their record, the data card, and collecting again."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from coldstart.data.sources._import_log import load_entries
from coldstart.data.sources._importing import import_source
from coldstart.errors import UserError
from engine.support import TEMPLATE, main

CONFIG = """# mine
data:
  table: {table}   # the newest
  joins:
    - file: {join}
      key: "id" # as they say
split: # by time
  train_until: 2020-01-01

models: [linear, tree]
"""


@pytest.fixture(autouse=True)
def _empty_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text("data: {table: none.csv}\n")
    Path("schema.yaml").write_text("columns: {}\n")


def names(table: Path) -> dict[str, str]:
    """Text of each file of an arrival."""
    files = [table] if table.is_file() else sorted(table.iterdir())
    return {path.name: path.read_text() for path in files}


def test_what_is_logged_of_an_import_is_true() -> None:
    Path("a.csv").write_text("x\n1\n")
    table = import_source("a.csv", license="CC BY 4.0")
    (entry,) = load_entries()
    assert entry.sha256 == hashlib.sha256(b"x\n1\n").hexdigest()
    assert (entry.size, entry.source, entry.license) == (4, "a.csv", "CC BY 4.0")
    assert abs(entry.time.timestamp() - time.time()) < 60
    assert entry.table == table
    assert table.parts[:3] == ("data", "raw", "a")
    assert entry.sha256[:8] in table.parts[3]


def test_an_identical_import_is_recognized_and_not_stored_twice(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("a.csv", "b.csv"):
        Path(name).write_text("x\n1\n")
    table = import_source("a.csv")
    capsys.readouterr()
    assert import_source("a.csv") == table
    assert "nothing new" in capsys.readouterr().out
    assert import_source("b.csv") == table
    assert "imported from a.csv" in capsys.readouterr().out
    assert import_source("a.csv", license="CC0") == table
    assert [entry.license for entry in load_entries()] == ["CC0"]
    assert "license: CC0" in Path("data/README.md").read_text()
    assert len([path for path in Path("data/raw").rglob("*.csv") if path.is_file()]) == 1


def test_a_new_version_of_a_file_takes_the_place_of_the_old_which_is_kept() -> None:
    tables = []
    for text in ("x\n1\n", "x\n1\n2\n"):
        Path("a.csv").write_text(text)
        tables.append(import_source("a.csv"))
    assert [names(table) for table in tables] == [{"a.csv": "x\n1\n"}, {"a.csv": "x\n1\n2\n"}]
    Path("a.csv").write_text("x\n1\n")  # as it was before
    assert import_source("a.csv") == tables[0]


def test_a_folder_adds_what_is_new_and_keeps_what_is_gone() -> None:
    Path("in").mkdir()
    for name in ("1.csv", "2.csv", "3.csv"):
        Path("in", name).write_text(f"x\n{name}\n")
    import_source("in")
    Path("in/1.csv").unlink()
    Path("in/2.csv").write_text("x\n2.csv\nmore\n")
    Path("in/3.csv").rename("in/moved.csv")
    Path("in/4.csv").write_text("x\n4\n")
    assert names(import_source("in")) == {
        "1.csv": "x\n1.csv\n",
        "2.csv": "x\n2.csv\nmore\n",  # a new version, and not its rows twice
        "3.csv": "x\n3.csv\n",
        "4.csv": "x\n4\n",
    }
    first, second = load_entries()
    assert (first.new, second.new) == (3, 2)
    same = [(entry.path / "1.csv").stat().st_ino for entry in (first, second)]
    assert same[0] == same[1]  # linked, not copied


def test_append_makes_every_version_of_a_file_more_rows() -> None:
    for number in (1, 2, 1, 3):
        Path("a.csv").write_text(f"x\n{number}\n")
        table = import_source("a.csv", append=True if number == 1 else None)
    assert sorted(names(table).values()) == ["x\n1\n", "x\n2\n", "x\n3\n"]


def test_a_crash_before_the_end_leaves_no_half_import(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("in").mkdir()
    for number in (1, 2):
        Path("in", f"{number}.csv").write_text(f"x\n{number}\n")
    original, calls = shutil.copyfile, []

    def broken(*paths: Any) -> Any:
        calls.append(paths)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(*paths)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", broken)
        with pytest.raises(KeyboardInterrupt):
            import_source("in")
    assert load_entries() == []
    assert [path.name for path in Path("data/raw").iterdir()] == [".incoming"]
    assert len(names(import_source("in"))) == 2
    assert not list(Path("data/raw/.incoming").iterdir())


def test_an_import_that_a_crash_kept_out_of_the_log_is_added(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("a.csv").write_text("x\n1\n")
    original = Path.rename

    def broken(path: Path, target: Path) -> Path:
        original(path, target)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", broken)
        with pytest.raises(KeyboardInterrupt):
            import_source("a.csv")
    assert not Path("data/arrivals.jsonl").exists()
    (entry,) = load_entries()
    assert import_source("a.csv") == entry.table
    assert len(load_entries()) == 1


def test_a_clone_without_the_data_gets_it_back_where_it_was() -> None:
    Path("a.csv").write_text("x\n1\n")
    table = import_source("a.csv")
    record = Path("data/arrivals.jsonl").read_text()
    shutil.rmtree("data/raw")
    assert main(["collect"]) == 0
    assert names(table) == {"a.csv": "x\n1\n"}
    assert Path("data/arrivals.jsonl").read_text() == record


def test_collect_repeats_all_and_points_the_config_at_it_leaving_the_rest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("a.csv").write_text("x\n1\n")
    Path("b.csv").write_text("id\n1\n")
    table, join = import_source("a.csv"), import_source("b.csv")
    before = CONFIG.format(table=table, join=join)
    Path("config.yaml").write_text(before)
    assert main(["collect"]) == 0
    assert Path("config.yaml").read_text() == before  # to the letter

    Path("a.csv").write_text("x\n1\n2\n")
    Path("b.csv").write_text("id\n1\n2\n")
    assert main(["collect"]) == 0
    new = {entry.source: entry.table for entry in load_entries()}
    assert table != new["a.csv"]
    wanted = CONFIG.format(table=new["a.csv"], join=new["b.csv"])
    assert Path("config.yaml").read_text() == wanted
    assert Path("schema.yaml").read_text() == "columns: {}\n"
    assert f"{new['a.csv']} instead of {table}" in capsys.readouterr().out

    Path("b.csv").write_text("id\n3\n")
    assert main(["collect", "--source", "a.csv"]) == 0
    assert Path("config.yaml").read_text() == wanted


def test_a_source_that_fails_does_not_keep_the_others_from_being_collected(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("a.csv", "b.csv"):
        Path(name).write_text(f"x\n{name}\n")
        import_source(name, license="CC0")
    Path("a.csv").unlink()
    Path("b.csv").write_text("x\n2\n")
    assert main(["collect"]) == 2
    assert "a.csv: there is no such file" in capsys.readouterr().err
    assert load_entries()[-1].source == "b.csv"
    assert load_entries()[-1].license == "CC0"


def test_a_full_disk_is_reported_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device", "a.csv")

    Path("a.csv").write_text("x\n1\n")
    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(UserError, match=r"cannot be imported: .*No space left"):
        import_source("a.csv")


def test_collect_says_when_there_is_nothing_to_repeat(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["collect"]) == 2
    assert "make data SOURCE=" in capsys.readouterr().err


def test_a_damaged_record_is_refused_by_its_line() -> None:
    Path("a.csv").write_text("x\n1\n")
    import_source("a.csv")
    with Path("data/arrivals.jsonl").open("a") as file:
        file.write("{}\n")
    with pytest.raises(UserError, match=r"arrivals\.jsonl, line 2"):
        load_entries()


def test_two_sources_of_one_name_are_two_collections() -> None:
    for folder in ("one", "two"):
        Path(folder).mkdir()
        Path(folder, "a.csv").write_text(f"x\n{folder}\n")
        import_source(f"{folder}/a.csv")
    assert [entry.collection for entry in load_entries()] == ["a", "a-2"]


def test_the_card_lists_each_import_and_keeps_the_users_words() -> None:
    Path("data").mkdir()
    Path("data/README.md").write_text("# Birds\n\nCounted by hand.\n")
    for text in ("x\n1\n", "x\n2\n"):
        Path("a.csv").write_text(text)
        import_source("a.csv", license="CC0")
        told = Path("data/README.md").read_text()
        Path("data/README.md").write_text(f"{told}\nAnd more of mine.\n")
    Path("a.csv").write_text("x\n3\n")
    import_source("a.csv")
    told = Path("data/README.md").read_text()
    assert told.startswith("# Birds\n\nCounted by hand.\n")
    assert told.count("And more of mine.") == 2
    assert told.count("## a\n") == 1
    for entry in load_entries():
        assert entry.sha256 in told
    assert "license: CC0" in told
    assert "make collect SOURCE='a.csv'" in told


def test_git_keeps_the_record_and_the_card_and_not_the_data() -> None:
    Path("a.csv").write_text("x\n1\n")
    table = import_source("a.csv")
    shutil.copy(TEMPLATE / ".gitignore", ".")
    subprocess.run(["git", "init", "--quiet"], check=True)
    paths = ["data/arrivals.jsonl", "data/README.md", str(table)]
    ignored = subprocess.run(["git", "check-ignore", *paths], capture_output=True, text=True)
    assert ignored.stdout.split() == [str(table)]


def test_what_cannot_be_read_leaves_no_import(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.csv").write_text("x,y\n" + "1,2\n" * 30)
    table = import_source("a.csv")
    log, card = Path("data/arrivals.jsonl").read_text(), Path("data/README.md").read_text()
    Path("a.csv").write_text("<html><body>Sign in</body></html>\n")
    Path("b.csv").write_text("x,y\n")
    for name, told in (("a.csv", "this is a web page"), ("b.csv", "there are no rows")):
        assert main(["data", "--source", name, "--target", "y"]) == 2
        assert f"{name}: {told}" in capsys.readouterr().err
        assert Path("data/arrivals.jsonl").read_text() == log
        assert Path("data/README.md").read_text() == card
        assert {path for path in Path("data/raw").rglob("*.csv") if path.is_file()} == {table}
    assert not Path("data/raw/b").exists()
