"""The search: trials in one database, shared by processes, and what it was worth."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from optuna.trial import TrialState
from ruamel.yaml import YAML
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from tqdm import tqdm

from ...bundle import open_bundle
from ...errors import UserError
from ...evaluation import interval, primary
from ...export import of_classes
from ...models import SPACES, check_choice
from ...preparation import Prepared, counted, load, prepare
from ...rounds import Fit, Predict, fit_family, test, validate
from ...settings import CONFIG

if TYPE_CHECKING:
    from .commands import Tune

DATABASE = Path("tuning.db")


def tune(command: Tune) -> None:
    """Search, tell what it bought, and keep the settings if they are better.

    Raises
    ------
    UserError
        If something the person gave is wrong, or no trial could be fitted.
    """
    family = command.model or default_family()
    check_choice([family], command.tuned)
    if family not in SPACES:
        raise UserError(f"{family} has no settings to search: name some in SPACES in models.py")
    prepared = prepare(command)
    print(f"data: {counted(prepared)}")
    study = open_study(command, prepared, family)
    finished = len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))
    queue_again(study)
    print(f"{DATABASE}: {finished} of {command.trials} trials of {family} are done")

    if finished < command.trials:
        with tqdm(total=command.trials, unit="trial", disable=None, leave=False) as bar:
            if command.jobs == 1:
                search(command, prepared, study, family, bar)
            else:
                share(command, study, family, bar)
    report(command, prepared, study, family)


def default_family() -> str:
    """Family of the challenger, or the one that most depends on its settings."""
    from ...registry import BUNDLES, CHALLENGER  # MLflow takes seconds to import

    folder = BUNDLES / CHALLENGER
    return open_bundle(folder).family if folder.exists() else "boosting"


def open_study(command: Tune, prepared: Prepared, family: str) -> optuna.Study:
    """Open the search of this family on this data, begun or not."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    choices = command.choices()
    decisive = {name: choices[name] for name in ("seed", "neural")}
    identity = json.dumps([prepared.digest, decisive, list(SPACES[family])])
    storage = optuna.storages.RDBStorage(
        f"sqlite:///{DATABASE}", engine_kwargs={"connect_args": {"timeout": 60}}
    )
    return optuna.create_study(
        study_name=f"{family} {hashlib.sha256(identity.encode()).hexdigest()[:12]}",
        storage=storage,
        direction="maximize",
        load_if_exists=True,
    )


def queue_again(study: optuna.Study) -> None:
    """Trials that a killed search left unfinished are tried again, under a new number."""
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        if trial.params:
            study.enqueue_trial(trial.params)


def share(command: Tune, study: optuna.Study, family: str, bar: Any) -> None:
    """Search in several processes, and show how far they are together."""
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


def work(command: Tune, family: str, number: int, parent: int) -> None:
    """Search in a process of its own, as long as the one that started it lives."""
    prepared = load(command)
    study = open_study(command, prepared, family)
    bar = tqdm(disable=True)
    search(command, prepared, study, family, bar, number, lambda: os.getppid() != parent)


def search(
    command: Tune,
    prepared: Prepared,
    study: optuna.Study,
    family: str,
    bar: Any,
    number: int = 0,
    ended: Callable[[], bool] = lambda: False,
) -> None:
    """Try settings until there are enough trials, by whichever process.

    Parameters
    ----------
    number
        Of this process among those that share the search.
    ended
        Asked after each trial whether to stop.
    """
    before = len(study.get_trials(deepcopy=False))
    study.sampler = optuna.samplers.TPESampler(
        # Another seed for each process and start, or they would try the same.
        seed=command.seed + 1000 * before + number,
        multivariate=True,
        constant_liar=command.jobs > 1,
    )

    def objective(trial: optuna.Trial) -> float:
        fit = fit_with(command, prepared, family, suggest(trial, family))
        return validate(prepared, fit).score()

    def after(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        finished, failed = show(bar, study)
        if finished >= command.trials or failed > command.trials + 10 or ended():
            study.stop()

    cores = max(1, (os.cpu_count() or 1) // command.jobs)
    with threadpool_limits(cores):
        study.optimize(objective, timeout=command.stop_after, callbacks=[after], catch=(UserError,))


def show(bar: Any, study: optuna.Study) -> tuple[int, int]:
    """Move the bar; return how many trials came to an end, and how many did not."""
    trials = study.get_trials(deepcopy=False)
    scores = [trial.value or 0.0 for trial in trials if trial.state == TrialState.COMPLETE]
    bar.n = len(scores)
    bar.set_postfix_str(f"best {max(scores):.4f}" if scores else "")
    return len(scores), len(trials) - len(scores)


def suggest(trial: optuna.Trial, family: str) -> dict[str, Any]:
    """Ask for a value of each setting."""
    for name, span in SPACES[family].items():
        if isinstance(span.low, int) and isinstance(span.high, int):
            trial.suggest_int(name, span.low, span.high, log=span.log)
        else:
            trial.suggest_float(name, span.low, span.high, log=span.log)
    return legible(trial.params)


def legible(params: dict[str, Any]) -> dict[str, Any]:
    """Settings with three digits, as they are tried and written."""
    return {
        name: value if isinstance(value, int) else float(f"{value:.3g}")
        for name, value in params.items()
    }


def fit_with(command: Tune, prepared: Prepared, family: str, tuned: dict[str, Any]) -> Fit:
    """Fit the family with some settings."""

    def fit(rows: np.ndarray) -> Predict:
        pipeline = fit_family(command, prepared, family, rows, tuned=tuned)
        return lambda others: of_classes(pipeline, prepared.features(others), prepared.classes)

    return fit


def report(command: Tune, prepared: Prepared, study: optuna.Study, family: str) -> None:
    """Hold the best settings against the family's own, and keep them if they are better.

    Raises
    ------
    UserError
        If no trial came to an end.
    """
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not done:
        raise UserError(f"no trial of {family} came to an end: see make train MODEL={family}")
    found = legible(study.best_params)
    validated, tested = [], []
    for tuned in (found, {}):
        fit = fit_with(command, prepared, family, tuned)
        validated.append(validate(prepared, fit))
        tested.append(test(prepared, fit, validated[-1]))
    name = primary(len(prepared.classes))
    print(f"{family}, the best of {len(done)} trials: {settings_in_a_line(found)}")
    for part, (new, own) in (("validation", validated), ("test", tested)):
        low, high = interval(new, own, command.seed)
        verdict = "better" if low > 0 else "worse" if high < 0 else "nothing beyond noise"
        print(
            f"{part:>10}: {name} {new.score():.4f}, with its own settings {own.score():.4f}: "
            f"{low:+.4f} to {high:+.4f} with 95 % confidence, {verdict}"
        )
        if part == "validation":
            keep = low > 0
    if keep:
        write(family, found)
        print(f"{CONFIG}: written under tuned; make train uses them, without those lines the own")
    else:
        print(f"{CONFIG} stays as it is: on the validation rows nothing was better beyond noise")


def settings_in_a_line(found: dict[str, Any]) -> str:
    """Names and values."""
    return ", ".join(f"{name} {value:g}" for name, value in found.items())


def write(family: str, found: dict[str, Any]) -> None:
    """Put settings into config.yaml, and leave all else there as it is, comments too."""
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 100
    document = yaml.load(CONFIG.read_text(encoding="utf-8"))
    document.setdefault("tuned", {})[family] = found
    unfinished = CONFIG.with_suffix(".unfinished")
    with unfinished.open("w", encoding="utf-8") as file:
        yaml.dump(document, file)
    unfinished.replace(CONFIG)
