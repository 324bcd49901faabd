"""The project's README: its code for a feature and for model types, run as it stands there."""

from __future__ import annotations

import importlib
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import pytest
from fastapi.testclient import TestClient

from coldstart import Project
from coldstart.batch import predict_file
from coldstart.config import ServingSettings
from coldstart.contract import Contract, register_derived
from coldstart.data import prepare
from coldstart.export import check_parity
from coldstart.serve import open_app
from engine.support import ENGINE, TEMPLATE, load_settings
from engine.test_models import FAMILIES, TARGETS, bundled, fit, problem

README = (TEMPLATE / "README.md").read_text(encoding="utf-8")
CHANGED = "changed_project"


def code_of(section: str) -> str:
    """Return the Python code below a heading of the README."""
    text = README.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    (block,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    found: str = block
    return found


@pytest.fixture
def changed(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """Copy the project's package, to change it as the README says."""
    folder = tmp_path_factory.mktemp("source")
    shutil.copytree(TEMPLATE / "src" / "{{cookiecutter.__package}}", folder / CHANGED)
    monkeypatch.syspath_prepend(folder)
    yield folder / CHANGED
    for name in [name for name in sys.modules if name.partition(".")[0] == CHANGED]:
        del sys.modules[name]


def append(module: Path, code: str) -> ModuleType:
    """Append code to a module of the changed package, and import it."""
    module.write_text(f"{module.read_text(encoding='utf-8')}\n\n{code}", encoding="utf-8")
    return importlib.import_module(f"{CHANGED}.{module.stem}")


@pytest.mark.parametrize("task", TARGETS)
@pytest.mark.parametrize("family", ["extra_trees", "lightgbm"])
def test_a_model_type_from_the_readme_is_exported_faithfully(
    changed: Path, tmp_path: Path, family: str, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = append(changed / "models.py", code_of("Add a model type"))
    contract, rows, answer = problem(task)
    monkeypatch.setitem(FAMILIES, family, models.FAMILIES[family])
    model = fit(family, contract, rows[:1000], answer[:1000], tmp_path)
    classes = 0 if task == "regression" else len(np.unique(answer))
    predictor = bundled(model, contract, rows, classes, tmp_path)
    assert check_parity(model, predictor, rows[1000:]) < 1e-4


def test_xgboost_needs_only_other_names(
    changed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = code_of("Add a model type").replace("LGBM", "XGB").replace("lightgbm", "xgboost")
    models = append(changed / "models.py", code.replace(", verbose=-1", ""))
    contract, rows, answer = problem("two classes")
    monkeypatch.setitem(FAMILIES, "xgboost", models.FAMILIES["xgboost"])
    model = fit("xgboost", contract, rows[:1000], answer[:1000], tmp_path)
    predictor = bundled(model, contract, rows, 2, tmp_path)
    assert check_parity(model, predictor, rows[1000:]) < 1e-4


def test_a_feature_from_the_readme_is_the_same_in_training_batch_and_api(
    changed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = append(changed / "features.py", code_of("Add a feature"))
    dice = np.random.default_rng(0)
    debt, income = dice.uniform(0, 100, 400), dice.uniform(10, 100, 400)
    table = pl.DataFrame({"debt": debt, "income": income, "paid": debt / income < 0.8})
    table.write_csv(tmp_path / "loans.csv")
    (tmp_path / "schema.yaml").write_text(
        "columns:\n  debt: {type: number}\n  income: {type: number}\n"
        "  paid: {type: boolean, role: target, nullable: false}\n"
    )
    (tmp_path / "config.yaml").write_text("data: {table: loans.csv}\nmodels: [tree]\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    project = importlib.import_module(f"{CHANGED}.__main__").PROJECT
    assert isinstance(project, Project)
    try:
        register_derived(features.DERIVED)
        dataset = prepare(load_settings())
        column = dataset.contract.encoded_columns().index("debt_ratio")
        trained = dataset.encoded.numbers[:, column]
        np.testing.assert_allclose(trained, np.float32(debt / income), rtol=1e-6)

        importlib.import_module(f"{CHANGED}.train").train(load_settings().for_project(project))
        folder = tmp_path / "bundles" / "challenger"
        rows = table.drop("paid")[:50]
        rows.write_csv("in.csv")
        predict_file(folder, Path("in.csv"), Path("out.csv"))
        batch = pl.read_csv("out.csv")["probability true"].to_numpy()
        with TestClient(open_app(project, folder, ServingSettings())) as api:
            response = api.post("/predict", json={"rows": rows.to_dicts()}).json()
        served = [one["probabilities"]["true"] for one in response["predictions"]]
        np.testing.assert_allclose(served, batch, atol=1e-6)
        assert Contract.load(folder / "schema.yaml").derived.keys() == {"debt_ratio"}
    finally:
        register_derived({})


def test_the_readme_names_the_engines_version_and_stays_short() -> None:
    about = tomllib.loads((ENGINE / "pyproject.toml").read_text(encoding="utf-8"))
    assert f"(vendor/coldstart/README.md) {about['project']['version']};" in README
    own = re.sub(r"(<!-- report: \w+ -->\n).*?(?=<!-- end)", r"\1", README, flags=re.DOTALL)
    assert len(own.splitlines()) <= 100
