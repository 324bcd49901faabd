"""Machines that search together: one is lost, and what they found comes home."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial, TrialState

from {{cookiecutter.__package}}.__main__ import (
    build,
    main,
)
from {{cookiecutter.__package}}.limbs.cloud import jobs
from {{cookiecutter.__package}}.limbs.cloud.job import Group
from {{cookiecutter.__package}}.limbs.cloud.store import Store
from {{cookiecutter.__package}}.limbs.cloud.worker import RESULTS
from {{cookiecutter.__package}}.limbs.distributed_tuning import bringing
from {{cookiecutter.__package}}.limbs.distributed_tuning.commands import TuneHome
from {{cookiecutter.__package}}.limbs.distributed_tuning.journal import StoreJournal
from {{cookiecutter.__package}}.limbs.distributed_tuning.shared import (
    SharedStorage,
    begin_trial,
    seed,
)
from {{cookiecutter.__package}}.limbs.tuning.search import (
    DATABASE,
    open_study,
)
from {{cookiecutter.__package}}.limbs.tuning.trying import suggest
from {{cookiecutter.__package}}.preparation import prepare
from {{cookiecutter.__package}}.settings import PACKAGE
from {{cookiecutter.__package}}.tracking import connect

Wait = Callable[[Callable[[], Any], str], Any]
SEARCH = "a1b2c3"
MODEL = "forest"
SAME = ["--search", SEARCH, "--model", MODEL]


def machine(
    name: str, store: Store, trials: int, deadline: float | None = None
) -> subprocess.Popen[bytes]:
    """Start what a machine of the search runs."""
    end = deadline or time.time() + 600
    told = {"SHARED": store.address, "TRAINING_JOB": name, "DEADLINE": str(end)}
    folder = Path("..", name)
    if not folder.exists():
        folder.mkdir()
        shutil.copytree("data/raw", folder / "data/raw")
        shutil.copytree("shared", folder / "shared")
        for part in ("config.yaml", "schema.yaml"):
            shutil.copy(part, folder)
    return subprocess.Popen(
        [sys.executable, "-m", PACKAGE, "tune-share", *SAME, "--trials", str(trials)],
        cwd=folder,
        env=os.environ | told,
        stdout=(folder / "said").open("ab"),
        stderr=subprocess.STDOUT,
    )


def trials(store: Store) -> list[FrozenTrial]:
    """All trials of the search, as they are in the store."""
    storage = JournalStorage(StoreJournal(store, time.time() + 60))
    studies = storage.get_all_studies()
    return storage.get_all_trials(studies[0]._study_id) if studies else []


def of(state: TrialState, found: list[FrozenTrial]) -> list[FrozenTrial]:
    """Those in a state."""
    return [trial for trial in found if trial.state == state]


class Place:
    """A place whose jobs share a folder of the store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def shared(self, group: str) -> Store:
        return self.store


def test_a_trial_that_was_lost_is_tried_again_and_none_is_counted_twice(
    project: Path,
    store: Store,
    wait: Wait,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["tune", "--model", MODEL, "--trials", "2"]) == 0
    home = ["tune-home", *SAME, "--on", "aws"]
    settings = build(TuneHome, home[1:])
    study = open_study(settings, prepare(settings), MODEL)
    seed(study, SEARCH)
    client = connect(settings)
    group = jobs.begin_group(client, settings, Group(SEARCH, 2, home), "search")
    about = ("houses", "aws", ["tune-share"], 1.0, 0.5, 1, group)
    names = [jobs.begin(client, settings, *about).id for _ in range(2)]

    # One of two machines is lost in the midst of a trial.
    wanted = 8
    lost, other = (machine(name, store, wanted) for name in names)

    def under_way() -> list[FrozenTrial]:
        mine = [one for one in trials(store) if one.user_attrs.get("machine") == names[0]]
        return [one for one in of(TrialState.RUNNING, mine) if len(one.params) == 2]

    def stopped() -> FrozenTrial | None:
        if not under_way():
            return None
        lost.send_signal(signal.SIGSTOP)
        if found := under_way():
            return found[0]
        lost.send_signal(signal.SIGCONT)
        return None

    said = Path("..", names[0], "said")
    wait(lambda: "data: " in said.read_text(), "preparing")
    cut = wait(stopped, "a trial")
    lost.kill()
    lost.wait()
    assert other.wait(120) == 0, Path("..", names[1], "said").read_text()
    found = trials(store)
    # What is under way has its place: the other machine leaves it to the one that comes again.
    assert len(of(TrialState.COMPLETE, found)) == wanted - 1
    assert [one.number for one in of(TrialState.RUNNING, found)] == [cut.number]

    # What there is can come home before the end.
    monkeypatch.setattr(bringing, "find_place", lambda on: Place(store))
    jobs.end(client, names[1], 0)
    assert main(home) == 0
    assert "1 of 2 machines are still at it" in capsys.readouterr().out

    assert machine(names[0], store, wanted).wait(120) == 0
    told = f"trial {cut.number} was lost with its machine: it is tried again"
    assert told in said.read_text()
    found = trials(store)
    assert len(of(TrialState.COMPLETE, found)) == wanted
    assert found[cut.number].state == TrialState.FAIL
    (again,) = [one for one in found if one.user_attrs.get("again") == cut.number]
    assert (again.state, again.params) == (TrialState.COMPLETE, cut.params)
    # Here is all of it in the database, also what was under way when it first came.
    for job in names:
        client.log_metric(job, "cost_usd", 0.5)
    jobs.end(client, names[0], 0)
    capsys.readouterr()
    assert main(home) == 0
    told = capsys.readouterr().out
    assert f"the best of {wanted} trials: " in told
    assert "with 95 % confidence" in told
    done = study.get_trials(states=(TrialState.COMPLETE,))
    assert len(done) == wanted
    assert len({tuple(one.params.values()) for one in done}) == wanted
    assert client.get_run(group.info.run_id).data.metrics["cost_usd"] == 1.0
    assert client.get_run(group.info.run_id).info.status == "FINISHED"
    assert store.names("") == []
    assert not Path("shared", SEARCH).exists()
    assert main(home) == 2
    assert "is there: it has come home" in capsys.readouterr().err
    assert main(["tune", "--model", MODEL, "--trials", str(wanted)]) == 0
    assert f"{DATABASE}: {wanted} of {wanted} trials" in capsys.readouterr().out


def test_time_that_is_over_ends_the_search_and_what_was_under_way_has_failed(
    project: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = build(TuneHome, [*SAME, "--on", "aws"])
    study = open_study(settings, prepare(settings), MODEL)
    seed(study, SEARCH)
    journal = StoreJournal(store, time.time() + 60)
    journal.begin(Path("shared", SEARCH, "study.journal"))
    storage = SharedStorage(journal, "ab" * 16)
    shared = optuna.load_study(study_name=study.study_name, storage=storage)
    (gone, done) = (begin_trial(shared, storage, 5) for _ in range(2))
    assert gone
    assert done
    for trial in (gone, done):
        suggest(trial, MODEL)
    shared.tell(done, 0.5)
    process = machine("cd" * 16, store, 5, time.time() + RESULTS)
    assert process.wait(60) == 0
    assert "no time is left for another trial" in Path("..", "cd" * 16, "said").read_text()
    assert bringing.take(study, shared, SEARCH, ended=False) == 1
    assert bringing.take(study, shared, SEARCH, ended=True) == 0
    assert sorted(one.state for one in study.trials) == [TrialState.COMPLETE, TrialState.FAIL]
