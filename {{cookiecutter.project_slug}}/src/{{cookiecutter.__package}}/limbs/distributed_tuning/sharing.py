"""What one machine does of a search that many share."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import optuna
from optuna.trial import TrialState

from ...errors import UserError
from ...preparation import counted as rows_of
from ...preparation import prepare
from ..cloud.worker import RESULTS
from ..tuning.search import be_quiet
from ..tuning.trying import sampler, score_of
from .shared import begin_trial, open_shared

if TYPE_CHECKING:
    from .commands import TuneShare


def share(command: TuneShare) -> None:
    """Try settings until all machines together have tried enough, or time is over."""
    be_quiet()
    end = float(os.environ["DEADLINE"]) - RESULTS
    prepared = prepare(command)
    print(f"data: {rows_of(prepared)}", flush=True)
    study, storage = open_shared(command.search, end)
    before = len(study.get_trials(deepcopy=False))
    # Machines begin at the same moment, and should not try the same.
    of_machine = int(storage.machine[:6], 16)
    study.sampler = sampler(command.seed + 1000 * before + of_machine, shared=True)
    for lost in storage.lost:
        print(f"trial {lost.number} was lost with its machine: it is tried again", flush=True)

    longest = 0.0
    while (
        time.time() + longest < end
        and failed(study) <= command.trials + 10
        and (trial := begin_trial(study, storage, command.trials))
    ):
        start = time.time()
        try:
            score = score_of(command, prepared, command.model, trial)
        except UserError as error:
            study.tell(trial, state=TrialState.FAIL)
            print(f"trial {trial.number} {error}", flush=True)
        else:
            study.tell(trial, score)
            tell(study, trial.number, score, command.trials)
        longest = max(longest, time.time() - start)
    if time.time() + longest >= end:
        print("no time is left for another trial: HOURS=... allows more", flush=True)


def failed(study: optuna.Study) -> int:
    """How many trials came to nothing."""
    return len(study.get_trials(deepcopy=False, states=(TrialState.FAIL,)))


def tell(study: optuna.Study, number: int, score: float, wanted: int) -> None:
    """Tell how far all machines are together."""
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    print(
        f"trial {number}: {score:.4f}; {len(done)} of {wanted} are done, "
        f"the best {study.best_value:.4f}",
        flush=True,
    )
