"""The search: trials in one database, shared by processes, and its result."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import TrialState
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from tqdm import tqdm

from coldstart.bundle._bundle import verify_bundle
from coldstart.config._settings import Settings
from coldstart.data._dataset import Dataset, describe_split, load, prepare
from coldstart.data.sources._addresses import public_address
from coldstart.errors import UserError
from coldstart.train._context import ENSEMBLE, validate_families
from coldstart.tune._report import report
from coldstart.tune._storage import DATABASE, open_storage, queue_again
from coldstart.tune._trials import sampler, score_of

if TYPE_CHECKING:
    from coldstart.tune._request import TuneRequest


def tune(command: TuneRequest) -> None:
    """Search hyperparameters, print the result, and keep them if they are better.

    Raises
    ------
    UserError
        If an option is wrong, or no trial could be fitted.
    """
    family = family_of(command, command.model)
    dataset = prepare(command)
    print(f"data: {describe_split(dataset)}")
    study = open_study(command, dataset, family)
    finished = len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))
    if command.storage is None:
        queue_again(study)
    where = public_address(command.storage) if command.storage else DATABASE
    print(f"{where}: {finished} of {command.trials} trials of {family} are done")

    if finished < command.trials:
        with tqdm(total=command.trials, unit="trial", disable=None, leave=False) as bar:
            if command.jobs == 1:
                search(command, dataset, study, family, bar)
            else:
                share(command, study, family, bar)
    report(command, dataset, study, family)


def family_of(settings: Settings, wanted: str | None) -> str:
    """Return the model type to tune: by default the challenger's.

    Raises
    ------
    UserError
        If there is no model type of that name, or it has no search space.
    """
    family = wanted or default_family()
    project = settings.project
    spaces = project.load("search_spaces")
    validate_families([family], settings.tuned, project.load("families"), spaces)
    if family not in spaces:
        raise UserError(
            f"{family} has no settings to search: name some in SEARCH_SPACES in models.py"
        )
    return family


def default_family() -> str:
    """Return the challenger's model type, or the one that depends most on its settings."""
    from coldstart.tracking._registry import BUNDLES, CHALLENGER  # MLflow takes seconds to import

    folder = BUNDLES / CHALLENGER
    family = verify_bundle(folder).family if folder.exists() else ENSEMBLE
    return "boosting" if family == ENSEMBLE else family


def open_study(command: TuneRequest, dataset: Dataset, family: str) -> optuna.Study:
    """Open the search of this model type on this data, or begin it."""
    be_quiet()
    choices = command.choices()
    decisive = {name: choices[name] for name in ("seed", "neural")}
    ranges = list(command.project.load("search_spaces")[family])
    identity = json.dumps([dataset.digest, decisive, ranges, "half of the validation rows"])
    return optuna.create_study(
        study_name=f"{family} {hashlib.sha256(identity.encode()).hexdigest()[:12]}",
        storage=open_storage(command.storage),
        direction="maximize",
        load_if_exists=True,
    )


def be_quiet() -> None:
    """Let Optuna log errors only."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def share(command: TuneRequest, study: optuna.Study, family: str, bar: Any) -> None:
    """Search in several processes, and show their joint progress."""
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=work, args=(command, family, number, os.getpid()))
        for number in range(command.jobs)
    ]
    for process in processes:
        process.start()
    while any(process.is_alive() for process in processes):
        time.sleep(0.5)
        show(bar, study)


def work(command: TuneRequest, family: str, number: int, parent: int) -> None:
    """Search in a separate process, as long as the process that started it runs."""
    dataset = load(command)
    study = open_study(command, dataset, family)
    bar = tqdm(disable=True)
    search(command, dataset, study, family, bar, number, lambda: os.getppid() != parent)


def search(
    command: TuneRequest,
    dataset: Dataset,
    study: optuna.Study,
    family: str,
    bar: Any,
    number: int = 0,
    ended: Callable[[], bool] = lambda: False,
) -> None:
    """Try hyperparameters until all processes together have completed enough trials.

    Parameters
    ----------
    number : int
        Number of this process among those that share the search.
    ended : callable
        Called after each trial; returns whether to stop.
    """
    before = len(study.get_trials(deepcopy=False))
    study.sampler = sampler(command.seed + 1000 * before + number, command.jobs > 1)

    def objective(trial: optuna.Trial) -> float:
        return score_of(command, dataset, family, trial)

    def after(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        finished, failed = show(bar, study)
        if finished >= command.trials or failed > command.trials + 10 or ended():
            study.stop()

    cores = max(1, (os.cpu_count() or 1) // command.jobs)
    with threadpool_limits(cores):
        study.optimize(objective, timeout=command.stop_after, callbacks=[after], catch=(UserError,))


def show(bar: Any, study: optuna.Study) -> tuple[int, int]:
    """Update the bar; return the numbers of completed and of other trials."""
    trials = study.get_trials(deepcopy=False)
    scores = [trial.value or 0.0 for trial in trials if trial.state == TrialState.COMPLETE]
    bar.n = len(scores)
    bar.set_postfix_str(f"best {max(scores):.4f}" if scores else "")
    return len(scores), len(trials) - len(scores)
