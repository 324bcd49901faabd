"""What is true of the demo's data and its models. Write your own claims beside it.

Skipped once config.yaml names other data.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from coldstart.bundle._predictor import BundlePredictor
from coldstart.data._dataset import EXAMPLES, PART
from engine.support import TEMPLATE


@pytest.fixture(scope="module")
def champion(trained: Path) -> BundlePredictor:
    """The champion of the real training."""
    return BundlePredictor(trained / "bundles" / "champion")


@pytest.fixture(scope="module")
def disrupted(trained: Path, champion: BundlePredictor) -> Callable[..., np.ndarray]:
    """`disrupted(phase=, height=, ...)`: probabilities of the test rows, with values replaced."""
    table = pl.read_parquet(trained / EXAMPLES).filter(pl.col(PART.format(0)) == 2)

    def probabilities(only: pl.Expr | None = None, **changed: Any) -> np.ndarray:
        rows = table if only is None else table.filter(only)
        columns = {name: rows[name].to_list() for name in champion.contract.features}
        columns |= {name: [value] * len(rows) for name, value in changed.items()}
        return champion.predict(champion.contract.encode(columns))[:, 1]

    return probabilities


def test_the_models_are_as_good_as_this_data_allows(trained: Path) -> None:
    metrics = json.loads((trained / "bundles/champion/bundle.json").read_text())["metrics"]
    assert metrics["test"]["roc_auc"] > 0.84
    assert metrics["test"]["average_precision"] > 0.44
    assert metrics["baseline"]["roc_auc"] == 0.5
    assert metrics["baseline"]["average_precision"] == pytest.approx(0.1186, abs=1e-4)


def test_more_birds_make_a_disruption_more_likely(disrupted: Callable[..., np.ndarray]) -> None:
    one, some, many = (disrupted(birds_struck=n) for n in ("1", "2-10", "11-100"))
    assert (some >= one).mean() > 0.8
    assert (many >= some).mean() > 0.8
    assert one.mean() < some.mean() < many.mean()


def test_in_the_climb_a_higher_strike_is_more_likely_to_disrupt(
    disrupted: Callable[..., np.ndarray],
) -> None:
    climbing = pl.col("phase_of_flt") == "Climb"
    low, high = (disrupted(climbing, height=feet) for feet in (50.0, 1000.0))
    assert (high >= low).mean() > 0.8


def test_a_large_bird_disrupts_more_than_a_small_one(disrupted: Callable[..., np.ndarray]) -> None:
    small, large = (disrupted(species=f"UNKNOWN BIRD - {size}") for size in ("SMALL", "LARGE"))
    assert (large > small).all()


def test_the_rows_are_split_at_the_chosen_years(trained: Path) -> None:
    parts = pl.read_parquet(trained / EXAMPLES)[PART.format(0)]
    counts = [(parts == number).sum() for number in range(4)]
    assert counts == [10273, 2500, 5285, 1244]


def test_what_the_contract_leaves_out_does_not_reach_the_model(champion: BundlePredictor) -> None:
    assert {"remarks", "strike_id", "date", "effect", "operator"}.isdisjoint(
        champion.contract.features
    )
    assert champion.contract.columns["remarks"].reason


def test_a_model_that_reads_the_remarks_stops_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: Callable[..., str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    for name in ("config.yaml", "schema.yaml"):
        shutil.copy(TEMPLATE / name, tmp_path)
    shutil.copytree(TEMPLATE / "data" / "raw", tmp_path / "data" / "raw")
    contract = yaml.safe_load((tmp_path / "schema.yaml").read_text())
    contract["columns"]["remarks"] = {"type": "text"}
    (tmp_path / "schema.yaml").write_text(yaml.safe_dump(contract, sort_keys=False))

    assert "too good to be true" in refusal("train", "--models", "linear")

    assert not (tmp_path / "bundles" / "challenger").exists()


def test_the_tail_drifts_and_rows_like_those_fitted_on_do_not(
    trained: Path,
    tmp_path: Path,
    run_command: Callable[..., subprocess.CompletedProcess[str]],
    served: Callable[..., Any],
) -> None:
    for name in ("bundles", "data", "config.yaml", "schema.yaml"):
        (shutil.copytree if (trained / name).is_dir() else shutil.copy)(
            trained / name, tmp_path / name
        )
    table = pl.read_parquet(trained / EXAMPLES)
    tail = table.filter(pl.col(PART.format(0)) == 3)
    rows = tail.select(list(BundlePredictor(tmp_path / "bundles" / "champion").contract.features))
    known = []
    with served(tmp_path, "--serving.record.folder", "served") as client:
        for number, some in enumerate(rows.iter_slices(100)):
            name = {"X-Request-Id": f"tail-{number}"}
            client.post("/predict", json={"rows": some.to_dicts()}, headers=name).raise_for_status()
            known += [(f"tail-{number}", row) for row in range(len(some))]
    pl.DataFrame(known, ["request", "row"], orient="row").with_columns(
        # In the file, the effect is a word, and "None" the one that means no disruption.
        effect=pl.when(tail["effect"]).then(pl.lit("Aborted Take-off")).otherwise(pl.lit("None"))
    ).write_csv(tmp_path / "known.csv")

    done = run_command(tmp_path, "monitor", "--outcomes", "known.csv")
    assert done.returncode == 1, done.stderr
    assert "drift: 9 of 13 columns have drifted" in done.stdout
    assert "1,244 of 1,244 predictions have a known outcome" in done.stdout
    found = json.loads((tmp_path / "served" / "drift.json").read_text())
    assert found["prediction"] < 0.1  # the reports tell less; the answers are as they were
    assert max(found["columns"].values()) > 0.2
    lines = {line.split()[0]: line.split() for line in done.stdout.splitlines() if "%" in line}
    for name in ("height", "speed", "atype", "ac_mass", "phase_of_flt"):
        before, _, after = lines[name][-4:-1]
        assert int(after.strip("%")) > int(before.strip("%")) + 8  # are missing more often

    alone = run_command(tmp_path, "monitor", "--part", "out_of_time")
    assert alone.returncode == 1
    assert "drift: 9 of 13 columns have drifted" in alone.stdout

    fitted = table.filter(pl.col(PART.format(0)) < 2).sample(1244, seed=0)
    fitted.select(rows.columns).write_parquet(tmp_path / "fitted.parquet")
    done = run_command(tmp_path, "monitor", "--file", "fitted.parquet")
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-2] == "no drift"
