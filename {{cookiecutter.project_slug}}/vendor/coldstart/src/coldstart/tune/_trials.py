"""One trial: settings are drawn, and the family fitted with them is held to the validation rows."""

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
    """Create the sampler that proposes settings, based on the trials so far.

    Parameters
    ----------
    seed
        Another for each process and start, or they would try the same.
    shared
        Whether others try as well: what they are at is then kept away from.
    """
    return optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=shared)


def score_of(settings: Settings, dataset: Dataset, family: str, trial: optuna.Trial) -> float:
    """Score of a trial on the validation rows.

    Raises
    ------
    UserError
        If the family cannot be fitted with these settings.
    """
    fit = fit_with(
        settings, dataset, family, suggest(trial, settings.project.load("search_spaces")[family])
    )
    return predict_validation_rows(dataset, fit).score()


def suggest(trial: optuna.Trial, space: Mapping[str, SearchRange]) -> dict[str, Any]:
    """Ask for a value of each setting."""
    for name, span in space.items():
        if isinstance(span.low, int) and isinstance(span.high, int):
            trial.suggest_int(name, span.low, span.high, log=span.log)
        else:
            trial.suggest_float(name, span.low, span.high, log=span.log)
    return legible(trial.params)


def legible(params: dict[str, Any]) -> dict[str, Any]:
    """Round settings to three significant digits, as they are tried and written."""
    return {
        name: value if isinstance(value, int) else float(f"{value:.3g}")
        for name, value in params.items()
    }


def fit_with(
    settings: Settings, dataset: Dataset, family: str, hyperparameters: dict[str, Any]
) -> Fitter:
    """Fit the model type with some hyperparameters."""
    build = settings.project.load("families")[family]
    return Fitter(build, settings, dataset, hyperparameters)
