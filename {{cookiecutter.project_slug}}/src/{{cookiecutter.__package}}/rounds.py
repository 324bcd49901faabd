"""Rounds: fit on train, choose by validation, fit on both, judge by test.

Many rows make one round. Few rows make many, by repeated cross-validation: then
every row is predicted several times, each time by a model that did not see it.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from .errors import UserError
from .evaluation import Held, best_decision, held_once
from .features import as_frame
from .forecasts import Change, Past
from .models import FAMILIES, Context
from .preparation import Prepared
from .scoring import decide
from .settings import CHECKPOINTS, Settings
from .shards import Shards
from .splitting import Round

TRIED = 1_500, 4_500  # rows that the time of a fit is told from

Predict = Callable[[np.ndarray], np.ndarray]
"""Row numbers to predictions: (n, classes of the prepared table), or (n, 1)."""
Fit = Callable[[np.ndarray], Predict]
"""Row numbers to fit on, to a function that predicts others."""


def fit_family(
    settings: Settings,
    prepared: Prepared,
    family: str,
    rows: np.ndarray,
    checkpoints: Path = CHECKPOINTS,
    report: Any = None,
    tuned: dict[str, Any] | None = None,
    stream: bool = False,
) -> Pipeline:
    """Fit a family on some rows of the prepared table.

    Parameters
    ----------
    stream
        Whether a family that can stream learns from all rows that may be learned from with these.

    Raises
    ------
    UserError
        If the library cannot fit it to these rows.
    """
    features, target = prepared.features(rows), prepared.target(rows)
    past = Past.of(prepared.contract, features.numbers, target)
    context = Context(
        contract=prepared.contract,
        seed=settings.seed,
        neural=settings.neural,
        target=past.change(target, features.numbers) if past else target,
        checkpoints=checkpoints,
        tuned=settings.tuned.get(family, {}) if tuned is None else tuned,
        stream=partial(Shards.of, settings.data, prepared, rows) if stream else None,
        **({"report": report} if report else {}),
    )
    try:
        with warnings.catch_warnings():
            # They tell that a fit may go on, or a class is rare: what it is worth is measured.
            warnings.simplefilter("ignore", UserWarning)
            model = FAMILIES[family](context)
            if past:
                model = Change(model, past, features.numbers.shape[1])
            return model.fit(as_frame(features), target)
    except (ValueError, TypeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"cannot be fitted to these rows: {reason}") from error


def seconds_for(settings: Settings, prepared: Prepared, family: str) -> float:
    """Estimate how long a family will take, from fits of a few thousand of very many rows.

    Returns
    -------
    float
        Zero where the rows are so few that to try would take as long.

    Raises
    ------
    UserError
        If the library cannot fit it to these rows.
    """
    train = prepared.rounds[0].train
    if len(train) < 4 * TRIED[-1]:
        return 0.0
    some = np.random.default_rng(settings.seed).permutation(train)
    took = []
    for rows in TRIED:  # of two sizes, since a part of the time does not grow with the rows
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            fit_family(settings, prepared, family, some[:rows], Path(folder))
        took.append(time.perf_counter() - start)
    a_row = max(0.0, took[1] - took[0]) / (TRIED[1] - TRIED[0])
    return 2 * (took[0] + a_row * len(train))  # to choose, and once more with all rows


def known(division: Round) -> np.ndarray:
    """Rows of a round that a model may be fitted on before it is judged."""
    return np.concatenate([division.train, division.validation])


def validate(prepared: Prepared, fit: Fit) -> Held:
    """Predict the validation rows of all rounds, each by a model of its round's train rows."""
    rows = np.concatenate([division.validation for division in prepared.rounds])
    prediction = np.vstack(
        [fit(division.train)(division.validation) for division in prepared.rounds]
    )
    target = prepared.target(rows)
    return held_once(rows, target, prediction, **best_decision(target, prediction))


def test(prepared: Prepared, fit: Fit, validated: Held) -> Held:
    """Predict the test rows of all rounds, each by a model of its round's other rows.

    Parameters
    ----------
    validated
        Of the same model; what labels the probabilities stand for is chosen there, for
        each round without the rows that judge it.
    """
    predictions, labels = [], []
    for division in prepared.rounds:
        prediction = fit(known(division))(division.test)
        others = validated[~np.isin(validated.rows, division.test)]
        predictions.append(prediction)
        labels.append(decide(prediction, **best_decision(others.target, others.prediction[0])))
    tested = np.concatenate([division.test for division in prepared.rounds])
    # Where each row stands, time after time. A row that fewer rounds test is left out.
    rows, counts = np.unique(tested, return_counts=True)
    repeats = counts.max()
    rows = rows[counts == repeats]
    order = np.argsort(tested, kind="stable")
    places = order[np.isin(tested[order], rows)].reshape(-1, repeats).T
    return Held(
        rows,
        prepared.target(rows),
        np.concatenate(predictions)[places],
        np.concatenate(labels)[places],
    )
