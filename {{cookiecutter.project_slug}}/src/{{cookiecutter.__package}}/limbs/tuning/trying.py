"""One trial: settings are drawn, and the family fitted with them is held to the validation rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna

from ...export import of_classes
from ...models import SPACES
from ...preparation import Prepared
from ...rounds import Fit, Predict, fit_family, validate
from ...settings import Settings


def sampler(seed: int, shared: bool) -> optuna.samplers.BaseSampler:
    """What draws settings: from the trials so far, those that promise most.

    Parameters
    ----------
    seed
        Another for each process and start, or they would try the same.
    shared
        Whether others try as well: what they are at is then kept away from.
    """
    return optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=shared)


def score_of(settings: Settings, prepared: Prepared, family: str, trial: optuna.Trial) -> float:
    """Score of a trial on the validation rows.

    Raises
    ------
    UserError
        If the family cannot be fitted with these settings.
    """
    fit = fit_with(settings, prepared, family, suggest(trial, family))
    return validate(prepared, fit).score()


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


def fit_with(settings: Settings, prepared: Prepared, family: str, tuned: dict[str, Any]) -> Fit:
    """Fit the family with some settings."""

    def fit(rows: np.ndarray) -> Predict:
        pipeline = fit_family(settings, prepared, family, rows, tuned=tuned)
        return lambda others: of_classes(pipeline, prepared.features(others), prepared.classes)

    return fit
