"""Fitting a model with the weights of the rows, however it takes them."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline


def fit_weighted(model: Any, features: Any, target: np.ndarray, weight: np.ndarray | None) -> Any:
    """Fit a model, and return it. Of a pipeline the last step weights the rows.

    Parameters
    ----------
    model : estimator
        The model.
    features : array-like of shape (n, columns)
        Features.
    target : ndarray of shape (n,)
        Targets.
    weight : ndarray of shape (n,), optional
        Weight of each row. A model that weights no rows can be fitted without.
    """
    if weight is None:
        return model.fit(features, target)
    step = f"{model.steps[-1][0]}__" if isinstance(model, Pipeline) else ""
    return model.fit(features, target, **{f"{step}sample_weight": weight})
