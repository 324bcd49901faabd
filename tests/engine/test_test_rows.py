"""Rows that judge: no model that they judge, and no choice, has seen them."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bird_strikes.models as models
import numpy as np
import polars as pl
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.metrics import f1_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.tree import DecisionTreeRegressor
from threadpoolctl import threadpool_info, threadpool_limits

from coldstart.contract import Contract
from coldstart.data._dataset import Dataset, load
from coldstart.data._objective import Objective
from coldstart.data._splitting import Split
from coldstart.train import Context, SearchRange, predict_test_rows, predict_validation_rows
from coldstart.train import _fitting as fitting
from coldstart.train._decision import tune_decision, tune_threshold
from coldstart.train._intervals import interval
from coldstart.tune import _search as search
from coldstart.tune._trials import choosing
from engine.held_out import held_out_once
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

        def fit_watched(self: Any, X: np.ndarray, y: np.ndarray, **weights: Any) -> Any:
            if X.shape[1] == 2:  # the baselines try each column alone
                seen.fitted.append(numbers(X))
            return fit(self, X, y, **weights)

        def predict_watched(self: Any, X: np.ndarray) -> Any:
            # The exported graph is compared on extremes, too.
            if X.shape[1] == 2 and np.abs(X).max() < ROWS:
                seen.predicted.append(numbers(X))
            return predict(self, X)

        dice = np.random.default_rng(0)
        lines = [f"{i},{dice.normal():.3f},{i % 7 + dice.normal():.3f}" for i in range(ROWS)]
        small_project(COLUMNS, "number,noise,size\n" + "\n".join(lines) + "\n", **config)
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


def test_settings_that_are_no_better_are_seldom_found_to_be() -> None:
    """The best of fifty equally good settings, judged by all validation rows and by half."""
    rows = np.arange(300)
    better = {"all": 0, "half": 0}
    for number in range(100):
        dice = np.random.default_rng(number)
        target = dice.normal(size=300)
        own, *settings = (
            held_out_once(rows, target, (target + dice.normal(size=300))[:, None])
            for _ in range(51)
        )
        chooses = choosing(own, seed=number)
        best = max(settings, key=lambda held: held.score())
        better["all"] += interval(best, own)[0] > 0
        best = max(settings, key=lambda held: held[chooses].score())
        better["half"] += interval(best[~chooses], own[~chooses])[0] > 0
    assert better["half"] <= 7  # of a hundred; one in forty is expected
    assert better["all"] >= 20


def test_the_threshold_is_the_probability_from_which_f1_is_highest() -> None:
    positive = np.array([0.05, 0.1, 0.2, 0.25, 0.3, 0.35])
    target = np.array([0, 0, 1, 0, 1, 1])
    chosen = tune_decision(target, np.column_stack([1 - positive, positive]), Objective())
    assert chosen == {"threshold": 0.2}  # F1 6/7, from 0.3 on 0.8
    high = np.array([0.6, 0.7, 0.8, 0.9])
    chosen = tune_decision(np.array([0, 0, 1, 1]), np.column_stack([1 - high, high]), Objective())
    assert chosen == {"threshold": 0.8}


@pytest.mark.parametrize(
    ("rows", "shares", "weights"),
    [
        # Weights of 1 are right on all rows, others on fewer.
        ((16, 4, 1), [(0.6, 0.35, 0.05), (0.3, 0.6, 0.1), (0.2, 0.2, 0.6)], [1, 1, 1]),
        # So are the inverse roots of the shares of the classes.
        ((16, 4, 1), [(0.79, 0.15, 0.06), (0.5, 0.45, 0.05), (0.5, 0.2, 0.3)], [1, 2, 4]),
        # So are the inverse shares.
        ((16, 4, 1), [(0.9, 0.05, 0.05), (0.7, 0.25, 0.05), (0.7, 0.1, 0.2)], [1, 4, 16]),
        # A class that no row has counts as half a row.
        ((16, 4, 0), [(0.8, 0.17, 0.03), (0.5, 0.45, 0.05), (0, 0, 1)], [1, 2, 32**0.5]),
    ],
)
def test_the_weights_of_three_classes_are_those_with_the_highest_f1(
    rows: tuple[int, ...], shares: list[tuple[float, ...]], weights: list[float]
) -> None:
    target = np.repeat(np.arange(3), rows)
    found = tune_decision(target, np.array(shares)[target], Objective())
    assert found == {"weights": pytest.approx(weights)}


def test_the_threshold_is_chosen_on_validation_rows_that_the_split_does_not_test() -> None:
    """In both splits the validation rows want another threshold than the test rows."""
    rows, half = np.arange(400), np.arange(400) % 2 == 0
    first, second = rows[:200], rows[200:]
    positive = np.where(rows < 200, 0.1, 0.6) + 0.3 * half + rows / 10_000
    dataset: Any = SimpleNamespace(
        splits=[
            Split(np.array([0, 1]), validation, test, np.array([], int))
            for validation, test in ((first, second), (second, first))
        ],
        target=lambda some: half[some].astype(np.int64),
        contract=SimpleNamespace(names=lambda role: []),
        objective=Objective(),
        sample_weight=lambda some: None,
    )

    def fit(rows: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        return lambda others: np.column_stack([1 - positive[others], positive[others]])

    validated = predict_validation_rows(dataset, fit)
    tested = predict_test_rows(dataset, fit, validated)
    # Above the threshold of the first half are all of the second, and of its own the other way.
    assert tested.labels[0, 200:].all()
    assert not tested.labels[0, :200].any()


def test_two_models_are_compared_row_by_row() -> None:
    """Their scores vary from sample to sample by more than they differ, and together."""
    dice = np.random.default_rng(0)
    target = dice.normal(size=300)
    hard = dice.normal(size=300)  # what both models do not know
    other = held_out_once(np.arange(300), target, (target + hard)[:, None])
    better = held_out_once(np.arange(300), target, (target + 0.95 * hard)[:, None])
    low, high = interval(better, other)
    assert 0 < low < high
    apart = interval(better), interval(other)
    assert apart[0][0] < apart[1][1]  # by these alone nobody could tell


@pytest.fixture
def two_ages(small_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A project of two models: one is right on the validation rows, the other on the test rows."""

    def reading(column: int) -> Callable[[Context], Pipeline]:
        chosen = ColumnTransformer([("column", SimpleImputer(), [column])])
        return lambda _: make_pipeline(chosen, DecisionTreeRegressor(max_depth=6, random_state=0))

    dice = np.random.default_rng(0)
    lines = []
    for i in range(900):
        early, late = dice.uniform(0, 100, 2)
        size = (early if i % 2 else late) if i < 500 else early if i < 700 else late
        lines.append(
            f"{dt.date(2020, 1, 1) + dt.timedelta(days=i)},{early:.2f},{late:.2f},{size:.2f}"
        )
    columns = {
        "day": {"type": "date", "role": "time", "nullable": False},
        "early": {"type": "number"},
        "late": {"type": "number"},
        "size": {"type": "number", "role": "target", "nullable": False},
    }
    limits = {"train_until": "2021-05-15", "validate_until": "2021-12-01"}
    small_project(
        columns,
        "day,early,late,size\n" + "\n".join(lines) + "\n",
        models=["linear", "tree"],
        split=limits | {"cross_validate_below": 0},
    )
    monkeypatch.setitem(models.FAMILIES, "linear", reading(0))
    monkeypatch.setitem(models.FAMILIES, "tree", reading(1))


@pytest.mark.usefixtures("two_ages")
def test_the_challenger_is_the_best_on_the_validation_rows_whatever_the_test_rows_say(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["train"]) == 0
    out = capsys.readouterr().out
    scores = re.findall(r"^(\w+), version \d +(-?[\d.]+) +(-?[\d.]+) ", out, re.MULTILINE)
    validation = {family: float(score) for family, score, _ in scores}
    test = {family: float(score) for family, _, score in scores}
    assert validation["linear"] > 0 > validation["tree"]
    assert test["linear"] < 0 < test["tree"]
    assert "challenger: version 1 (linear)" in out
    assert json.loads(Path("bundles/challenger/bundle.json").read_text())["family"] == "linear"


@pytest.mark.parametrize("seed", range(5))
def test_the_threshold_is_the_one_with_the_highest_f1(seed: int) -> None:
    """Of every threshold that there is, also where it is the smallest or the largest."""
    dice = np.random.default_rng(seed)
    target = dice.integers(0, 2, 60)
    positive = np.round(np.clip(0.3 * target + dice.uniform(0, 0.7, 60), 0, 1), 2)
    found = tune_threshold(target, positive, Objective())
    scores = {one: f1_score(target, positive >= one) for one in np.unique(positive)}
    assert scores[found] == max(scores.values())


def test_the_threshold_may_be_the_largest_probability_and_is_a_half_without_a_choice() -> None:
    assert (
        tune_threshold(np.array([0, 0, 0, 1]), np.array([0.1, 0.5, 0.5, 0.9]), Objective()) == 0.9
    )
    assert tune_threshold(np.array([1, 1]), np.array([0.1, 0.9]), Objective()) == 0.5


@pytest.mark.parametrize(
    ("descending", "rows"),
    [
        ([1, 1, 0, 1, 0, 0, 1], 4),  # F1 of 3/4, and with all rows of 8/11
        ([0, 0, 0, 1, *[0] * 33, 1, 1, 1], 4),  # of 1/4, and with all rows of 2/11
    ],
)
def test_the_threshold_weighs_precision_as_recall(descending: list[int], rows: int) -> None:
    positive = np.linspace(0.9, 0.1, len(descending))
    assert tune_threshold(np.array(descending), positive, Objective()) == positive[rows - 1]


def test_each_split_labels_its_rows_by_the_threshold_of_the_others() -> None:
    """The validation rows of both splits are the test rows of the other one."""
    low, high = np.arange(0, 4), np.arange(4, 8)
    positive = np.array([0.15, 0.25, 0.6, 0.9, 0.1, 0.2, 0.3, 0.4])
    target = np.array([0, 0, 0, 1, 0, 1, 1, 1])
    none = high[:0]
    splits = [Split(none, high, low, none), Split(none, low, high, none)]
    dataset: Any = SimpleNamespace(
        splits=splits,
        target=lambda rows: target[rows],
        contract=SimpleNamespace(names=lambda _: []),
        objective=Objective(),
        sample_weight=lambda some: None,
    )
    prediction = np.stack([1 - positive, positive], axis=1)
    validated = held_out_once(np.arange(8), target, prediction, threshold=0.5)
    tested = predict_test_rows(dataset, lambda _: lambda rows: prediction[rows], validated)
    # The best threshold of the upper half is 0.2, and that of the lower half 0.9.
    assert tested.labels.tolist() == [[0, 1, 1, 1, 0, 0, 0, 0]]


def test_a_row_is_predicted_once_a_repeat_by_a_model_of_all_rows_that_are_not_tested() -> None:
    columns = {
        "farm": {"type": "category", "role": "group", "nullable": False},
        "number": {"type": "number"},
        "size": {"type": "number", "role": "target", "nullable": False},
    }
    contract = Contract.model_validate({"columns": columns})
    rows, none = np.arange(60), np.array([], int)
    size = rows % 7 + 0.5
    farm = [f"f{row // 10}" for row in rows]
    table = pl.DataFrame({"farm": farm, "number": rows.astype(float), "size": size})
    parts = [rows[:30], rows[30:], rows[:30][::-1], rows[30:59]]  # row 59 only once
    splits = []
    for test in parts:
        others = np.setdiff1d(rows, test)
        splits.append(Split(others[:20], others[20:], test, none))
    dataset = Dataset(contract, table, splits, [], "")
    fitted: list[list[int]] = []

    def fit(some: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        fitted.append(sorted(some))
        number = len(fitted)
        return lambda others: (1000 * number + others)[:, None]

    validated = held_out_once(rows, size, size[:, None])
    tested = predict_test_rows(dataset, fit, validated)
    assert fitted == [np.setdiff1d(rows, test).tolist() for test in parts]
    assert tested.rows.tolist() == list(range(59))
    assert tested.target.tolist() == size[:59].tolist()
    assert tested.labels.shape == (2, 59)
    assert tested.groups is not None
    assert tested.groups.tolist() == [1 + row // 10 for row in range(59)]
    expected = [[1000 + 1000 * (row >= 30) + extra + row for row in range(59)]
                for extra in (0, 2000)]  # fmt: skip
    assert tested.prediction[:, :, 0].tolist() == expected


@pytest.mark.parametrize(("few", "threads"), [(10_000, 1), (0, 2)])
def test_linear_algebra_of_few_rows_takes_one_thread(
    small_project: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    few: int,
    threads: int,
) -> None:
    """Of many it takes as many as there are."""
    seen: set[int] = set()
    fit = DecisionTreeRegressor.fit

    def watched(self: Any, X: np.ndarray, y: np.ndarray, **weights: Any) -> Any:
        if X.shape[1] > 1:  # the baselines try each column alone
            seen.update(one["num_threads"] for one in threadpool_info() if "blas" in one.values())
        return fit(self, X, y, **weights)

    lines = [f"{number},{number % 5},{number % 7}" for number in range(60)]
    small_project(COLUMNS, "number,noise,size\n" + "\n".join(lines) + "\n", models=["tree"])
    monkeypatch.setattr(DecisionTreeRegressor, "fit", watched)
    monkeypatch.setattr(fitting, "FEW_VALUES", few)
    with threadpool_limits(2, "blas"):
        assert main(["train"]) == 0
    assert seen == {threads}
