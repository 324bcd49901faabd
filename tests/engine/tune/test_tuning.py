"""The search goes on where it was killed, is shared by processes, and tells what it bought."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
import yaml
from optuna.trial import FrozenTrial, TrialState

from coldstart.tune._report import write
from coldstart.tune._storage import DATABASE
from engine.support import PACKAGE, PREFIX, main

COLUMNS = {
    "size": {"type": "number"},
    "age": {"type": "number"},
    "price": {"type": "number", "role": "target", "nullable": False},
}
COMMENTED = "# yours\ndata: {table: houses.csv} # the houses\nsplit:\n  cross_validate_below: 0\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Houses whose price is a staircase: a tree of a few leaves is too small for it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    rows = "\n".join(
        f"{i % 97},{i % 89},{i % 97 // 3 * 50 + i % 89 // 4 * 40}" for i in range(1200)
    )
    Path("houses.csv").write_text("size,age,price\n" + rows)
    Path("schema.yaml").write_text(yaml.safe_dump({"columns": COLUMNS}, sort_keys=False))
    Path("config.yaml").write_text(COMMENTED)
    return tmp_path


def trials(folder: Path, shared: str | None = None) -> list[FrozenTrial]:
    """All trials that the database holds; none while it is being made."""
    address = shared or f"sqlite:///{folder / DATABASE}"
    try:
        (study,) = optuna.get_all_study_names(address)
        return optuna.load_study(study_name=study, storage=address).trials
    except Exception:  # SQLAlchemy's and Optuna's own, of a database that is half made
        return []


def test_a_search_killed_midway_goes_on_without_repeating_what_was_done(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [sys.executable, "-m", PACKAGE, "tune", "--model", "tree", "--trials", "500"]
    process = subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, text=True)
    end = time.monotonic() + 60
    while time.monotonic() < end and len(trials(project)) < 6:
        time.sleep(0.3)
    os.kill(process.pid, signal.SIGSTOP)  # midway, whatever it is at
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    before = {trial.number: trial for trial in trials(project)}
    done = {n: trial for n, trial in before.items() if trial.state == TrialState.COMPLETE}
    assert 0 < len(done) < 100

    goal = len(done) + 4
    assert main(["tune", "--model", "tree", "--trials", str(goal)]) == 0
    told = capsys.readouterr().out
    assert f"{len(done)} of {goal} trials of tree are done" in told
    after = {trial.number: trial for trial in trials(project)}
    for number, trial in done.items():
        assert after[number] == trial
    assert sum(trial.state == TrialState.COMPLETE for trial in after.values()) == goal
    assert not any(trial.state == TrialState.RUNNING for trial in after.values())
    for cut in set(before) - set(done):
        # It may have been killed when only some of its settings were drawn.
        drawn = before[cut].params.items()
        assert after[cut].state == TrialState.FAIL
        assert any(n > cut and drawn <= trial.params.items() for n, trial in after.items())

    # All are done: only the result is printed again.
    assert main(["tune", "--model", "tree", "--trials", str(goal)]) == 0
    assert len(trials(project)) == len(after)


def test_two_processes_share_one_search(project: Path) -> None:
    assert main(["tune", "--model", "tree", "--trials", "40", "--jobs", "2"]) == 0
    found = [trial for trial in trials(project) if trial.state == TrialState.COMPLETE]
    assert 40 <= len(found) <= 41  # both may be at the last one
    assert any(
        one.datetime_start < other.datetime_start < one.datetime_complete  # type: ignore[operator]
        for one, other in itertools.permutations(found, 2)
    )


def test_two_machines_share_a_search_and_neither_takes_the_trial_of_the_other(
    project: Path, postgres: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shared = postgres.replace("postgresql:", "postgresql+psycopg:")
    elsewhere = tmp_path_factory.mktemp("elsewhere")  # as another machine is
    for name in ("houses.csv", "schema.yaml", "config.yaml"):
        shutil.copy(project / name, elsewhere)
    environment = os.environ | {f"{PREFIX}STORAGE": postgres}  # keeps the password off the screen

    def search(folder: Path, goal: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", PACKAGE, "tune", "--model", "tree", "--trials", str(goal)]
        return subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
        )

    assert search(project, 1).wait(timeout=120) == 0
    (study,) = optuna.get_all_study_names(shared)
    third = optuna.load_study(study_name=study, storage=shared).ask()  # a trial of a third machine
    both = [search(folder, 25) for folder in (project, elsewhere)]
    told = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    shown = f"postgresql://me@127.0.0.1:{postgres.partition('127.0.0.1:')[2]}: "
    for printed in told:  # the other one may have completed some when the second one begins
        assert re.search(rf"^{re.escape(shown)}\d+ of 25 trials of tree are done", printed, re.M)
    assert "tiger" not in "".join(told)
    found = trials(project, shared)
    assert found[third.number].state == TrialState.RUNNING
    done = [trial for trial in found if trial.state == TrialState.COMPLETE]
    assert 25 <= len(done) <= 26  # both may be at the last one
    assert any(
        one.datetime_start < other.datetime_start < one.datetime_complete  # type: ignore[operator]
        for one, other in itertools.permutations(done, 2)
    )
    assert not (project / DATABASE).exists()


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("postgresql://me:tiger@127.0.0.1:1/x", "postgresql://me@127.0.0.1:1/x: "),
        ("postgresql+none://me:tiger@127.0.0.1:1/x", "is not a valid database address"),
    ],
)
def test_a_database_that_cannot_be_reached_is_told_in_one_line(
    project: Path, capsys: pytest.CaptureFixture[str], address: str, told: str
) -> None:
    assert main(["tune", "--model", "tree", "--storage", address]) == 2
    printed = capsys.readouterr()
    assert told in printed.err
    assert printed.err.count("\n") == 1
    assert "tiger" not in printed.out + printed.err


def test_what_was_bought_is_told_and_the_next_training_uses_it(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tune", "--model", "tree", "--trials", "12"]) == 0
    told = capsys.readouterr().out
    assert "the best of 12 trials: max_depth" in told
    lines = {line.split(":")[0].strip(): line for line in told.splitlines()}
    assert lines["validation"].endswith(", better")
    assert "with the defaults 0." in lines["test"]
    config = Path("config.yaml").read_text()
    assert config.startswith(COMMENTED)
    found = yaml.safe_load(config)["tuned"]["tree"]
    assert set(found) == {"max_depth", "min_samples_leaf"}

    assert main(["train", "--models", "tree"]) == 0
    bundle = yaml.safe_load(Path("bundles/challenger/bundle.json").read_text())
    assert bundle["provenance"]["settings"]["tuned"] == {"tree": found}
    assert f"{bundle['metrics']['test']['r2']:.4f}" in lines["test"]


def test_settings_are_written_beside_those_of_other_models(project: Path) -> None:
    write("tree", {"max_depth": 3})
    write("forest", {"max_features": 0.5})
    write("tree", {"max_depth": 4})
    config = Path("config.yaml").read_text()
    assert config.startswith(COMMENTED)
    assert yaml.safe_load(config)["tuned"] == {
        "tree": {"max_depth": 4},
        "forest": {"max_features": 0.5},
    }


def test_an_unknown_model_and_an_unknown_setting_are_told(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tune", "--model", "tre"]) == 2
    assert "there is no model 'tre'" in capsys.readouterr().err
    write("tree", {"depth": 3})
    assert main(["train"]) == 2
    assert "there is no setting 'depth'; there are max_depth" in capsys.readouterr().err
