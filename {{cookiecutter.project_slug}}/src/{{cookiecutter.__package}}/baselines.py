"""What a model is held against: ignoring the input, a single column, the value a season ago."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.feature_selection import f_classif, f_regression
from sklearn.model_selection import KFold
from sklearn.preprocessing import FunctionTransformer, TargetEncoder
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from .contract import places
from .evaluation import Held
from .features import WORDS
from .preparation import Prepared
from .rounds import Fit, Predict, known, test, validate
from .scoring import align

ROWS, COLUMNS = 5_000, 200  # that single columns are tried on
DRAWS = 5


@dataclass(frozen=True)
class Baselines:
    """Test predictions that need no model, or next to none.

    Attributes
    ----------
    dummy
        The shares of the classes, or the mean; see `guesses`.
    columns
        Validation score of each column alone, the best first; at most `COLUMNS` were tried.
    column
        The best column alone, by a small tree.
    naive
        The value a season ago, where the target has seasons.
    """

    dummy: Held
    columns: dict[str, float]
    column: Held
    naive: Held | None


def baselines(prepared: Prepared) -> Baselines:
    """Judge them all on the rounds that the models are judged on."""
    alone = {name: single_column(prepared, name) for name in candidates(prepared)}
    validated = {name: validate(prepared, fit) for name, fit in alone.items()}
    scores = {name: held.score() for name, held in validated.items()}
    columns = dict(sorted(scores.items(), key=lambda item: item[1], reverse=True))
    best = next(iter(columns))
    return Baselines(
        dummy=guesses(prepared),
        columns=columns,
        column=test(prepared, alone[best], validated[best]),
        naive=naive(prepared),
    )


def guesses(prepared: Prepared) -> Held:
    """Answer the test rows without looking at them.

    Of many classes the answers are drawn in the shares of the classes, several times:
    always the commonest would be beaten, in the mean F1, by any such draw.
    """
    fit = dummy(prepared)
    held = test(prepared, fit, validate(prepared, fit))
    if len(prepared.classes) <= 2:
        return held
    prediction = np.repeat(held.prediction, DRAWS, axis=0)
    dice = np.random.default_rng(0).random((*prediction.shape[:2], 1))
    labels = (prediction.cumsum(axis=2) < dice).sum(axis=2).clip(max=prediction.shape[2] - 1)
    return Held(held.rows, held.target, prediction, labels)


def dummy(prepared: Prepared) -> Fit:
    """Predict the shares of the classes, or the mean."""

    def fit(rows: np.ndarray) -> Predict:
        target = prepared.target(rows)
        if prepared.classes:
            answer = np.bincount(target, minlength=len(prepared.classes)) / len(target)
        else:
            answer = np.array([target.mean()])
        return lambda others: np.tile(answer, (len(others), 1))

    return fit


def naive(prepared: Prepared) -> Held | None:
    """Return the seasonal forecast of the test rows, where there is one."""
    if prepared.naive(prepared.rounds[0].test) is None:
        return None

    def predict(rows: np.ndarray) -> np.ndarray:
        values = prepared.naive(rows)
        assert values is not None
        # The first season has none before it.
        mean = prepared.target(known(prepared.rounds[0])).mean()
        return np.where(np.isnan(values), mean, values).reshape(-1, 1)

    return test(prepared, lambda _: predict, validate(prepared, lambda _: predict))


def single_column(prepared: Prepared, name: str) -> Fit:
    """A tree of at most eight leaves on one column."""
    contract, classes = prepared.contract, len(prepared.classes)
    matrix = contract.features[name].matrix
    values = getattr(prepared.features(np.arange(len(prepared.table))), matrix)
    values = values[:, places(contract)[name]]
    kind = DecisionTreeClassifier if classes else DecisionTreeRegressor

    def fit(rows: np.ndarray) -> Predict:
        if len(rows) > ROWS:
            rows = np.random.default_rng(0).choice(rows, ROWS, replace=False)
        target, seen, encoder = prepared.target(rows), values[rows], FunctionTransformer()
        if name in contract.categories:
            folds = KFold(5, shuffle=True, random_state=0)
            encoder = TargetEncoder(target_type="auto" if classes else "continuous", cv=folds)
        elif matrix == "strings":
            hashed = HashingVectorizer(n_features=256, alternate_sign=False, token_pattern=WORDS)
            encoder = FunctionTransformer(lambda texts: hashed.transform(texts[:, 0]))
        model = kind(max_leaf_nodes=8, min_samples_leaf=max(2, len(rows) // 50), random_state=0)
        model.fit(encoder.fit_transform(seen, target), target)

        def predict(others: np.ndarray) -> np.ndarray:
            encoded = encoder.transform(values[others])
            if not classes:
                return np.reshape(model.predict(encoded), (-1, 1))
            return align(model.predict_proba(encoded), model.classes_.tolist(), range(classes))

        return predict

    return fit


def candidates(prepared: Prepared) -> list[str]:
    """Features to try alone: all, or of very many those that vary most with the target."""
    contract = prepared.contract
    names = list(contract.features)
    if len(names) <= COLUMNS:
        return names
    rows = prepared.rounds[0].train[:ROWS]
    numbers, target = prepared.features(rows).numbers.astype(np.float64), prepared.target(rows)
    numbers = np.where(np.isnan(numbers), np.nanmedian(numbers, axis=0), numbers)
    with np.errstate(all="ignore"):
        tells = (f_classif if prepared.classes else f_regression)(np.nan_to_num(numbers), target)[0]
    strength = {
        name: np.nan_to_num(tells[place]).max() if contract.features[name].matrix == "numbers"
        else np.inf
        for name, place in places(contract).items()
    }  # fmt: skip
    return sorted(names, key=lambda name: strength[name], reverse=True)[:COLUMNS]
