"""The command line: where settings come from, and how mistakes are reported.

Nothing here reads the demo's data or columns.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from filelock import FileLock

from coldstart.cli._commands import Train
from coldstart.cli._main import build, find_commands
from engine.support import PACKAGE, PREFIX, PROJECT, main

NEEDED = {"prepare", "train", "promote", "rollback", "pull", "serve", "predict", "ui"}
Project = Callable[..., Path]
Refusal = Callable[..., str]


def test_help_lists_every_command_at_once_and_loads_no_library_for_it(tmp_path: Path) -> None:
    begin = os.times()
    command = [sys.executable, "-X", "importtime", "-m", PACKAGE, "--help"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert os.times().children_user - begin.children_user < 2  # s, however busy the machine is
    assert done.returncode == 0
    assert set(find_commands()) >= NEEDED
    for name, kind in find_commands().items():
        assert f"  {name} " in done.stdout
        assert (kind.__doc__ or "").splitlines()[0] in done.stdout
    loaded = {line.split("|")[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "pydantic" in loaded  # the list is read correctly
    assert not loaded & {"torch", "mlflow", "sklearn", "polars", "onnx", "fastapi"}


def test_a_command_of_another_package_is_looked_for_if_the_engine_has_none_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "greeting-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[coldstart.commands]\ngreeting = greeting\n")
    (tmp_path / "greeting.py").write_text(
        "from coldstart.cli._commands import Command\n"
        "class Greet(Command):\n    'Greet.'\n    def run(self):\n        return 0\n"
        "class Serve(Greet):\n    'Greet as well.'\n    def run(self):\n        return 0\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert "greet" not in find_commands("serve")
    for wanted in ("greet", ""):
        found = find_commands(wanted)
        assert found["greet"].__module__ == "greeting"
        assert found["serve"].__module__ == "coldstart.cli._commands"


def test_no_command_at_all_is_a_question_for_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "usage: " in capsys.readouterr().out


def test_each_command_explains_its_settings(
    small_project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    small_project()
    for name in sorted(NEEDED):
        assert main([name, "--help"]) == 0
        told = capsys.readouterr().out
        assert len(told.splitlines()) <= 24
        assert all(len(line) <= 80 for line in told.splitlines())
        assert f"{name} --help-all" in told
        assert ("--file" in told) == (name == "predict")
        assert told.startswith(f"usage: python -m {PACKAGE} {name} ")
        with pytest.raises(SystemExit) as ended:
            main([name, "--help-all"])
        assert ended.value.code == 0
        told = capsys.readouterr().out
        assert "--serving.port" in told
        assert ("--file" in told) == (name == "predict")
        assert told.startswith(f"usage: python -m {PACKAGE} {name} ")


def test_a_mistake_ends_a_real_process_with_code_2_and_one_line(
    tmp_path: Path, write_project: Project, run_command: Callable[..., Any]
) -> None:
    done = run_command(write_project(tmp_path), "train", "--sede", "1")
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert "sede" in line


def test_an_unknown_command_is_told_with_those_there_are(refusal: Refusal) -> None:
    told = refusal("trian")
    assert "'trian'" in told
    assert "train" in told


def test_outside_a_project_the_missing_config_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: Refusal
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "config.yaml" in refusal("prepare")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--sede", "1"], "sede"),
        (["--neural.epoch", "1"], "neural.epoch"),
        (["--seed", "one"], "seed"),
        (["--seed"], "seed"),
        (["--split.train", "1.5"], "split.train"),
        (["--serving.port", "99999"], "serving.port"),
        (["--neural.hidden", "[64, -1]"], "neural.hidden"),
        (["--neural.hidden", "[]"], "neural.hidden"),
        (["--split.train-until", "soon"], "split.train_until"),
        (["stray"], "stray"),
    ],
)
def test_a_wrong_setting_on_the_command_line_is_named(
    small_project: Project, refusal: Refusal, arguments: list[str], named: str
) -> None:
    small_project()
    told = refusal("train", *arguments)
    assert named in told
    assert f"see make help, or python -m {PACKAGE} train --help" in told


def test_what_a_command_needs_and_was_not_given_is_named(
    small_project: Project, refusal: Refusal
) -> None:
    small_project()
    assert "name: is missing; see make help" in refusal("key")


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"sede": 1}, "sede"),
        ({"split": {"trian": 0.5}}, "split.trian"),
        ({"seed": "one"}, "seed"),
        ({"neural": {"dropout": 2}}, "neural.dropout"),
        ({"data": {}}, "data.table"),
        ({"data": {"table": "fruit.csv", "joins": [{"file": "x.csv"}]}}, "data.joins.0.key"),
        ({"models": "linear"}, "models"),
    ],
)
def test_a_wrong_setting_in_config_is_named(
    small_project: Project, refusal: Refusal, config: dict[str, Any], named: str
) -> None:
    small_project(**config)
    assert named in refusal("train")


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("SEDE", "1", "SEDE"),
        ("NEURAL__EPOCH", "1", "epoch"),
        ("SEED", "one", "seed"),
        ("SPLIT__TRAIN", "2", "split.train"),
        ("MODELS", "linear,", "models"),
    ],
)
def test_a_wrong_setting_in_the_environment_is_named(
    small_project: Project,
    refusal: Refusal,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    named: str,
) -> None:
    small_project()
    monkeypatch.setenv(PREFIX + variable, value)
    assert named in refusal("train")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("data: [", "not YAML"),
        ("data:\n\ttable: x", "not YAML"),
        ("", "data"),
        ("just a sentence", "config.yaml"),
        ("- a\n- list", "config.yaml"),
        ("seed: 1\nseed: 2\n", "'seed' is there twice"),
        ("data: " + "[" * 20_000 + "]" * 20_000, "nested too deeply"),
        ("data: !!bool abc", "not YAML"),
        ("data: {table: \ud800}", "not UTF-8"),
    ],
)
def test_a_config_that_is_no_list_of_settings_is_told(
    small_project: Project, refusal: Refusal, content: str, complaint: str
) -> None:
    (small_project() / "config.yaml").write_text(content, errors="surrogatepass")
    assert complaint in refusal("prepare")


def test_the_environment_wins_over_config_and_the_command_line_over_both(
    small_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_project(seed=1, neural={"epochs": 10, "patience": 1}, tracking_uri="sqlite:///a.db")
    chosen = build(PROJECT, Train, [])
    assert (chosen.seed, chosen.neural.epochs, chosen.neural.patience) == (1, 10, 1)
    assert chosen.tracking_uri == "sqlite:///a.db"

    monkeypatch.setenv(f"{PREFIX}SEED", "2")
    monkeypatch.setenv(f"{PREFIX}NEURAL__EPOCHS", "20")
    chosen = build(PROJECT, Train, [])
    assert (chosen.seed, chosen.neural.epochs, chosen.neural.patience) == (2, 20, 1)

    chosen = build(PROJECT, Train, ["--seed", "3", "--neural.epochs", "30"])
    assert (chosen.seed, chosen.neural.epochs, chosen.neural.patience) == (3, 30, 1)


def test_the_environment_wins_over_the_env_file_and_that_over_config(
    small_project: Project, refusal: Refusal, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = small_project(seed=1, budget="1m", tracking_uri="sqlite:///a.db")
    monkeypatch.setattr(os, "environ", os.environ.copy())
    (folder / ".env").write_text(
        f"# mine\n{PREFIX}SEED=2\n{PREFIX}BUDGET=2m\n"
        "MLFLOW_TRACKING_URI=sqlite:///b.db\nMLFLOW_TRACKING_PASSWORD='a ${HOME} # b'\n"
    )
    os.environ[f"{PREFIX}SEED"] = "3"
    chosen = build(PROJECT, Train, [])
    assert (chosen.seed, chosen.budget, chosen.tracking_uri) == (3, 120, "sqlite:///b.db")
    assert build(PROJECT, Train, ["--budget", "3m"]).budget == 180
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "a ${HOME} # b"  # for MLflow's own client

    (folder / ".env").write_text(f"{PREFIX}SEEDS=2\n")
    assert f"{PREFIX}SEEDS" in refusal("prepare")
    (folder / ".env").write_text("A=1\n", encoding="utf-16")
    assert ".env is not UTF-8" in refusal("prepare")


@pytest.mark.parametrize("variable", ["MLFLOW_TRACKING_URI", f"{PREFIX}TRACKING_URI"])
def test_the_tracking_store_can_be_chosen_by_either_variable(
    small_project: Project, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    small_project(tracking_uri="sqlite:///a.db")
    monkeypatch.setenv(variable, "sqlite:///b.db")
    assert build(PROJECT, Train, []).tracking_uri == "sqlite:///b.db"
    assert (
        build(PROJECT, Train, ["--tracking-uri", "sqlite:///c.db"]).tracking_uri == "sqlite:///c.db"
    )


def test_several_models_can_be_named_at_once(small_project: Project) -> None:
    small_project()
    assert build(PROJECT, Train, ["--models", "linear,tree"]).models == ["linear", "tree"]


def test_an_unknown_model_is_told_with_those_there_are_before_any_work(
    small_project: Project, refusal: Refusal
) -> None:
    folder = small_project()
    told = refusal("train", "--models", "linear,florest")
    assert "'florest'" in told
    assert "forest" in told
    assert not (folder / "data").exists()


def test_a_missing_table_is_named(small_project: Project, refusal: Refusal) -> None:
    small_project(data={"table": "data/absent.csv"})
    assert "data/absent.csv" in refusal("prepare")


def test_a_table_without_rows_is_named(
    small_project: Project, refusal: Refusal, write_project: Project
) -> None:
    folder = small_project()
    header = (folder / "fruit.csv").read_text().splitlines()[0]
    small_project(table=header + "\n")
    assert "fruit.csv" in refusal("prepare")
    small_project(table="")
    assert "fruit.csv" in refusal("prepare")


def test_a_target_that_the_table_does_not_have_is_named(
    small_project: Project, refusal: Refusal
) -> None:
    table = small_project() / "fruit.csv"
    table.write_text(table.read_text().replace("sweet", "sweat", 1))
    told = refusal("prepare")
    assert "sweet: in schema.yaml but not in the data" in told
    assert "sweat: in the data but not in schema.yaml" in told


def test_a_missing_contract_is_named(small_project: Project, refusal: Refusal) -> None:
    (small_project() / "schema.yaml").unlink()
    assert "schema.yaml" in refusal("prepare")


def test_commands_before_the_first_training_say_what_to_run(
    small_project: Project, refusal: Refusal
) -> None:
    small_project()
    assert "make train" in refusal("serve")
    assert "make train" in refusal("predict")
    assert "make train" in refusal("predict", "--file", "fruit.csv", "--out", "out.csv")


@pytest.mark.parametrize("given", ["--file", "--out"])
def test_predict_with_one_of_its_files_asks_for_the_other(
    small_project: Project, refusal: Refusal, given: str
) -> None:
    small_project()
    assert "FILE=in.csv OUT=out.csv" in refusal("predict", given, "rows.csv")


def test_of_too_many_rows_some_of_each_class_are_learned_from(
    small_project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = small_project(training_rows=100)
    assert main(["prepare"]) == 0
    assert "training on 100 of 300 rows" in capsys.readouterr().out
    tables = [
        pl.read_parquet(folder / "data" / "prepared" / name)
        for name in ("table.parquet", "examples.parquet")
    ]
    every, drawn = (table["sweet"].mean() for table in tables)
    assert [len(table) for table in tables] == [300, 100]
    assert drawn == pytest.approx(every, abs=0.01)


def test_data_that_violates_the_contract_replaces_nothing(
    small_project: Project, refusal: Refusal
) -> None:
    folder = small_project()
    assert main(["prepare"]) == 0
    dataset = folder / "data" / "prepared"
    before = {path.name: path.read_bytes() for path in dataset.iterdir()}
    assert set(before) == {"table.parquet", "examples.parquet"}
    table = folder / "fruit.csv"
    table.write_text(table.read_text().replace("yes\n", "maybe\n", 1))
    assert "not a boolean, the first is 'maybe'" in refusal("prepare")
    assert {path.name: path.read_bytes() for path in dataset.iterdir()} == before


def test_a_first_preparation_that_fails_leaves_nothing(
    small_project: Project, refusal: Refusal
) -> None:
    folder = small_project(split={"train": 0.8, "validation": 0.3})
    before = sorted(path.name for path in folder.rglob("*"))
    refusal("prepare")
    assert sorted(path.name for path in folder.rglob("*")) == before


def test_two_commands_that_write_do_not_run_at_the_same_time(
    small_project: Project, refusal: Refusal
) -> None:
    folder = small_project()
    with FileLock(folder / ".lock"):
        assert "another command is running" in refusal("train")
        assert main(["--help"]) == 0
    assert main(["prepare"]) == 0


def test_a_time_that_is_none_is_quoted_once(small_project: Project, refusal: Refusal) -> None:
    small_project()
    said = refusal("train", "--budget", "five")
    assert said.startswith(
        "error: settings: budget: expected a time such as 90s, 5m or 1h, not 'five'; see make help"
    )


def test_a_prediction_leaves_nothing_in_the_home_folder(
    champion: Path, run_command: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """Onnxruntime writes the id of this machine there, to send it with events to its maker."""
    home = tmp_path / "home"
    home.mkdir()
    ran = run_command(champion.parents[1], "predict", HOME=str(home), XDG_CACHE_HOME=str(home))
    assert ran.returncode == 0, ran.stderr
    assert list(home.rglob("*")) == []
