"""Prediction intervals and sets contain the outcome about as often as they say, and are answered.

The coverage is that of simulated tables. The quantiles are also compared with those of MAPIE.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import polars as pl
import pytest
from fastapi.testclient import TestClient
from mapie.classification import SplitConformalClassifier
from mapie.regression import SplitConformalRegressor
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LinearRegression

from coldstart.batch import predict_file
from coldstart.bundle import Conformal
from coldstart.bundle import _bundle as bundle
from coldstart.bundle._frames import FramePredictor
from coldstart.bundle._predictor import BundlePredictor
from coldstart.contract import Contract
from coldstart.data._dataset import Dataset
from coldstart.data._splitting import Split
from coldstart.serve import create_app
from coldstart.tracking._model import signature
from coldstart.train import conformalize, evaluate_coverage
from coldstart.train._conformal import quantile
from coldstart.train._evaluation import HeldOutPredictions
from engine.held_out import held_out_once
from engine.support import PROJECT, load_settings, main

DRAWS = 1000


def table(first: dict[str, Any], values: Any, target: dict[str, Any] | None = None) -> Dataset:
    """Return a prepared table of which a column divides the rows."""
    y = {"role": "target", "nullable": False, **(target or {"type": "number"})}
    columns = {"first": first, "x": {"type": "number"}, "y": y}
    contract = Contract.model_validate({"columns": columns})
    rows = np.arange(len(values))
    nothing = np.zeros(len(values))
    frame = pl.DataFrame({"first": values, "x": nothing, "y": nothing})
    return Dataset(contract, frame, [Split(rows, rows, rows, rows[:0])], [], "")


def plain(rows: int) -> Dataset:
    return table({"type": "number"}, np.zeros(rows))


def off_by(errors: np.ndarray) -> HeldOutPredictions:
    """Return predictions of 0 whose outcomes are these."""
    return held_out_once(np.arange(len(errors)), errors, np.zeros((len(errors), 1)))


def margin(data: Dataset, errors: np.ndarray, coverage: float = 0.9) -> float:
    found = conformalize(data, off_by(errors), coverage)
    assert found is not None
    return found.margins[0]


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95])
@pytest.mark.parametrize("rows", [20, 39, 57, 200])
def test_the_margin_is_mapies(rows: int, level: float) -> None:
    dice = np.random.default_rng(rows)
    x, errors = dice.normal(size=rows), dice.standard_t(3, rows)
    exact = LinearRegression().fit(x[:, None], x)
    other = SplitConformalRegressor(exact, confidence_level=level).conformalize(
        x[:, None], x + errors
    )
    _, intervals = other.predict_interval(np.array([[0.0]]))
    expected = intervals[0, :, 0]
    reach = margin(plain(rows), errors, level)
    assert [-reach, reach] == pytest.approx(expected.tolist(), abs=1e-9)


class Known(ClassifierMixin, BaseEstimator):
    """A model whose features are the probabilities."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> Known:
        self.classes_ = np.arange(X.shape[1])
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return X

    def predict(self, X: np.ndarray) -> np.ndarray:
        return X.argmax(axis=1)


def three_classes(dice: np.random.Generator, rows: int) -> HeldOutPredictions:
    """Draw calibrated probabilities, and the classes."""
    shares = dice.dirichlet([0.5, 0.4, 0.3], rows)
    target = (dice.random((rows, 1)) > shares.cumsum(axis=1)).sum(axis=1).clip(max=2)
    return held_out_once(np.arange(rows), target, shares)


def test_the_sets_are_mapies_and_the_predicted_class() -> None:
    held, new = (three_classes(np.random.default_rng(seed), 300) for seed in (0, 1))
    model = Known().fit(held.prediction[0], held.target)
    other = SplitConformalClassifier(model, confidence_level=0.9, conformity_score="lac")
    other.conformalize(held.prediction[0], held.target)
    expected = other.predict_set(new.prediction[0])[1][:, :, 0]
    expected[np.arange(300), new.labels[0]] = True
    found = conformalize(plain(300), held, 0.9)
    assert found is not None
    sets = found.sets(new.prediction[0], new.labels[0])
    assert sets is not None
    assert sets.tolist() == expected.tolist()


def near(shares: list[float], low: float, high: float) -> None:
    """See that the mean of so many draws is in a range, but for 4 standard errors."""
    mean, error = np.mean(shares), np.std(shares) / np.sqrt(len(shares))
    print(f"{mean:.4f} ± {error:.4f}, expected {low:.4f} to {high:.4f}")
    assert low - 4 * error <= mean <= high + 4 * error


@pytest.mark.parametrize("rows", [9, 20, 50, 300])
def test_intervals_of_independent_rows_have_the_coverage_that_theory_gives(rows: int) -> None:
    dice, data = np.random.default_rng(0), plain(rows)
    shares = []
    for _ in range(DRAWS):
        reach = margin(data, dice.standard_t(4, rows))
        shares.append(float(np.mean(np.abs(dice.standard_t(4, 300)) <= reach)))
    exact = np.ceil(0.9 * (rows + 1) - 1e-9) / (rows + 1)
    near(shares, exact, exact)


def test_sets_of_independent_rows_have_the_coverage() -> None:
    dice, data, shares = np.random.default_rng(0), plain(60), list[float]()
    for _ in range(DRAWS):
        found = conformalize(data, three_classes(dice, 60), 0.9)
        measured = evaluate_coverage(found, three_classes(dice, 100))["coverage"]
        shares.append(measured["test"])
    near(shares, 0.9, 0.93)  # 55/61, and more since the predicted class is always in them


def test_where_rows_are_grouped_a_row_of_a_new_group_is_covered() -> None:
    """Large groups are predicted well, so that most rows say little of a new group."""
    dice = np.random.default_rng(0)

    def errors(groups: int) -> tuple[np.ndarray, np.ndarray]:
        sizes = dice.choice([1, 2, 40], groups)
        number = np.repeat(np.arange(groups), sizes)
        shift = dice.normal(size=groups) * np.where(sizes > 2, 0.3, 1.5)
        return number, shift[number] + 0.2 * dice.normal(size=len(number))

    by_group, by_row = list[float](), list[float]()
    for _ in range(DRAWS):
        number, found = errors(40)
        data = table({"type": "category", "role": "group", "nullable": False}, number.astype(str))
        new, later = errors(100)
        first = np.unique(new, return_index=True)[1]  # a row of each, in random order already
        for shares, reach in (
            (by_group, margin(data, found)),
            (by_row, margin(plain(len(found)), found)),
        ):
            shares.append(float(np.mean(np.abs(later[first]) <= reach)))
    near(by_group, 0.9, 0.9 + 1 / 41)
    print(f"by row: {np.mean(by_row):.3f}")
    assert np.mean(by_row) < 0.8


def test_rows_that_are_predicted_several_times_count_once() -> None:
    once = np.arange(1.0, 10)
    assert quantile(once, np.arange(9), 0.9) == 9
    assert quantile(np.tile(once, 3), np.tile(np.arange(9), 3), 0.9) == 9
    assert quantile(np.tile(once[:8], 3), np.tile(np.arange(8), 3), 0.9) is None


def test_a_series_with_a_mild_drift_loses_as_much_coverage_as_its_errors_grow() -> None:
    """The errors remember: 0.5 of one is in the next. Those to predict are 5% larger."""
    dice, shares = np.random.default_rng(0), list[float]()
    data = table({"type": "number"}, np.zeros(300))
    for _ in range(DRAWS):
        noise, errors = dice.normal(size=500) * np.sqrt(0.75), np.zeros(500)
        for at in range(1, 500):
            errors[at] = 0.5 * errors[at - 1] + noise[at]
        reach = margin(data, errors[100:400])
        shares.append(float(np.mean(np.abs(1.05 * errors[400:]) <= reach)))
    near(shares, 0.87, 0.9)  # 0.883 of independent errors


@pytest.mark.parametrize(("level", "rows"), [(0.9, 9), (0.95, 19), (0.5, 1), (0.8, 4)])
def test_too_few_rows_give_no_interval_and_a_reason(level: float, rows: int) -> None:
    errors = np.arange(float(rows))
    assert margin(plain(rows), errors, level) == rows - 1
    found = conformalize(plain(rows), off_by(errors[1:]), level)
    assert found == Conformal(coverage=level, units=rows - 1)
    why = evaluate_coverage(found, off_by(errors))["coverage"]
    assert why == {
        "nominal": level,
        "shortage": f"they need {rows} validation rows or groups at least, and there are "
        f"{rows - 1}",
    }


def test_where_errors_grow_with_the_prediction_the_margin_is_a_share_of_it() -> None:
    dice = np.random.default_rng(0)

    def prices(rows: int) -> HeldOutPredictions:
        values = np.exp(5 + 0.7 * dice.normal(size=rows))
        outcome = values * np.exp(0.3 * dice.normal(size=rows))
        return held_out_once(np.arange(rows), outcome, values[:, None])

    held, new = prices(300), prices(6000)
    found = conformalize(plain(300), held, 0.9)
    assert found is not None
    assert found.floor == pytest.approx(np.quantile(held.prediction[0], 0.1))
    order = np.argsort(new.prediction[0, :, 0])
    for third in np.array_split(order, 3):
        assert evaluate_coverage(found, new[third])["coverage"]["test"] == pytest.approx(
            0.9, abs=0.05
        )
    alike = conformalize(plain(300), off_by(dice.normal(size=300)), 0.9)
    few = conformalize(plain(60), held[np.arange(60)], 0.9)
    assert alike is not None
    assert few is not None
    assert alike.floor is few.floor is None


def test_two_classes_get_no_sets() -> None:
    held = held_out_once(np.arange(20), np.arange(20) % 2, np.full((20, 2), 0.5))
    assert conformalize(plain(20), held, 0.9) is None
    assert evaluate_coverage(None, held) == {}


@pytest.fixture(params=[True, False], ids=["with intervals", "from before"])
def folder(request: pytest.FixtureRequest, numeric: Callable[..., Path], tmp_path: Path) -> Path:
    """A bundle that predicts twice the weight, with or without intervals."""
    made = numeric(tmp_path / "model", 2.0)
    if request.param:
        manifest = bundle.verify_bundle(made)
        manifest.conformal = Conformal(coverage=0.9, units=40, margins=[7.25])
        (made / bundle.VERSION).unlink()
        bundle.write_checksums(made, manifest)
    else:
        content = json.loads((made / bundle.MANIFEST).read_text())
        del content["conformal"]
        (made / bundle.MANIFEST).write_text(json.dumps(content))
    return made


def test_all_answers_have_the_same_interval_or_the_value_alone(
    folder: Path, tmp_path: Path
) -> None:
    given = [3.0, 100.0]
    expected = {"value": [6.0, 200.0]}
    if BundlePredictor(folder).manifest.conformal:
        expected |= {"low": [-1.25, 192.75], "high": [13.25, 207.25]}
    csv = "weight\n3\n100\n"
    with TestClient(create_app(PROJECT, folder)) as api:
        answers = api.post("/predict", json={"rows": [{"weight": one} for one in given]})
        predictions = answers.json()["predictions"]
        file = api.post("/predict", content=csv, headers={"content-type": "text/csv"})
        inputs = [{"name": "weight", "datatype": "FP64", "shape": [2], "data": given}]
        name = "price" if "low" in expected else "small"
        tensors = api.post(f"/v2/models/{name}/infer", json={"inputs": inputs}).json()["outputs"]
        outputs = api.get(f"/v2/models/{name}").json()["outputs"]
        explained = api.post("/page/explain", json={"weight": 3.0}).json()["prediction"]
        schema = api.get("/openapi.json").json()["components"]["schemas"]["Value"]["properties"]
    assert {"value", "low", "high", "coverage"} <= set(schema)
    assert explained == predictions[0]
    shares = [one.pop("coverage", None) for one in predictions]
    assert shares == [0.9 if "low" in expected else None] * 2
    assert {key: [one[key] for one in predictions] for key in predictions[0]} == expected
    assert pl.read_csv(io.BytesIO(file.content)).to_dict(as_series=False) == expected
    assert {one["name"]: one["data"] for one in tensors} == expected
    assert [one["name"] for one in outputs] == list(expected)
    (tmp_path / "in.csv").write_text(csv)
    predict_file(folder, tmp_path / "in.csv", tmp_path / "out.csv")
    found = pl.read_csv(tmp_path / "out.csv").drop("weight").to_dict(as_series=False)
    assert found == expected
    frame = FramePredictor(folder).predict(pl.DataFrame({"weight": given}).to_pandas())
    assert frame.to_dict("list") == expected


GROWING = {
    "day": {"type": "date", "role": "time", "nullable": False},
    "price": {"type": "number", "role": "target", "horizon": 6},
    "price before": {"type": "number", "lag_of": "price", "steps": 1},
}


def test_each_step_of_a_forecast_has_its_own_interval(
    small_project: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The errors of a random walk grow with the root of the steps."""
    walk = 100 + np.random.default_rng(0).normal(size=1500).cumsum()
    days = pl.date_range(pl.date(2020, 1, 1), pl.date(2030, 1, 1), eager=True)[:1506]
    cells = [*walk.round(3).astype(str), *[""] * 6]
    lines = [f"{day},{value}" for day, value in zip(days, cells, strict=True)]
    small_project(columns=GROWING, table="\n".join(["day,price", *lines[:1500]]) + "\n")
    assert main(["train"]) == 0
    assert "90% prediction intervals (mean width" in capsys.readouterr().out
    model = Path("bundles/challenger")
    manifest = bundle.verify_bundle(model)
    assert manifest.conformal is not None
    margins = manifest.conformal.margins
    assert len(margins) == 6
    normal = 1.645 * np.sqrt(np.arange(1, 7))
    assert margins == pytest.approx(normal.tolist(), rel=0.25)
    for line in manifest.metrics["horizon"]:
        assert 0.75 < line["coverage"] <= 1
    Path("in.csv").write_text("\n".join(["day,price", *lines[-30:]]) + "\n")
    predict_file(model, Path("in.csv"), Path("out.csv"))
    found = pl.read_csv("out.csv")
    for end, sign in (("low", -1), ("high", 1)):
        reach = sign * (found[end] - found["value"])
        assert reach[-6:].to_list() == pytest.approx(margins)
        assert reach[1:-6].to_list() == pytest.approx([margins[0]] * 23)
        assert found[end][:1].is_null().all()  # as the value, without an earlier row
    card = Path(model, "MODEL_CARD.md").read_text()
    assert "## Prediction intervals" in card
    assert "| interval | coverage |" in card
    assert main(["monitor", "--bundle", str(model), "--part", "test"]) in (0, 1)
    assert "of the outcomes are in their 90% prediction interval" in capsys.readouterr().out


CLASSES = {
    "size": {"type": "number", "nullable": False},
    "kind": {"type": "category", "role": "target", "nullable": False},
}


def test_a_prediction_of_three_classes_has_the_same_set_in_all_answers(
    small_project: Callable[..., Path], tmp_path: Path
) -> None:
    dice = np.random.default_rng(0)
    sizes = dice.normal(size=900)
    kinds = np.array(["s", "m, l", "x"])[
        np.digitize(sizes + 0.5 * dice.normal(size=900), [-0.4, 0.6])
    ]
    lines = [f'{size:.4f},"{kind}"' for size, kind in zip(sizes, kinds, strict=True)]
    split = {"cross_validate_below": 0}
    small_project(columns=CLASSES, table="\n".join(["size,kind", *lines]) + "\n", split=split)
    assert main(["train"]) == 0
    model = Path("bundles/challenger")
    manifest = bundle.verify_bundle(model)
    assert manifest.conformal is not None
    low, high = manifest.metrics["coverage"]["interval"]
    assert low < 0.9 < high
    given = [-2.0, -0.4, 0.1, 0.6, 3.0]
    csv = "size\n" + "".join(f"{one}\n" for one in given)
    with TestClient(create_app(PROJECT, model)) as api:
        answers = api.post("/predict", json={"rows": [{"size": one} for one in given]})
        file = api.post("/predict", content=csv, headers={"content-type": "text/csv"})
        column = {"name": "size", "datatype": "FP64", "shape": [len(given)], "data": given}
        path = f"/v2/models/{load_settings().experiment}"
        inferred = api.post(f"{path}/infer", json={"inputs": [column]}).json()["outputs"]
        promised = api.get(path).json()["outputs"]
    predictions = answers.json()["predictions"]
    for one in predictions:
        likely = {
            name
            for name, share in one["probabilities"].items()
            if share >= manifest.conformal.least
        }
        assert set(one["set"]) == likely | {one["label"]}
        assert one["coverage"] == 0.9
    sets = [one["set"] for one in predictions]
    assert [len(one) for one in sets] == [1, 2, 1, 2, 1]
    assert [json.loads(one) for one in pl.read_csv(io.BytesIO(file.content))["set"]] == sets
    Path("in.csv").write_text(csv)
    predict_file(model, Path("in.csv"), Path("out.csv"))
    assert [json.loads(one) for one in pl.read_csv("out.csv")["set"]] == sets

    # MLflow's data frames have them as text, and the V2 protocol as a truth value of each class.
    frame = FramePredictor(model).predict(pd.DataFrame({"size": given}))
    assert [json.loads(one) for one in frame["set"]] == sets
    described = signature(BundlePredictor(model).contract, manifest).outputs
    assert described.input_names() == list(frame)
    assert [one["name"] for one in inferred] == [one["name"] for one in promised]
    inside = np.array(inferred[-1]["data"]).reshape(inferred[-1]["shape"])
    assert inferred[-1]["name"] == "set"
    assert [
        [name for name, within in zip(manifest.classes, row, strict=True) if within]
        for row in inside
    ] == sets
    assert "## Prediction sets" in Path(model, "MODEL_CARD.md").read_text()
