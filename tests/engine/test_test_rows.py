"""The test rows: no model that they judge, and no choice, has seen them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bird_strikes.models as models
import numpy as np
import pytest
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.tree import DecisionTreeRegressor

from coldstart.data._dataset import load
from coldstart.train import Context, SearchRange
from coldstart.tune import _search as search
from engine.support import load_settings, main

ROWS = 400
COLUMNS = {
    "number": {"type": "number"},
    "noise": {"type": "number"},
    "size": {"type": "number", "role": "target", "nullable": False},
}


@dataclass
class Seen:
    """The rows that each call of a model's fit and predict saw, by the column `number`."""

    fitted: list[set[int]] = field(default_factory=list)
    predicted: list[set[int]] = field(default_factory=list)


def numbers(X: np.ndarray) -> set[int]:
    return set(X[:, 0].astype(int).tolist())


@pytest.fixture
def recorded(
    small_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Seen]:
    """`recorded(**config)`: a project whose only model is a tree that is watched."""

    def build(context: Context) -> Pipeline:
        tree = DecisionTreeRegressor(random_state=0, **context.hyperparameters)
        return make_pipeline(SimpleImputer(), tree)

    def make(**config: Any) -> Seen:
        seen, fit, predict = Seen(), DecisionTreeRegressor.fit, DecisionTreeRegressor.predict

        def fit_watched(self: Any, X: np.ndarray, y: np.ndarray) -> Any:
            if X.shape[1] == 2:  # the baselines try each column alone
                seen.fitted.append(numbers(X))
            return fit(self, X, y)

        def predict_watched(self: Any, X: np.ndarray) -> Any:
            # The exported graph is compared on extremes, too.
            if X.shape[1] == 2 and np.abs(X).max() < ROWS:
                seen.predicted.append(numbers(X))
            return predict(self, X)

        dice = np.random.default_rng(0)
        lines = [f"{i},{dice.normal():.3f},{i % 7 + dice.normal():.3f}" for i in range(ROWS)]
        small_project(COLUMNS, "number,noise,size\n" + "\n".join(lines) + "\n", **config)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{Path.cwd()}/mlflow.db")
        monkeypatch.setitem(models.FAMILIES, "linear", build)
        monkeypatch.setitem(models.SEARCH_SPACES, "linear", {"max_depth": SearchRange(2, 9)})
        monkeypatch.setattr(DecisionTreeRegressor, "fit", fit_watched)
        monkeypatch.setattr(DecisionTreeRegressor, "predict", predict_watched)
        return seen

    return make


def parts() -> list[tuple[set[int], ...]]:
    """Return the numbers in the training, validation and test set of each split."""
    dataset = load(load_settings())
    number = dataset.table["number"].cast(int).to_numpy()
    return [
        tuple(set(number[rows].tolist()) for rows in (one.train, one.validation, one.test))
        for one in dataset.splits
    ]


def test_one_split_chooses_on_validation_rows_and_fits_on_all_but_the_test_rows(
    recorded: Callable[..., Seen],
) -> None:
    seen = recorded(split={"cross_validate_below": 0})
    assert main(["train"]) == 0
    ((train, validation, test),) = parts()
    assert len(train | validation | test) == ROWS
    assert seen.fitted == [train, train | validation]
    assert seen.predicted[0] == validation


def test_of_few_rows_each_is_judged_by_a_model_that_did_not_see_it(
    recorded: Callable[..., Seen],
) -> None:
    seen = recorded()
    assert main(["train"]) == 0
    splits = parts()
    everything = set(range(ROWS))
    assert len(splits) > 1
    assert seen.fitted == [
        *(train for train, _, _ in splits),
        everything,  # the model that serves, judged by those of the splits
        *(train | validation for train, validation, _ in splits),
    ]
    for train, validation, test in splits:
        assert not (train | validation) & test
    judged = [*(one[1] for one in splits), *(one[2] for one in splits)]
    assert [one for one in seen.predicted if len(one) < ROWS // 2] == judged


def test_a_search_chooses_hyperparameters_without_the_test_rows(
    recorded: Callable[..., Seen], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = recorded(split={"cross_validate_below": 0})
    monkeypatch.setattr(search, "report", lambda *_: None)  # it judges what was chosen
    assert main(["tune", "--model", "linear", "--trials", "3"]) == 0
    ((train, validation, _),) = parts()
    assert seen.fitted == [train] * 3
    assert seen.predicted == [validation] * 3
