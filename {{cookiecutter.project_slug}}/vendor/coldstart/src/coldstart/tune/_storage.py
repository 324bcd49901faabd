"""Where the trials of a search are kept: in a file here, or in a database that machines share."""

from __future__ import annotations

from pathlib import Path

from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.study import Study
from optuna.trial import TrialState

from coldstart.data.sources._addresses import public_address
from coldstart.data.sources._database import explain_errors, make_url

DATABASE = Path("tuning.db")
# Seconds between signs of life of a trial, and without one until another machine tries it again.
HEARTBEAT, GRACE = 30, 120


def open_storage(address: str | None) -> RDBStorage:
    """Open the file of this project, or a database.

    Parameters
    ----------
    address : str, optional
        Address of the database, such as ``postgresql://me@host/search``; by default the file.

    Returns
    -------
    RDBStorage
        The storage, whose tables are made if there are none.

    Raises
    ------
    UserError
        If the database cannot be reached or refuses, or its driver is missing.
    """
    if address is None:
        return RDBStorage(f"sqlite:///{DATABASE}", engine_kwargs={"connect_args": {"timeout": 60}})
    shown = public_address(address)
    with explain_errors(shown):
        url = make_url(address)
    with explain_errors(shown, url.password):
        return RDBStorage(
            url.render_as_string(hide_password=False),
            heartbeat_interval=HEARTBEAT,
            grace_period=GRACE,
            heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(),
        )


def queue_again(study: Study) -> None:
    """Queue the trials again that an interrupted search left unfinished in the file.

    In a shared database they may be those of another machine.
    """
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        if trial.params:
            study.enqueue_trial(trial.params)
