"""One trial: hyperparameters are drawn, and a model is fitted and scored on the validation set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna

from coldstart.config._settings import Settings
from coldstart.data._dataset import Dataset
from coldstart.train._context import SearchRange
from coldstart.train._evaluation import HeldOutPredictions
from coldstart.train._fitting import Fitter
from coldstart.train._folds import predict_validation_rows
from coldstart.train._intervals import units_of


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
    """Return the score of a trial on the validation rows that choose; see `choosing`.

    Raises
    ------
    UserError
        If the model type cannot be fitted with these hyperparameters.
    """
    fit = fit_with(
        settings, dataset, family, suggest(trial, settings.project.load("search_spaces")[family])
    )
    held = predict_validation_rows(dataset, fit)
    return held[choosing(held, settings.seed)].score()


def choosing(held: HeldOutPredictions, seed: int) -> np.ndarray:
    """Return which validation rows choose the hyperparameters. The others judge the choice.

    The best of many trials looks better than it is on the rows that it was chosen by.

    Parameters
    ----------
    held : HeldOutPredictions
        Predictions of n validation rows.
    seed : int
        Seed of the random halves.

    Returns
    -------
    ndarray of bool, shape (n,)
        True for half of the rows, or of the groups or blocks of time; see `units_of`.
    """
    names, number = np.unique(units_of(held), return_inverse=True)
    place = np.random.default_rng(seed).permutation(len(names))
    chosen: np.ndarray = (place % 2 == 0)[number]
    return chosen


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
