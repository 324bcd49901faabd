"""The score without columns that nobody has confirmed as available at prediction time.

Statistics cannot tell that an amount is paid later. What such a column adds to the score may be
gone when the model is used, so both scores are shown.
"""

from __future__ import annotations

from typing import Any

from coldstart.data._dataset import Dataset
from coldstart.train._baselines import Baselines
from coldstart.train._ensemble import Ensemble
from coldstart.train._fitting import Fitter
from coldstart.train._folds import predict_test_rows, predict_validation_rows
from coldstart.train._sigmoid import CalibratedFitter


def evaluate_confirmed(
    dataset: Dataset, fitter: Fitter | Ensemble | CalibratedFitter, baselines: Baselines
) -> dict[str, Any]:
    """Evaluate a model type without the columns that are `available: unconfirmed`.

    Parameters
    ----------
    dataset : Dataset
        The prepared rows.
    fitter : Fitter, Ensemble or CalibratedFitter
        Fits the model type; its times are left as they are.
    baselines : Baselines
        Of the dataset. If no feature is confirmed, the dummy baseline's score is returned.

    Returns
    -------
    dict
        `confirmed`, with the names `without` which columns, and the metrics on the `test` rows.
        Empty if no feature is unconfirmed.
    """
    names = dataset.contract.unconfirmed
    if not names:
        return {}
    if len(names) == len(dataset.contract.features):
        return {"confirmed": {"without": names, "test": baselines.dummy.measure()}}
    fewer, apart = dataset.without(names), fitter.without(names)
    test = predict_test_rows(fewer, apart, predict_validation_rows(fewer, apart))
    return {"confirmed": {"without": names, "test": test.measure()}}
