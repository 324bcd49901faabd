"""The study that machines share: whose a trial is, whether it is one too many, what was lost."""

from __future__ import annotations

import os
import shutil
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from ..cloud.snapshots import SHARED
from ..cloud.store import Store
from .journal import StoreJournal

MACHINE, AGAIN = "machine", "again"
AT_HOME = "at home"  # number of a trial that the search began with
FILE = "study.journal"


class SharedStorage(JournalStorage):
    """Optuna's, where each trial says from its first moment on whose it is.

    Parameters
    ----------
    machine
        Name of the machine, which another one has that replaces it.
    """

    def __init__(self, backend: BaseJournalBackend, machine: str) -> None:
        self.machine = machine
        self.lost: list[FrozenTrial] = []
        """Trials that the next ones try again."""
        super().__init__(backend)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Begin a trial of this machine: one that was lost, if there is one, else a new one."""
        if template_trial is None:
            mine: dict[str, Any] = {MACHINE: self.machine}
            drawn = {}
            if self.lost:
                lost = self.lost[0]
                mine[AGAIN] = lost.number
                drawn = {"fixed_params": lost.system_attrs.get("fixed_params", {}) | lost.params}
            template_trial = optuna.trial.create_trial(
                state=TrialState.RUNNING, user_attrs=mine, system_attrs=drawn
            )
        number: int = super().create_new_trial(study_id, template_trial)
        return number


def backend_of(search: str, store: Store | None, until: float) -> BaseJournalBackend:
    """The journal of a search: in the store, or where there is none in a file.

    Parameters
    ----------
    until
        Seconds since 1970 up to which a store that does not answer is waited for.
    """
    file = SHARED / search / FILE
    if store:
        journal = StoreJournal(store, until)
        journal.begin(file)
        return journal
    return JournalFileBackend(str(file))


def open_shared(search: str, until: float) -> tuple[optuna.Study, SharedStorage]:
    """Open the search on one of its machines; the environment tells where it is."""
    address = os.environ.get("SHARED")
    backend = backend_of(search, Store(address) if address else None, until)
    storage = SharedStorage(backend, os.environ["TRAINING_JOB"])
    (summary,) = storage.get_all_studies()
    study = optuna.load_study(study_name=summary.study_name, storage=storage)
    find_lost(study, storage)
    return study, storage


def find_lost(study: optuna.Study, storage: SharedStorage) -> None:
    """Look for trials that this machine was at when it was lost; one that is tried again is over.

    They stay under way until they are tried again, so that nobody else takes their place.
    """
    trials = study.get_trials(deepcopy=False)
    again = {trial.user_attrs.get(AGAIN) for trial in trials}
    for trial in trials:
        ours = trial.user_attrs.get(MACHINE) == storage.machine
        if ours and trial.state == TrialState.RUNNING:
            if trial.number in again:
                study.tell(trial.number, state=TrialState.FAIL)
            else:
                storage.lost.append(trial)


def begin_trial(
    study: optuna.Study, storage: SharedStorage, trials: int
) -> optuna.trial.Trial | None:
    """Begin a trial, if there is room for one.

    All machines read the same order of trials, and who finds as many before its own as are
    wanted, gives it up. So never are more finished than wanted: of those that are, the last had
    fewer than that before it. Nobody waits for the place of another: who is lost is replaced, and
    takes its trials up again itself.
    """
    if not storage.lost and counted(study) >= trials:
        return None
    trial = study.ask()
    if storage.lost:
        study.tell(storage.lost.pop(0).number, state=TrialState.FAIL)
    if counted(study, before=trial.number) >= trials:
        study.tell(trial, state=TrialState.FAIL)
        return None
    return trial


def counted(study: optuna.Study, before: int | None = None) -> int:
    """How many trials, before a number, are finished or under way."""
    count = (TrialState.COMPLETE, TrialState.RUNNING)
    trials = study.get_trials(deepcopy=False, states=count)
    return sum(before is None or trial.number < before for trial in trials)


def seed(study: optuna.Study, search: str) -> None:
    """Write down what was found here, for the machines to begin with."""
    file = SHARED / search / FILE
    file.parent.mkdir(parents=True)
    there = optuna.create_study(
        study_name=study.study_name,
        storage=JournalStorage(JournalFileBackend(str(file))),
        direction="maximize",
    )
    for trial in study.get_trials(states=(TrialState.COMPLETE,)):
        trial.set_user_attr(AT_HOME, trial.number)
        there.add_trial(trial)


def forget(search: str, store: Store | None) -> None:
    """Take away what the machines have shared."""
    if store:
        store.delete(store.names(""))
    shutil.rmtree(SHARED / search, ignore_errors=True)
