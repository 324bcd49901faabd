"""A training of few rows, of rare classes, of nothing to learn; what it tells and what it keeps."""

from __future__ import annotations

import hashlib
import json
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from bird_strikes.models import FAMILIES
from mlflow import MlflowClient

from coldstart.bundle._predictor import BundlePredictor, to_labels
from coldstart.data._dataset import load, prepare
from coldstart.data._objective import Objective
from coldstart.tracking import _registry as registry
from coldstart.tracking import _tested
from coldstart.tracking._challenger import NEXT
from coldstart.train import _fitting as fitting
from coldstart.train import _folds as splits
from coldstart.train import _queue as queue
from coldstart.train._baselines import evaluate_baselines
from coldstart.train._decision import tune_decision
from coldstart.train._evaluation import calibration_error
from coldstart.train._fitting import predict
from coldstart.train._folds import train_and_validation_rows
from engine.held_out import held_out_once
from engine.support import PACKAGE, load_settings, main

Project = Callable[..., Path]
ONCE = {"cross_validate_below": 0}  # one split, where the rounds are not what is tested
ANIMALS = {
    "legs": {"type": "number"},
    "weight": {"type": "number"},
    "home": {"type": "category"},
    "animal": {"type": "category", "role": "target"},
}


def animals(rows: int, rare: int = 0) -> str:
    """Three kinds, told by legs and weight, and so many that were seen once."""
    dice = random.Random(0)
    kinds = [("bird", 2, 1.0), ("dog", 4, 20.0), ("fly", 6, 0.01)]
    lines = ["legs,weight,home,animal"]
    for number in range(rows):
        name, legs, weight = dice.choices(kinds, [1, 6, 3])[0]
        if number < rare:
            name = f"monster {number}"
        lines.append(f"{legs},{weight * dice.lognormvariate(0, 1):.4f},{dice.choice('ab')},{name}")
    return "\n".join(lines) + "\n"


def metrics(alias: str = "challenger") -> dict[str, Any]:
    """What a bundle says of its model."""
    found: dict[str, Any] = json.loads(Path(f"bundles/{alias}/bundle.json").read_text())["metrics"]
    return found


def test_few_rows_are_all_judged_by_models_that_did_not_see_them(
    trained_here: Callable[..., str], small_project: Project, refusal: Callable[..., str]
) -> None:
    fruit = (Path(small_project()) / "fruit.csv").read_text().splitlines()[:61]
    told = trained_here(models=["linear", "tree"], table="\n".join(fruit))
    dataset = load(load_settings())
    assert len(dataset.splits) == 15
    low, high = metrics()["interval"]
    assert low < metrics()["test"]["roc_auc"] < high
    assert (
        f"60 rows: the 95% CI is {low:.3f}–{high:.3f}; treat the score as a rough estimate" in told
    )

    # What the bundle keeps is what the rounds give when they are gone through again.
    predictor = BundlePredictor(Path("bundles/challenger"))
    kept = _tested.tested(predictor, dataset)
    assert kept.prediction.shape == (3, 60, 2)
    assert sorted(kept.rows) == list(range(60))
    division = dataset.splits[0]
    family = FAMILIES[predictor.manifest.family]
    fitter = fitting.Fitter(family, load_settings(), dataset)
    again = fitter.fit(train_and_validation_rows(division))
    expected = predict(again, dataset.features(division.test))
    np.testing.assert_allclose(kept.prediction[0][division.test], expected, atol=1e-5)

    # The model that serves was fitted on all rows: its own answers to them say nothing.
    assert kept.score() == pytest.approx(metrics()["test"]["roc_auc"], abs=1e-4)

    # The gate compares what both models kept of the same rows.
    before = registry.version_of(client(), load_settings(), "champion")
    worst = {"linear": "tree", "tree": "linear"}[predictor.manifest.family]
    assert main(["train", "--models", worst]) == 0
    assert "roc_auc" in refusal("promote", "--version", "3")
    assert registry.version_of(client(), load_settings(), "champion") == before


def client() -> MlflowClient:
    """The project's tracking store."""
    return MlflowClient(load_settings().tracking_uri)


def test_models_of_other_few_rows_are_compared_by_what_they_scored_and_that_is_said(
    trained_here: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    trained_here(columns=ANIMALS, table=animals(100), models=["tree"])
    trained_here(columns=ANIMALS, table=animals(120), models=["tree"])
    assert main(["promote"]) == 0
    assert "on its own data; the champion's was" in capsys.readouterr().out


def test_classes_with_one_row_break_nothing_and_none_of_them_is_lost(
    trained_here: Callable[..., str],
) -> None:
    table = animals(150, rare=3)
    told = trained_here(columns=ANIMALS, table=table, models=None, budget="10m", split=ONCE)
    assert re.search(r"not tried: .*svm: a class has fewer than three rows", told)
    predictor = BundlePredictor(Path("bundles/challenger"))
    assert predictor.manifest.classes == load(load_settings()).classes
    assert len(predictor.manifest.classes) == 6
    answer = predictor.score([{"legs": 4, "weight": 20.0, "home": "a"}])[0]
    assert answer["label"] == "dog"
    assert metrics()["test"]["accuracy"] > 0.9
    assert {"brier", "calibration_error", "f1_macro"} <= set(metrics()["test"])
    assert "monster" not in told


def test_the_table_is_readable_and_the_best_by_validation_comes_first(
    trained_here: Callable[..., str],
) -> None:
    told = trained_here(models=["tree", "linear"], split=ONCE).splitlines()
    start = next(i for i, line in enumerate(told) if "95% CI" in line)
    first, second, alone, nothing = told[start + 1 : start + 5]
    assert max(map(len, told[start : start + 5])) <= 100
    assert first.startswith("linear")
    assert second.startswith("tree")
    assert float(first.split()[3]) > float(second.split()[3])
    assert alone.startswith("single feature (weight)")
    assert nothing.startswith("dummy baseline")


def test_a_run_holds_the_hyperparameters_of_its_own_model_type(
    trained_here: Callable[..., str],
) -> None:
    trained_here(models=["tree", "linear"], split=ONCE, tuned={"tree": {"max_depth": 3}})
    found = client().search_runs([client().get_experiment_by_name(PACKAGE).experiment_id])
    params = {run.data.tags["family"]: run.data.params for run in found}
    assert params["tree"]["max_depth"] == "3"
    assert params["tree"]["seed"] == params["linear"]["seed"] == "0"
    assert "max_depth" not in params["linear"]
    assert "max_iter" in params["linear"]
    assert not any("neural" in name for one in params.values() for name in one)


def test_without_signal_the_report_says_so(trained_here: Callable[..., str]) -> None:
    dice = random.Random(1)
    rows = [f"{dice.random():.3f},{dice.random():.3f},a,{dice.choice('xyz')}" for _ in range(200)]
    table = "legs,weight,home,animal\n" + "\n".join(rows)
    told = trained_here(columns=ANIMALS, table=table, models=["tree"])
    assert "no signal: no model is significantly better than the dummy baseline" in told
    assert "there is no challenger: no model is better than the dummy baseline" in told


def test_a_score_too_good_to_be_true_names_the_column(trained_here: Callable[..., str]) -> None:
    dice = random.Random(1)
    rows = []
    for number in range(300):
        sick = number % 3 == 0
        rows.append(f"{dice.random():.3f},{int(sick) * 10 + dice.random():.3f},a,{sick}")
    columns = {**ANIMALS, "animal": {"type": "boolean", "role": "target"}}
    table = "legs,weight,home,animal\n" + "\n".join(rows)
    told = trained_here(columns=columns, table=table, models=["tree"])
    assert re.search(
        r"too good to be true\? roc_auc is 1.0000.*the best single features: weight", told
    )


def test_when_the_budget_is_spent_no_further_model_is_begun(
    trained_here: Callable[..., str],
) -> None:
    told = trained_here(models=None, budget=0.001, split=ONCE)
    said = "the budget is 0.001 s of CPU time: linear, forest, svm, tree; more: make train BUDGET"
    assert said in told
    assert metrics()["primary"] == "roc_auc"


def test_what_would_take_far_longer_than_the_budget_is_not_begun(
    trained_here: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "estimate_seconds", lambda *_: 1e4)
    told = trained_here(models=None, split=ONCE)
    said = "not tried, since the budget is 120 s of CPU time: linear would take about 10000 s"
    assert said in told
    assert metrics()["primary"] == "roc_auc"


def wait() -> None:
    """Take no CPU time for a while, as a process that other processes keep from the CPU."""
    time.sleep(0.4)


def compute() -> None:
    """Use 0.4 s of CPU time."""
    begun = time.thread_time()
    while time.thread_time() < begun + 0.4:
        hashlib.sha256(bytes(100_000))


def compute_in_two_threads() -> None:
    """Use 0.8 s of CPU time, on one core or two."""
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda _: compute(), range(2)))


def compute_in_a_process() -> None:
    """Use at least 0.4 s of the CPU time of another process."""
    code = "import time\nwhile time.process_time() < 0.4: pass"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("work", "tried"),
    [(wait, 6), (compute, 3), (compute_in_two_threads, 2), (compute_in_a_process, 3)],
)
def test_the_budget_is_cpu_time_so_that_a_busy_machine_tries_the_same_model_types(
    small_project: Project,
    capsys: pytest.CaptureFixture[str],
    work: Callable[[], None],
    tried: int,
) -> None:
    small_project(models=None, budget=1, split=ONCE)
    settings = load_settings()
    names = []
    for name in (waiting := queue.TrainingQueue(FAMILIES, settings, prepare(settings), {})):
        with waiting.attempt(name):
            work()
        names.append(name)
    assert names == list(FAMILIES)[:tried]
    assert ("of CPU time" in capsys.readouterr().out) is (tried < 6)


def test_how_long_a_family_takes_is_told_from_some_of_very_many_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [0.0]

    def fit(self: Any, rows: np.ndarray) -> None:
        clock[0] += 1 + 0.001 * len(rows)  # a second to begin with, and a millisecond a row

    monkeypatch.setattr(fitting.Fitter, "fit", fit)
    monkeypatch.setattr(fitting, "cpu_seconds", lambda: clock[0])

    def estimate(rows: int) -> float:
        some: Any = SimpleNamespace(splits=[SimpleNamespace(train=np.arange(rows))])
        return fitting.estimate_seconds(FAMILIES["tree"], load_settings(data={"table": "x"}), some)

    assert estimate(100_000) == pytest.approx(2 * (1 + 100), rel=0.02)
    before = clock[0]
    assert estimate(1_000) == 0
    assert clock[0] == before


@pytest.mark.parametrize(
    ("written", "seconds"), [("90s", 90), ("5m", 300), ("1h", 3600), (45, 45), ("1.5m", 90)]
)
def test_a_budget_is_written_as_people_write_it(
    small_project: Project, written: Any, seconds: float
) -> None:
    small_project(budget=written)
    assert load_settings().budget == seconds


@pytest.mark.parametrize("wrong", ["soon", "5 parsecs", -1, 0])
def test_a_budget_that_is_no_time_is_told(
    small_project: Project, refusal: Callable[..., str], wrong: Any
) -> None:
    small_project(budget=wrong)
    assert "budget" in refusal("train")


def test_the_best_column_alone_is_found_and_no_better_than_all(small_project: Project) -> None:
    small_project()
    dataset = prepare(load_settings())
    against = evaluate_baselines(dataset)
    assert list(against.columns)[:2] == ["weight", "colour"]
    assert 0.5 < against.column.score() < 1
    assert against.dummy.score() == pytest.approx(dataset.targets.mean(), abs=0.05)


def test_every_round_is_judged_without_what_it_was_fitted_on(small_project: Project) -> None:
    """A model that learns its rows by heart knows none of those that judge it."""
    small_project()
    dataset = prepare(load_settings())

    def by_heart(rows: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        def predict(others: np.ndarray) -> np.ndarray:
            sure = np.isin(others, rows).astype(float)
            return np.column_stack([1 - sure, sure])

        return predict

    validated = splits.predict_validation_rows(dataset, by_heart)
    tested = splits.predict_test_rows(dataset, by_heart, validated)
    assert (validated.prediction[..., 1] == 0).all()
    assert (tested.prediction[..., 1] == 0).all()
    assert tested.prediction.shape == (3, 300, 2)


def test_rare_classes_are_answered_where_that_makes_the_mean_f1_better() -> None:
    dice = np.random.default_rng(0)
    target = np.repeat([0, 1, 2], [900, 70, 30])
    scores = dice.normal(size=(1000, 3)) + 1.5 * np.eye(3)[target] + np.log([0.9, 0.07, 0.03])
    prediction = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    how = tune_decision(target, prediction, Objective())
    assert how["weights"][2] > how["weights"][1] > how["weights"][0] == 1
    rows = np.arange(1000)
    plain = held_out_once(rows, target, prediction).score()
    assert held_out_once(rows, target, prediction, **how).score() > plain + 0.02
    assert set(to_labels(prediction, **how)) == {0, 1, 2}


def test_the_calibration_error_is_what_is_said_beyond_what_comes_true() -> None:
    target = np.arange(1000) % 4 == 0
    honest, boastful = (np.full(1000, share) for share in (0.25, 0.65))
    errors = [
        calibration_error(target.astype(int), np.column_stack([1 - said, said]))
        for said in (honest, boastful)
    ]
    assert errors == pytest.approx([0, 0.4], abs=0.01)


def test_what_was_tested_is_kept_up_to_a_limit(tmp_path: Path) -> None:
    held = held_out_once(np.arange(500), np.zeros(500, int), np.full((500, 2), 0.5))
    _tested.keep_tested(held, tmp_path / "tested.csv", numbers=200)
    assert len(pl.read_csv(tmp_path / "tested.csv")) == 100


def test_each_stage_is_told_with_its_time_its_parts_if_asked_for_and_what_comes_next(
    small_project: Project, run_command: Callable[..., Any]
) -> None:
    folder = small_project(models=["tree"])
    done = run_command(folder, "train")
    seconds = r" \(\d+\.\d s\)"
    for stage in ("data: 300 rows, .*", "baselines: .*", "tree: version 1, AUC .*"):
        assert re.search(rf"^{stage}{seconds}$", done.stdout, re.MULTILINE), done.stdout
    assert done.stdout.splitlines()[-1] == NEXT
    assert done.stderr == ""  # neither bars nor what libraries tell: nobody looks on


def test_a_model_that_is_worse_than_the_dummy_baseline_is_not_the_challenger(
    trained_here: Callable[..., str], refusal: Callable[..., str]
) -> None:
    columns = {"x": {"type": "number"}, "y": {"type": "number", "role": "target"}}
    dice = random.Random(0)
    x = [dice.gauss(0, 1) for _ in range(300)]
    noise = "x,y\n" + "".join(f"{one:.4f},{dice.gauss(0, 1):.4f}\n" for one in x)
    signal = "x,y\n" + "".join(f"{one:.4f},{one + dice.gauss(0, 0.1):.4f}\n" for one in x)
    told = trained_here(columns=columns, table=noise, models=["tree"], split=ONCE)
    said = "no model is better than the dummy baseline on the validation rows (R² "
    assert told.index(said) < told.index("validation  test")  # before the table
    assert "there is no challenger: no model is better than the dummy baseline" in told
    assert "run: make train" in refusal("promote")

    told = trained_here(columns=columns, table=signal, models=["tree"], split=ONCE)
    assert "no model is better" not in told
    chosen = registry.version_of(client(), load_settings(), "champion")
    assert chosen
    told = trained_here(columns=columns, table=noise, models=["tree"], split=ONCE)
    assert f"version {chosen} stays the challenger" in told
    for alias in ("challenger", "champion"):
        assert registry.version_of(client(), load_settings(), alias) == chosen
