"""Prediction sets are logged by the API, and `make monitor` measures what they contain."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from fastapi.testclient import TestClient

from coldstart.bundle._bundle import verify_bundle
from coldstart.bundle._predictor import BundlePredictor
from coldstart.config._sections import PredictionLogSettings, ServingSettings
from coldstart.serve import open_app
from engine.monitor.answering import answer
from engine.monitor.champion import copy_champion, train_champion
from engine.support import PROJECT, main

COLUMNS = {
    "size": {"type": "number", "nullable": False},
    "kind": {"type": "category", "role": "target", "nullable": False},
}
SET = "__set__"  # column of the log
KINDS = ["s", "m, l", "é"]  # of which the log keeps the spelling


def goods(rows: int, seed: int) -> pl.DataFrame:
    """Make rows of three classes, in the order of size, with an overlap."""
    dice = np.random.default_rng(seed)
    sizes = dice.normal(size=rows)
    kinds = np.digitize(sizes + 0.5 * dice.normal(size=rows), [-0.4, 0.6])
    return pl.DataFrame({"size": sizes, "kind": np.array(KINDS)[kinds]})


@pytest.fixture(scope="module")
def trained_here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a champion of three classes."""
    folder = tmp_path_factory.mktemp("sets")
    goods(900, 0).write_csv(folder / "goods.csv")
    split = {"cross_validate_below": 0}
    config = {"data": {"table": "goods.csv"}, "models": ["linear"], "split": split}
    train_champion(folder, COLUMNS, config)
    return folder


@pytest.fixture
def answered(
    trained_here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[dict[str, Any]]:
    """Predictions of 300 rows, which the API has logged, beside their outcomes, known.csv."""
    copy_champion(trained_here, tmp_path)
    monkeypatch.chdir(tmp_path)
    return answer(goods(300, 1), ["size"])


@pytest.fixture
def found(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """`found(*arguments)`: what `monitor` prints."""

    def run(*arguments: str) -> str:
        capsys.readouterr()
        assert main(["monitor", *arguments]) == 0
        return capsys.readouterr().out

    return run


Found = Callable[..., str]
LINE = re.compile(
    r"(?P<share>[\d.]+)% of (?P<which>.*) are in their 90% prediction set "
    r"\(95% CI (?P<low>[\d.]+)% to (?P<high>[\d.]+)%\); a set has (?P<size>[\d.]+) classes "
    r"on average \((?P<tested>[\d.]+) on the test set\)"
)


def line(told: str) -> re.Match[str]:
    """Return the line on the sets."""
    match = LINE.search(told)
    assert match, told
    return match


def test_the_sets_that_were_answered_are_compared_with_the_outcomes(
    answered: list[dict[str, Any]], found: Found
) -> None:
    told = found("--outcomes", "known.csv")
    outcomes = pl.read_csv("known.csv")["kind"].to_list()
    inside = [kind in one["set"] for kind, one in zip(outcomes, answered, strict=True)]
    sizes = [len(one["set"]) for one in answered]
    said = line(told)
    assert said["which"] == "the outcomes"
    assert float(said["share"]) == pytest.approx(100 * np.mean(inside), abs=0.05)
    assert float(said["low"]) < 100 * np.mean(inside) < float(said["high"])
    assert float(said["size"]) == pytest.approx(np.mean(sizes), abs=0.005)
    coverage = verify_bundle(Path("bundles/champion")).metrics["coverage"]
    assert float(said["tested"]) == pytest.approx(coverage["size"], abs=0.005)
    assert "too small" not in told
    assert said[0] in Path("data/drift.html").read_text()
    kept = json.loads(Path("served/drift.json").read_text())["coverage"]
    assert kept["share"] == pytest.approx(np.mean(inside))
    assert kept["size"] == pytest.approx(np.mean(sizes))
    assert (kept["nominal"], kept["rows"]) == (0.9, 300)
    assert kept["interval"][0] < kept["share"] < kept["interval"][1]


def test_a_file_of_the_same_rows_has_the_same_coverage(
    answered: list[dict[str, Any]], found: Found
) -> None:
    goods(300, 1).write_csv("new.csv")
    assert line(found("--file", "new.csv"))[0] == line(found("--outcomes", "known.csv"))[0]


def test_sets_that_contain_too_few_outcomes_are_named(
    answered: list[dict[str, Any]], found: Found
) -> None:
    for path in Path("served").glob("*.parquet"):
        pl.read_parquet(path).with_columns(
            pl.concat_str(pl.lit('["'), pl.col("__label__"), pl.lit('"]')).alias(SET)
        ).write_parquet(path)
    told = found("--outcomes", "known.csv")
    assert line(told)["size"] == "1.00"
    assert "on the test set): the sets are too small for these rows" in told


def test_a_log_without_sets_is_read_and_counts_for_what_it_has(
    answered: list[dict[str, Any]], found: Found
) -> None:
    (path,) = Path("served").glob("*.parquet")
    whole = pl.read_parquet(path)
    whole[:100].drop(SET).write_parquet(path)
    told = found("--outcomes", "known.csv")
    assert "f1_macro on 100 known outcomes: 0." in told
    assert "prediction set" not in told
    assert "coverage" not in json.loads(Path("served/drift.json").read_text())
    whole[100:].write_parquet(path.with_name("20990101T000000.0-1.parquet"))
    told = found("--outcomes", "known.csv")
    assert "f1_macro on 300 known outcomes: 0." in told
    assert line(told)["which"] == "200 outcomes with a logged set"


def test_a_log_of_two_classes_or_of_a_number_has_no_sets(
    champion: Path, numeric: Callable[..., Path], tmp_path: Path
) -> None:
    price = numeric(tmp_path / "price", 2.0)
    row = {"grade": "A", "bruised": False, "weight": 120.0}
    for bundle in (champion, price):
        folder = tmp_path / f"log of {bundle.name}"
        log = ServingSettings(record=PredictionLogSettings(folder=folder))
        with TestClient(open_app(PROJECT, bundle, log)) as api:
            some = {name: row[name] for name in row if name in features(bundle)}
            assert api.post("/predict", json={"rows": [some]}).status_code == 200
        assert SET not in pl.read_parquet(folder / "*.parquet").columns


def features(bundle: Path) -> list[str]:
    """Return the columns that a bundle predicts from."""
    return list(BundlePredictor(bundle).contract.features)
