"""A journal that many write at once, over a store that fails."""

from __future__ import annotations

import multiprocessing
import threading
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from {{cookiecutter.__package}}.limbs.cloud.conftest import Bucket
from {{cookiecutter.__package}}.limbs.cloud.store import (
    BusyError,
    Store,
)
from {{cookiecutter.__package}}.limbs.distributed_tuning.journal import StoreJournal
from {{cookiecutter.__package}}.limbs.distributed_tuning.shared import (
    SharedStorage,
    begin_trial,
)


def journal(address: str, seconds: float = 60) -> StoreJournal:
    """The journal as one more machine sees it."""
    return StoreJournal(Store(address), time.time() + seconds)


def search(address: str, machine: str, trials: int, start: Any) -> None:
    """What a machine does, without a model."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = SharedStorage(journal(address), machine)
    study = optuna.load_study(study_name="s", storage=storage)
    start.wait(60)
    while trial := begin_trial(study, storage, trials):
        study.tell(trial, trial.suggest_float("x", 0, 1))


def test_of_what_machines_write_at_once_nothing_is_lost_and_no_trial_is_one_too_many(
    store: Store,
) -> None:
    optuna.create_study(study_name="s", storage=JournalStorage(journal(store.address)))
    spawn = multiprocessing.get_context("spawn")
    start = spawn.Barrier(3)
    machines = [
        spawn.Process(target=search, args=(store.address, name, 20, start)) for name in "abc"
    ]
    for machine in machines:
        machine.start()
    for machine in machines:
        machine.join(120)
        assert machine.exitcode == 0
    study = optuna.load_study(study_name="s", storage=JournalStorage(journal(store.address)))
    done = study.get_trials(states=(TrialState.COMPLETE,))
    assert len(done) == 20
    assert all(trial.value == trial.params["x"] for trial in done)
    assert len({trial.user_attrs["machine"] for trial in done}) > 1
    assert not study.get_trials(states=(TrialState.RUNNING,))
    names = store.names("")
    assert names == [f"{number:08}.json" for number in range(len(names))]


def test_a_store_that_is_away_is_waited_for_and_an_entry_whose_answer_was_lost_is_there_once(
    store: Store, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = journal(store.address)
    ours.append_logs([{"n": 0}])
    put = Store.put
    answers = iter([False, True])

    def lossy(self: Store, *arguments: Any, **more: Any) -> None:
        put(self, *arguments, **more)
        if not next(answers, True):
            raise BusyError("the answer was lost")

    with monkeypatch.context() as patched:
        patched.setattr(Store, "put", lossy)
        ours.append_logs([{"n": 1}])
    bucket.busy = True
    back = threading.Timer(3, setattr, (bucket, "busy", False))
    back.start()
    try:
        ours.append_logs([{"n": 2}])
        assert not back.is_alive()
    finally:
        back.cancel()
        bucket.busy = False
    assert list(journal(store.address).read_logs(0)) == [{"n": 0}, {"n": 1}, {"n": 2}]

    late = journal(store.address, seconds=-1)
    bucket.busy = True
    try:
        with pytest.raises(BusyError):
            late.append_logs([{"n": 3}])
    finally:
        bucket.busy = False


def test_whichever_machine_is_the_first_begins_with_what_was_found_before(
    store: Store, tmp_path: Path
) -> None:
    file = tmp_path / "seed"
    there = optuna.create_study(
        study_name="s", storage=JournalStorage(JournalFileBackend(str(file)))
    )
    there.add_trial(optuna.create_trial(value=1.0))
    for _ in range(2):
        machine = journal(store.address)
        machine.begin(file)
        study = optuna.load_study(study_name="s", storage=JournalStorage(machine))
        assert [trial.value for trial in study.trials] == [1.0]
