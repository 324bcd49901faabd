"""One trial: hyperparameters are drawn, and a model is fitted and scored on the validation set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna

from coldstart.config._settings import Settings
from coldstart.data._dataset import Dataset
from coldstart.train._context import SearchRange
from coldstart.train._fitting import Fitter
from coldstart.train._folds import predict_validation_rows


def sampler(seed: int, shared: bool) -> optuna.samplers.BaseSampler:
    """Create the sampler that proposes hyperparameters, based on the trials so far.

    Parameters
    ----------
    seed : int
        Seed, different for each process and start: otherwise they propose the same ones.
    shared : bool
        Whether several processes search. Proposals then avoid the trials in progress.
    """
    return optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=shared)


def score_of(settings: Settings, dataset: Dataset, family: str, trial: optuna.Trial) -> float:
    """Return the validation score of a trial.

    Raises
    ------
    UserError
        If the model type cannot be fitted with these hyperparameters.
    """
    fit = fit_with(
        settings, dataset, family, suggest(trial, settings.project.load("search_spaces")[family])
    )
    return predict_validation_rows(dataset, fit).score()


def suggest(trial: optuna.Trial, space: Mapping[str, SearchRange]) -> dict[str, Any]:
    """Draw a value of each hyperparameter."""
    for name, span in space.items():
        if isinstance(span.low, int) and isinstance(span.high, int):
            trial.suggest_int(name, span.low, span.high, log=span.log)
        else:
            trial.suggest_float(name, span.low, span.high, log=span.log)
    return legible(trial.params)


def legible(params: dict[str, Any]) -> dict[str, Any]:
    """Round hyperparameters to three significant digits, as they are tried and written."""
    return {
        name: value if isinstance(value, int) else float(f"{value:.3g}")
        for name, value in params.items()
    }


def fit_with(
    settings: Settings, dataset: Dataset, family: str, hyperparameters: dict[str, Any]
) -> Fitter:
    """Return a function that fits the model type with some hyperparameters."""
    build = settings.project.load("families")[family]
    return Fitter(build, settings, dataset, hyperparameters)
