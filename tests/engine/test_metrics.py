"""What models are chosen by: metrics, the rule of the threshold, and weights of rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from bird_strikes.models import FAMILIES, unsuitable_families
from sklearn import metrics
from sklearn.metrics import get_scorer_names

from coldstart.bundle import BundlePredictor
from coldstart.bundle._bundle import TESTED, verify_bundle
from coldstart.config import Settings
from coldstart.config._sections import DecisionSettings
from coldstart.contract import Contract
from coldstart.data import load, prepare
from coldstart.data._objective import Objective, choose_objective
from coldstart.errors import UserError
from coldstart.serve._live_model import example
from coldstart.tracking._tested import read_tested
from coldstart.train._decision import explain_decision, tune_decision, tune_threshold
from coldstart.train._fitting import Fitter, predict_aligned
from coldstart.train._intervals import interval
from coldstart.train._metrics import METRICS
from engine.held_out import held_out_once
from engine.support import load_settings, main

TWO = ["average_precision", "roc_auc", "f1", "f1_macro", "accuracy", "balanced_accuracy",
       "neg_log_loss"]  # fmt: skip
MORE = ["roc_auc", "f1_macro", "accuracy", "balanced_accuracy", "neg_log_loss"]
NUMBER = ["r2", "neg_mean_absolute_error", "neg_root_mean_squared_error"]


def scikit_learns(
    name: str, target: np.ndarray, shares: np.ndarray, labels: np.ndarray, weight: np.ndarray
) -> float:
    """Return a metric as scikit-learn computes it."""
    some = {"sample_weight": weight}
    if name == "roc_auc":
        if shares.shape[1] == 2:
            return metrics.roc_auc_score(target, shares[:, 1], **some)
        each = range(shares.shape[1])
        return np.mean([metrics.roc_auc_score(target == i, shares[:, i], **some) for i in each])
    functions = {
        "average_precision": lambda: metrics.average_precision_score(target, shares[:, 1], **some),
        "f1": lambda: metrics.f1_score(target, labels, **some),
        "f1_macro": lambda: metrics.f1_score(target, labels, average="macro", **some),
        "accuracy": lambda: metrics.accuracy_score(target, labels, **some),
        "balanced_accuracy": lambda: metrics.balanced_accuracy_score(target, labels, **some),
        "neg_log_loss": lambda: -metrics.log_loss(target, shares, **some),
        "r2": lambda: metrics.r2_score(target, shares[:, 0], **some),
        "neg_mean_absolute_error": lambda: (
            -metrics.mean_absolute_error(target, shares[:, 0], **some)
        ),
        "neg_root_mean_squared_error": lambda: (
            -metrics.root_mean_squared_error(target, shares[:, 0], **some)
        ),
    }
    return float(functions[name]())


@pytest.mark.parametrize(
    ("classes", "name"),
    [*((2, name) for name in TWO), *((4, name) for name in MORE), *((0, name) for name in NUMBER)],
)
def test_each_metric_is_scikit_learns(classes: int, name: str) -> None:
    """With equal predictions among them, and a weight for each row."""
    dice = np.random.default_rng(1)
    if classes:
        target = dice.integers(0, classes, 300)
        shares = np.round(dice.dirichlet(np.ones(classes), 300) + 0.5 * np.eye(classes)[target], 1)
        shares = (shares + 0.01) / (shares + 0.01).sum(axis=1, keepdims=True)
    else:
        target = dice.normal(size=300)
        shares = (target + dice.normal(size=300))[:, None]
    weight = dice.exponential(size=300)
    held = held_out_once(np.arange(300), target, shares, metric=name, sample_weight=weight)
    assert held.primary == name
    expected = scikit_learns(name, target, shares, held.labels[0], weight)
    assert held.score() == pytest.approx(expected)
    assert held.measure()[name] == pytest.approx(expected)
    plain = held_out_once(np.arange(300), target, shares, metric=name)
    assert plain.score() == pytest.approx(
        scikit_learns(name, target, shares, held.labels[0], np.ones(300))
    )
    low, high = interval(held)
    assert low < held.score() < high <= METRICS[name].best


def test_a_metric_is_called_as_scikit_learns_scorer() -> None:
    assert set(METRICS) <= set(get_scorer_names())


def objective(kind: str, values: list[object], **settings: object) -> Objective:
    """Return the objective for a target with these values."""
    target = pl.Series("y", values)
    contract = Contract.model_validate(
        {"columns": {"x": {"type": "number"}, "y": {"type": kind, "role": "target"}}}
    )
    classes = [] if kind == "number" else sorted(target.cast(pl.String).unique().to_list())
    some = Settings(data={"table": "rows.csv"}, **settings)  # type: ignore[arg-type]
    return choose_objective(some, contract, target, classes)


@pytest.mark.parametrize(
    ("kind", "values", "metric", "reason"),
    [
        ("boolean", [True] * 19 + [False] * 81, "average_precision",
         "19.0% of the rows are 'true'"),
        ("boolean", [True] * 20 + [False] * 80, "roc_auc", "20.0% of the rows are 'true'"),
        ("category", ["a", "b", "b"], "roc_auc", "66.7% of the rows are 'b'"),
        ("category", ["a", "b", "c"], "f1_macro", "each of the 3 classes counts the same"),
        ("number", [1.0, 2.0], "r2", "y is a number"),
    ],
)  # fmt: skip
def test_the_metric_follows_from_the_target(
    kind: str, values: list[object], metric: str, reason: str
) -> None:
    found = objective(kind, values)
    assert (found.metric, found.reason) == (metric, reason)


def test_a_metric_or_a_threshold_that_does_not_suit_the_target_is_refused() -> None:
    assert objective("number", [1.0], metric="neg_mean_absolute_error").metric.endswith("error")
    with pytest.raises(UserError, match=r"metric in config.yaml is r2, and y is one of two class"):
        objective("boolean", [True, False], metric="r2")
    with pytest.raises(UserError, match=r"is f1, and y is one of 3 classes; choose among roc_auc"):
        objective("category", ["a", "b", "c"], metric="f1")
    with pytest.raises(UserError, match=r"decision in config.yaml is for two classes"):
        objective("category", ["a", "b", "c"], decision={"min_recall": 0.9})
    for wrong in ({"min_recall": 0.9, "false_positive_cost": 1, "false_negative_cost": 1},
                  {"false_positive_cost": 1}, {"min_recall": 1.1}):  # fmt: skip
        with pytest.raises(ValueError, match="decision"):
            objective("boolean", [True, False], decision=wrong)


def by_rule(name: str, target: np.ndarray, labels: np.ndarray, weight: np.ndarray) -> float:
    """Return what a rule of the threshold makes large."""
    if name == "costs":
        wrong = weight * (target != labels)
        return -float(wrong @ np.where(labels == 1, 1, 5))
    functions = {
        "f1": metrics.f1_score,
        "accuracy": metrics.accuracy_score,
        "balanced_accuracy": metrics.balanced_accuracy_score,
        "f1_macro": lambda *some, **more: metrics.f1_score(*some, average="macro", **more),
    }
    return float(functions[name](target, labels, sample_weight=weight))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rule", ["f1", "accuracy", "balanced_accuracy", "f1_macro", "costs"])
def test_no_threshold_is_better_by_its_rule(rule: str, seed: int, weighted: bool) -> None:
    dice = np.random.default_rng(seed)
    target = dice.integers(0, 2, 60)
    positive = np.round(np.clip(0.3 * target + dice.uniform(0, 0.7, 60), 0, 1), 2)
    weight = dice.exponential(size=60) if weighted else np.ones(60)
    costs = DecisionSettings(false_positive_cost=1, false_negative_cost=5)
    chosen = Objective(decision=costs) if rule == "costs" else Objective(rule)
    found = tune_threshold(target, positive, chosen, weight if weighted else None)
    best = max(
        by_rule(rule, target, positive >= one, weight) for one in [*np.unique(positive), 1.1]
    )
    assert by_rule(rule, target, positive >= found, weight) == pytest.approx(best)


def test_where_a_miss_costs_less_than_all_alarms_no_row_is_predicted() -> None:
    rule = DecisionSettings(false_positive_cost=100, false_negative_cost=1)
    positive = np.array([0.9, 0.8, 0.1], dtype=np.float32)
    found = tune_threshold(np.array([0, 1, 0]), positive, Objective(decision=rule))
    assert positive.max() < found < 0.91


@pytest.mark.parametrize(("recall", "threshold"), [(0.25, 0.9), (0.5, 0.6), (0.75, 0.5), (1, 0.2)])
def test_the_threshold_is_the_highest_that_finds_enough(recall: float, threshold: float) -> None:
    positive = np.array([0.1, 0.2, 0.5, 0.55, 0.6, 0.9])
    target = np.array([0, 1, 1, 0, 1, 1])
    chosen = Objective(decision=DecisionSettings(min_recall=recall))
    assert tune_threshold(target, positive, chosen) == threshold
    assert explain_decision(chosen, 2) == f"is the highest with a recall of {recall:g}"


def test_weights_of_three_classes_maximize_the_metric_that_was_chosen() -> None:
    target = np.repeat([0, 1, 2], [20, 4, 2])
    prediction = np.array([(0.6, 0.3, 0.1), (0.5, 0.4, 0.1), (0.5, 0.1, 0.4)])[target]
    prediction[:6] = (0.5, 0.4, 0.1)  # some of the frequent class look like the second
    assert tune_decision(target, prediction, Objective("f1_macro"))["weights"] != [1, 1, 1]
    assert tune_decision(target, prediction, Objective("accuracy"))["weights"] == [1, 1, 1]


COLUMNS = {
    "size": {"type": "number"},
    "count": {"type": "number", "role": "weight"},
    "good": {"type": "boolean", "role": "target"},
}


def counted(rows: int = 300) -> tuple[str, str]:
    """Return a table with a count of each row, and the same with each row so often."""
    dice = np.random.default_rng(0)
    size, count = dice.normal(size=rows), dice.integers(0, 4, rows)
    good = size + dice.normal(size=rows) > 0.3
    lines = [f"{one:.4f},{many},{yes}" for one, many, yes in zip(size, count, good, strict=True)]
    head = "size,count,good\n"
    often = [f"{line.split(',')[0]},1,{line.split(',')[2]}" for line in lines
             for _ in range(int(line.split(",")[1]))]  # fmt: skip
    return head + "\n".join(lines), head + "\n".join(often)


@pytest.mark.parametrize("family", ["linear", "tree", "boosting", "forest", "svm", "neural"])
def test_a_row_with_weight_two_counts_as_two_rows(
    family: str, small_project: Callable[..., Path]
) -> None:
    """Fitted to all rows: a split would divide copies."""
    tuned = {"linear": {"C": 1.0}, "tree": {"max_depth": 3, "min_samples_leaf": 1},
             "boosting": {"min_samples_leaf": 1}}  # fmt: skip
    shares = []
    for table in counted():
        small_project(columns=COLUMNS, table=table, neural={"batch_size": 30})
        settings = load_settings()
        dataset = prepare(settings)
        fitter = Fitter(FAMILIES[family], settings, dataset, tuned.get(family, {}))
        grid = np.linspace(-2, 2, 60)
        rows = np.arange(len(dataset.table))
        features = dataset.contract.encode({"size": grid.tolist()})
        shares.append(predict_aligned(fitter.fit(rows), features, dataset.classes)[:, 1])
    once, often = shares
    # A forest draws other rows, folds of an SVM's calibration are other rows, and of more rows a
    # network takes more steps.
    limit = {"forest": 0.25, "svm": 0.1, "boosting": 0.05, "neural": 0.1}.get(family, 0.02)
    assert np.abs(once - often).mean() < limit


def test_the_network_suits_a_table_with_weights() -> None:
    contract = Contract.model_validate({"columns": COLUMNS})
    assert "neural" not in unsuitable_families(contract, np.arange(5_000) % 2)


def test_a_training_with_weights_and_another_metric(
    small_project: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    small_project(
        columns=COLUMNS,
        table=counted(400)[0],
        models=["linear"],
        metric="balanced_accuracy",
        decision={"min_recall": 0.8},
        split={"cross_validate_below": 0},
    )
    assert main(["train"]) == 0
    told = capsys.readouterr().out
    assert "metric: balanced_accuracy, since config.yaml sets it" in told
    assert "test balanced accuracy" in told
    manifest = verify_bundle(Path("bundles/champion"))
    assert manifest.metrics["primary"] == "balanced_accuracy"
    assert manifest.decision == "is the highest with a recall of 0.8"
    assert "count" not in json.dumps(example(BundlePredictor(Path("bundles/champion"))))
    card = Path("bundles/champion/MODEL_CARD.md").read_text()
    assert "which is the highest with a recall of 0.8 on the validation rows" in card
    dataset = load(load_settings())
    held = read_tested(Path("bundles/champion") / TESTED, dataset)
    weight = dataset.table["count"].to_numpy()[held.rows]
    expected = metrics.balanced_accuracy_score(held.target, held.labels[0], sample_weight=weight)
    assert manifest.metrics["test"]["balanced_accuracy"] == pytest.approx(expected)
    assert main(["leaderboard"]) == 0
    assert "balanced" in capsys.readouterr().out


@pytest.mark.parametrize("value", ["", "-1"])
def test_each_row_needs_a_weight(
    value: str, small_project: Callable[..., Path], refusal: Callable[..., str]
) -> None:
    table = counted(100)[0] + f"\n1.0,{value},True\n"
    small_project(columns=COLUMNS, table=table)
    assert "count: a column with the role weight needs a value of 0 or more" in refusal("train")
