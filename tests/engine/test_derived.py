"""Derived columns: training, the API's JSON, CSV and Arrow, and `make predict` agree on them."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from fastapi.testclient import TestClient

from coldstart import Contract, Project, Settings
from coldstart.bundle import BundlePredictor
from coldstart.cli import main
from coldstart.config import ServingSettings
from coldstart.contract import _derived, register_derived
from coldstart.data import load, prepare
from coldstart.errors import UserError
from coldstart.serve import LiveModel, open_app
from engine.support import PROJECT

COLUMNS: dict[str, dict[str, Any]] = {
    "weight": {"type": "number"},
    "length": {"type": "number", "missing_values": ["-999"]},
    "shape": {"type": "category", "categories": ["round", "long"]},
    "ripe": {"type": "boolean", "role": "target", "nullable": False},
}
OWN = '''
"""Derived columns of a project."""

import numpy as np


def density(columns):
    """Weight for each unit of length; infinite where the length is 0."""
    return columns["weight"] / columns["length"]


def heavy_and_round(columns):
    """1 where a row is both."""
    return np.where(columns["shape"] == "round", columns["weight"] > 150, np.nan)


def of_another_table(columns):
    """A column that this table does not have."""
    return columns["height"] * 2


DERIVED = {"density": density, "heavy_and_round": heavy_and_round, "absent": of_another_table}
OTHERS = {"density": density}
MORE = {"size": lambda columns: columns["weight"] * columns["length"], **DERIVED}
FAILING = {"density": lambda columns: columns["weight"].reshape(-1, 7)}
'''


@pytest.fixture(scope="module", autouse=True)
def _registered_again() -> Iterator[None]:
    """Leave the derived columns of this process as they were."""
    before = dict(_derived._functions)
    yield
    register_derived(before)


def table(rows: int) -> pl.DataFrame:
    """Rows whose target depends on the ratio of two columns; some values are missing or 0."""
    dice = random.Random(1)
    made = []
    for number in range(rows):
        weight, length = dice.uniform(50, 250), float(dice.randint(0, 20))
        ripe = weight / max(length, 1) + dice.gauss(0, 2) > 15
        made.append(
            {
                "weight": None if number % 11 == 0 else weight,
                "length": None if number % 13 == 0 else length,
                "shape": dice.choice(["round", "long", None]),
                "ripe": ripe,
            }
        )
    return pl.DataFrame(made)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project with derived columns of its own, after `make train`. Tests must not change it."""
    at = tmp_path_factory.mktemp("derived")
    (at / "own_features.py").write_text(OWN)
    table(1500).write_csv(at / "table.csv")
    (at / "schema.yaml").write_text(yaml.safe_dump({"columns": COLUMNS}, sort_keys=False))
    config = {"data": {"table": "table.csv"}, "models": ["linear"]}
    config["split"] = {"cross_validate_below": 0}
    (at / "config.yaml").write_text(yaml.safe_dump(config))
    sys.path.insert(0, str(at))
    with contextlib.chdir(at), pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{at}/mlflow.db")
        assert main(project("DERIVED"), ["train"]) == 0
        yield at
    sys.path.remove(str(at))


def project(name: str) -> Project:
    """The project whose derived columns have this name."""
    return dataclasses.replace(PROJECT, derived=f"own_features:{name}")


@pytest.fixture
def bundle(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Its champion, in its folder."""
    monkeypatch.chdir(folder)
    register_derived(project("DERIVED").load("derived"))
    return folder / "bundles" / "champion"


def test_a_derived_column_is_part_of_the_model(bundle: Path) -> None:
    predictor = BundlePredictor(bundle)
    assert predictor.manifest.derived == ["density", "heavy_and_round"]
    columns = predictor.contract.encoded_columns()
    encoded = predictor.contract.encode(
        {"weight": [100, 100, None], "length": [4, 0, 1], "shape": ["round", "long", None]}
    )
    density = encoded.numbers[:, columns.index("density")]
    assert density[0] == 25
    assert np.isnan(density[1:]).all()  # not finite, or missing
    assert encoded.numbers[0, columns.index("heavy_and_round")] == 0


def test_training_json_csv_arrow_and_files_agree_on_derived_columns(
    bundle: Path, tmp_path: Path
) -> None:
    settings = Settings.load(project("DERIVED"))
    dataset = load(settings)
    numbers = dataset.test_rows
    predictor = BundlePredictor(bundle)
    expected = predictor.predict(dataset.features(numbers))[:, 1]
    assert len(set(expected.tolist())) > 100

    rows = dataset.table[numbers].select("weight", "length", "shape")
    with TestClient(open_app(project("DERIVED"), bundle, ServingSettings())) as api:
        answer = api.post("/predict", json={"rows": rows.to_dicts()})
        assert answer.status_code == 200, answer.text
        found = {
            "JSON": [one["probabilities"]["true"] for one in answer.json()["predictions"]],
            "CSV": streamed(api, rows, "text/csv"),
            "Arrow": streamed(api, rows, "application/vnd.apache.arrow.stream"),
        }
    file, out = tmp_path / "rows.csv", tmp_path / "predicted.parquet"
    rows.write_csv(file)
    command = ["predict", "--file", str(file), "--out", str(out)]
    assert main(project("DERIVED"), command) == 0
    found["make predict"] = pl.read_parquet(out)["probability true"].to_list()
    for way, shares in found.items():
        np.testing.assert_array_equal(np.float32(shares), expected, err_msg=way)


def streamed(api: TestClient, rows: pl.DataFrame, kind: str) -> list[float]:
    """Send a file, and return the probabilities in its response."""
    file = io.BytesIO()
    rows.write_csv(file) if kind == "text/csv" else rows.write_ipc_stream(file)
    answer = api.post("/predict", content=file.getvalue(), headers={"Content-Type": kind})
    assert answer.status_code == 200, answer.text
    read = pl.read_csv if kind == "text/csv" else pl.read_ipc_stream
    return read(answer.content)["probability true"].to_list()


def test_a_bundle_whose_derived_column_is_missing_is_refused_in_one_line(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = (
        "was trained with derived columns that features.py lacks now ({}); put them back, or run: "
        "make train, then make promote"
    )
    with pytest.raises(UserError):
        open_app(project("OTHERS"), bundle, ServingSettings())
    for command in (["predict"], ["serve"]):
        capsys.readouterr()
        assert main(project("OTHERS"), command) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line == f"error: bundles/champion {expected.format('heavy_and_round')}"
    register_derived({})
    with pytest.raises(UserError) as refused:
        BundlePredictor(bundle)
    assert str(refused.value) == f"{bundle} {expected.format('density, heavy_and_round')}"


def test_a_champion_predicts_as_before_when_a_derived_column_is_added(bundle: Path) -> None:
    columns = {"weight": [100, 120], "length": [4, 5], "shape": ["round", "long"]}
    old = BundlePredictor(bundle)
    expected = old.predict(old.contract.encode(columns))
    register_derived(project("MORE").load("derived"))
    grown = BundlePredictor(bundle)
    np.testing.assert_array_equal(grown.predict(grown.contract.encode(columns)), expected)
    now = Contract.load(bundle / "schema.yaml").derived
    assert list(now) == ["size", "density", "heavy_and_round"]


def test_challenger_and_champion_of_different_derived_columns_are_compared(
    bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    copy = shutil.copytree(bundle.parents[1], tmp_path / "copy")
    monkeypatch.chdir(copy)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{copy}/mlflow.db")
    assert main(project("MORE"), ["train"]) == 0
    capsys.readouterr()
    assert main(project("MORE"), ["promote", "--version", "2"]) in (0, 2)
    said = "".join(capsys.readouterr())
    assert "compared with the champion" in said
    assert "derived" not in said


def test_a_derived_column_that_is_left_out_is_printed(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    register_derived({"rush": lambda given: given["wieght"], "load": lambda given: given["axles"]})
    prepare(Settings.load(project("DERIVED")))
    said = capsys.readouterr().out.splitlines()
    assert "derived column rush is left out: no feature is named 'wieght'; is it 'weight'?" in said
    assert (
        "derived column load is left out: no feature is named 'axles'; if these data have none, "
        "remove load from DERIVED in features.py"
    ) in said


def test_a_new_bundle_of_other_derived_columns_does_not_replace_the_one_that_serves(
    bundle: Path, tmp_path: Path
) -> None:
    model = LiveModel(bundle)
    register_derived(project("OTHERS").load("derived"))
    model.reload()
    assert "derived columns that features.py lacks now (heavy_and_round)" in model.refused
    assert model.version == "1"


def test_a_derived_column_that_fails_is_named(bundle: Path) -> None:
    register_derived(project("FAILING").load("derived"))
    with pytest.raises(UserError, match=r"^features.py: the derived column density failed: "):
        BundlePredictor(bundle)
