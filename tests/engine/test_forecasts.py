"""Forecasts: the change against an earlier value is learned, in the pipeline and in the graph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from coldstart.bundle._predictor import BundlePredictor
from coldstart.contract._contract import Contract
from coldstart.train._forecasts import LagReference
from engine.support import main

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
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    family: str,
) -> None:
    folder = small_project(columns=COLUMNS, table=table(sales(0.3)), models=[family])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
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
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    walk = 1000 + np.cumsum(np.random.default_rng(1).normal(size=180))
    folder = small_project(columns=COLUMNS, table=table(walk), models=["linear"])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    assert main(["train"]) == 0
    assert "onnxruntime" not in capfd.readouterr().err


def test_what_has_no_memory_is_learned_as_it_is() -> None:
    assert past(np.random.default_rng(2).normal(size=200)) is None
