"""Bringing a search home: trials of the machines become trials of the database here.

A trial that came home says which one it was, so this may be interrupted and done again.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import optuna
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.storages import JournalStorage
from optuna.trial import TrialState

from ... import tracking
from ...errors import UserError
from ...preparation import prepare
from ..cloud import jobs
from ..cloud.places import find_place
from ..tuning.search import DATABASE, open_study
from ..tuning.verdict import report
from .shared import AT_HOME, backend_of, forget

if TYPE_CHECKING:
    from .commands import TuneHome

ORIGIN = "search"
PATIENCE = 60.0  # seconds that a store is waited for


def bring_home(command: TuneHome) -> None:
    """Take over what was found; when no machine is at it any more, tell what it is worth.

    Raises
    ------
    UserError
        If nothing of the search is there.
    """
    client = tracking.connect(command)
    run, machines = jobs.members(client, command, command.search)
    at_it = [one for one in machines if one.info.status == "RUNNING"]
    store = find_place(command.on).shared(command.search)
    there = JournalStorage(backend_of(command.search, store, time.time() + PATIENCE))
    studies = there.get_all_studies()
    if not studies:
        raise UserError(f"nothing of search {command.search[:8]} is there: it has come home")
    shared = optuna.load_study(study_name=studies[0].study_name, storage=there)
    prepared = prepare(command)
    study = open_study(command, prepared, command.model)
    if study.study_name != shared.study_name:
        raise UserError(
            "data or settings are others than when the search began: with those of then, "
            f"cloud-follow brings it home, or tune-home --search {command.search}"
        )
    found = take(study, shared, command.search, ended=not at_it)
    print(f"{DATABASE}: {found} trials more, which the machines have made")
    if at_it:
        print(f"{len(at_it)} of {len(machines)} machines are still at it: make cloud-follow")
        return
    forget(command.search, store)
    end(client, run, machines, study)
    if all(one.info.status == "KILLED" for one in machines):
        print("it was stopped: the same make tune goes on with it, here or there")
        return
    report(command, prepared, study, command.model)


def take(study: optuna.Study, shared: optuna.Study, search: str, ended: bool) -> int:
    """Add what the study here does not have; return how many trials of it came to an end.

    Parameters
    ----------
    ended
        Whether no machine is at it any more: what is under way was then lost for good.
    """
    known = {trial.user_attrs.get(ORIGIN) for trial in study.get_trials(deepcopy=False)}
    finished = 0
    for trial in shared.get_trials():
        origin = f"{search[:8]} {trial.number}"
        new = AT_HOME not in trial.user_attrs and origin not in known
        if not new or not trial.params or not (ended or trial.state.is_finished()):
            continue
        if trial.state == TrialState.RUNNING:
            trial.state, trial.datetime_complete = TrialState.FAIL, trial.datetime_start
        trial.set_user_attr(ORIGIN, origin)
        study.add_trial(trial)
        finished += trial.state == TrialState.COMPLETE
    return finished


def end(client: MlflowClient, run: Run, machines: list[Run], study: optuna.Study) -> None:
    """Say in MLflow what the search has cost, and what it has found."""
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    client.log_metric(run.info.run_id, "trials", len(done))
    if done:
        client.log_metric(run.info.run_id, "best_score", study.best_value)
    costs = [one.data.metrics.get("cost_usd") for one in machines]
    if known := [cost for cost in costs if cost is not None]:
        client.log_metric(run.info.run_id, "cost_usd", sum(known))
        print(f"the search has cost {sum(known):.2f} USD on {len(machines)} machines")
    worked = any(one.info.status == "FINISHED" for one in machines)
    client.set_terminated(run.info.run_id, "FINISHED" if worked else "FAILED")
