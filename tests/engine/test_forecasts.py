"""Forecasts: changes are learned, several steps are forecast recursively, and each is evaluated."""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from coldstart.batch import predict_file
from coldstart.bundle._predictor import BundlePredictor
from coldstart.contract._contract import Contract
from coldstart.data import load
from coldstart.errors import UserError
from coldstart.report._results import newest_versions, results
from coldstart.tracking import connect
from coldstart.train._forecasts import LagReference
from engine.support import load_settings, main

COLUMNS: dict[str, Any] = {
    "month": {"type": "date", "role": "time", "calendar": True},
    "sales": {"type": "number", "role": "target", "season": 12},
    "sales 1 month before": {"type": "number", "lag_of": "sales", "steps": 1},
    "sales 12 months before": {"type": "number", "lag_of": "sales", "steps": 12},
}


def sales(growth: float, months: int = 180) -> np.ndarray:
    """Sales that grow by a share each year, with a season."""
    at = np.arange(months)
    noise = np.random.default_rng(0).normal(scale=0.02, size=months)
    return np.asarray(100 * (1 + growth) ** (at / 12) * (1.3 + np.sin(at * np.pi / 6) + noise))


def table(values: np.ndarray) -> str:
    """A row a month."""
    months = [f"{2000 + i // 12}-{i % 12 + 1:02}-01" for i in range(len(values))]
    rows = [f"{month},{value:.3f}" for month, value in zip(months, values, strict=True)]
    return "\n".join(["month,sales", *rows]) + "\n"


@pytest.mark.parametrize("family", ["forest", "linear", "boosting"])
def test_a_series_that_rises_is_forecast_beyond_what_was_seen(
    small_project: Callable[..., Path],
    capfd: pytest.CaptureFixture[str],
    family: str,
) -> None:
    small_project(columns=COLUMNS, table=table(sales(0.3)), models=[family])
    assert main(["train"]) == 0  # the graph agrees, or it is refused
    assert "onnxruntime" not in capfd.readouterr().err  # it finds nothing to remove
    predictor = BundlePredictor(Path("bundles/challenger"))
    test, naive = (predictor.manifest.metrics[one]["r2"] for one in ("test", "naive"))
    assert test > naive
    later = 10 * sales(0.3)  # ten times of anything that was seen, and growing as before
    answers = predictor.score(
        [
            {"month": None, "sales 1 month before": later[i - 1],
             "sales 12 months before": later[i - 12]}
            for i in range(168, 180)
        ]
    )  # fmt: skip
    found = np.array([answer["value"] for answer in answers])
    assert np.all(np.abs(np.log(found / later[168:])) < 0.7)


def past(values: np.ndarray, lags: tuple[int, ...] = (1, 12)) -> LagReference | None:
    """How a series is computed from its past."""
    contract = Contract.model_validate({"columns": COLUMNS})
    frame = pl.DataFrame({"sales": values})
    shifted = {f"lag {lag}": frame["sales"].shift(lag).to_list() for lag in lags}
    names = list(contract.lags)
    columns = {"month": [None] * len(values), **dict(zip(names, shifted.values(), strict=True))}
    numbers = contract.encode(columns).numbers[12:]
    return LagReference.of(contract, numbers, values[12:])


def test_shares_are_learned_where_changes_grow_with_the_level() -> None:
    found = past(sales(0.3))
    assert found is not None
    assert found.ratio


def test_differences_are_learned_where_they_do_not() -> None:
    walk = np.cumsum(np.random.default_rng(1).normal(size=200))
    found = past(walk)
    assert found is not None
    assert not found.ratio


def test_a_forecast_by_differences_leaves_nothing_unused_in_its_graph(
    small_project: Callable[..., Path],
    capfd: pytest.CaptureFixture[str],
) -> None:
    walk = 1000 + np.cumsum(np.random.default_rng(1).normal(size=180))
    small_project(columns=COLUMNS, table=table(walk), models=["linear"])
    assert main(["train"]) == 0
    assert "onnxruntime" not in capfd.readouterr().err


def test_what_has_no_memory_is_learned_as_it_is() -> None:
    assert past(np.random.default_rng(2).normal(size=200)) is None


def rising(months: int) -> np.ndarray:
    """Sales with a trend and a season."""
    at = np.arange(months)
    noise = np.random.default_rng(0).normal(scale=15, size=months)
    return np.asarray(500 + 5 * at + 100 * np.sin(at * np.pi / 6) + noise)


@pytest.fixture(scope="module")
def monthly(
    tmp_path_factory: pytest.TempPathFactory, write_project: Callable[..., Path]
) -> tuple[Path, str]:
    """A project that was trained on 240 months, and what the training printed."""
    folder = tmp_path_factory.mktemp("monthly")
    write_project(folder, columns=COLUMNS, table=table(rising(240)), models=["linear"])
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        assert main(["train"]) == 0
    return folder / "bundles" / "champion", said.getvalue()


def forecast_file(folder: Path, bundle: Path, lines: list[str]) -> pl.Series:
    """Predict rows, of which each is a month and its sales, and return the values."""
    (folder / "in.csv").write_text("\n".join(["month,sales", *lines]) + "\n")
    predict_file(bundle, folder / "in.csv", folder / "out.csv")
    return pl.read_csv(folder / "out.csv")["value"]


def with_future(steps: int, known: int = 240) -> list[str]:
    """Known months, and months to forecast."""
    lines = table(rising(known + steps)).splitlines()[1:]
    return [*lines[:known], *(line.partition(",")[0] + "," for line in lines[known:])]


def test_a_year_is_forecast_better_than_by_the_year_before(
    monthly: tuple[Path, str], tmp_path: Path
) -> None:
    found = forecast_file(tmp_path, monthly[0], with_future(12)).to_numpy()
    true = rising(252)[240:]
    errors = [np.sqrt(np.mean((one - true)[1:] ** 2)) for one in (found[240:], rising(240)[228:])]
    assert errors[0] < 0.5 * errors[1]


def test_each_step_is_what_the_api_predicts_from_the_steps_before(
    monthly: tuple[Path, str], tmp_path: Path
) -> None:
    found = forecast_file(tmp_path, monthly[0], with_future(12))
    assert found.is_null().to_list() == [True] * 12 + [False] * 240
    predictor, values = BundlePredictor(monthly[0]), rising(240).round(3).tolist()
    for month in range(240, 252):
        row = {"month": dt.date(2000 + month // 12, month % 12 + 1, 1)}
        row |= {name: values[-lag] for name, lag in predictor.contract.target_lags.items()}
        values.append(predictor.score([row])[0]["value"])
    np.testing.assert_allclose(found[240:].to_numpy(), values[240:], rtol=1e-5)


def test_the_order_of_a_file_changes_no_forecast(monthly: tuple[Path, str], tmp_path: Path) -> None:
    lines = with_future(12)
    order = np.random.default_rng(0).permutation(len(lines))
    expected = forecast_file(tmp_path, monthly[0], lines)
    found = forecast_file(tmp_path, monthly[0], [lines[i] for i in order])
    np.testing.assert_allclose(found.to_numpy(), expected.to_numpy()[order], rtol=1e-6)


def test_training_reports_the_error_of_each_step_beside_the_naive_forecasts(
    monthly: tuple[Path, str],
) -> None:
    bundle, said = monthly
    manifest = BundlePredictor(bundle).manifest
    lines = manifest.metrics["horizon"]
    assert [line["step"] for line in lines] == list(range(1, 13))
    assert manifest.horizon == 12
    assert lines[0]["rmse"] == pytest.approx(manifest.metrics["test"]["rmse"])
    assert all(line["rmse"] < line["seasonal_naive"] for line in lines)
    assert lines[11]["naive"] == lines[11]["seasonal_naive"]  # a season before step 12
    assert "horizon: make predict forecasts up to 12 step(s)" in said
    assert "## Forecast horizon" in (bundle / "MODEL_CARD.md").read_text()


def test_the_results_and_the_run_hold_the_errors_by_step(
    monthly: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = monthly[0].parents[1]
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    settings = load_settings()
    client, data = connect(settings), load(settings)
    said = results(newest_versions(client, settings, data, "1"), "1", len(data.test_rows))
    assert "| RMSE at step | 1 | 2 | 3 | 6 | 12 |" in said
    run = client.get_run(client.get_model_version(settings.experiment, "1").run_id)
    last = BundlePredictor(monthly[0]).manifest.metrics["horizon"][-1]
    assert run.data.metrics["horizon"] == last["step"] == 12
    assert run.data.metrics["horizon_rmse"] == pytest.approx(last["rmse"])


REFUSED = {
    "a step too far": (with_future(13), "2021-01-01 .* step 13 after .* 12 step"),
    "a month is missing": (with_future(3)[:240] + with_future(3)[242:], "rows are missing between"),
    "a month twice": ([*with_future(2), with_future(2)[-1]], "the row before it has the same time"),
    "no earlier rows": (with_future(3, known=0), "no row before it has a value of sales"),
    "few earlier rows": (with_future(3, known=11), "11 rows come before .* its lags need 12"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_rows_that_cannot_be_forecast_are_refused(
    monthly: tuple[Path, str], tmp_path: Path, case: str
) -> None:
    lines, complaint = REFUSED[case]
    with pytest.raises(UserError, match=complaint) as caught:
        forecast_file(tmp_path, monthly[0], lines)
    assert str(caught.value).startswith(f"{tmp_path / 'in.csv'}: month 20")
    assert not (tmp_path / "out.csv").exists()


def test_lags_that_are_given_are_used_and_one_of_them_is_needed(
    monthly: tuple[Path, str], tmp_path: Path
) -> None:
    head = "month,sales 1 month before,sales 12 months before\n"
    (tmp_path / "in.csv").write_text(f"{head}2020-01-01,1700,1650\n2020-01-01,,1650\n")
    predict_file(monthly[0], tmp_path / "in.csv", tmp_path / "out.csv")
    both, one = pl.read_csv(tmp_path / "out.csv")["value"]
    assert 1600 < both < 1800
    assert 1500 < one < 1800  # from the other lag, and not from the median of all years
    (tmp_path / "in.csv").write_text(f"{head}2020-01-01,1700,1650\n2020-01-01,,\n")
    with pytest.raises(UserError, match="row 2 has no value of sales 1 month before, sales 12"):
        predict_file(monthly[0], tmp_path / "in.csv", tmp_path / "out.csv")


@pytest.mark.parametrize("content", ["application/json", "text/csv"])
def test_the_api_refuses_a_row_without_any_lag(
    monthly: tuple[Path, str], served: Callable[..., Any], content: str
) -> None:
    names = ["month", *BundlePredictor(monthly[0]).contract.target_lags]
    with served(monthly[0].parents[1]) as client:
        for values, status in (
            (["2020-01-01", 1700, None], 200),
            (["2020-01-01", None, None], 422),
        ):
            row = dict(zip(names, values, strict=True))
            cells = ",".join("" if value is None else str(value) for value in values)
            body = {
                "application/json": json.dumps({"rows": [row]}),
                "text/csv": f"{','.join(names)}\n{cells}\n",
            }[content]
            response = client.post("/predict", content=body, headers={"Content-Type": content})
            assert response.status_code == status, response.text
            if status == 422:
                assert "at least one of sales 1 month before, sales 12 months" in response.text
        row = dict(zip(names, ["2020-01-01", 1700, None], strict=True))
        assert client.post("/page/explain", json=row).status_code == 200
        row = dict.fromkeys(names)
        assert client.post("/page/explain", json=row).status_code == 422
