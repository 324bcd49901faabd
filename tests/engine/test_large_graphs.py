"""Graphs whose weights are too large for one file, as training writes them.

The limit of 2 GB is lowered to a few bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import mlflow
import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from onnx import helper

from coldstart.bundle._bundle import MODEL, verify_bundle
from coldstart.bundle._external import external_files
from coldstart.bundle._predictor import BundlePredictor
from coldstart.data._dataset import load
from coldstart.errors import UserError
from coldstart.tracking import _bundling as bundling
from engine.support import load_settings, main

DATA = f"{MODEL}.data"


def test_a_network_with_its_weights_beside_it_predicts_the_same(
    small_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    chosen = {"epochs": 40, "patience": 40, "hidden": [64, 64]}
    small_project(models=["neural"], neural=chosen, split={"cross_validate_below": 0})
    monkeypatch.setattr(bundling, "LARGEST_GRAPH", 1000)
    assert main(["train"]) == 0
    folder = Path("bundles/challenger")
    assert external_files(folder / MODEL) == {DATA}
    assert DATA in verify_bundle(folder).files
    assert (folder / DATA).stat().st_size > 64 * 64 * 4

    one_file = tmp_path / "one.onnx"
    onnx.save(onnx.load(folder / MODEL), one_file)
    predictor = BundlePredictor(folder)
    dataset = load(load_settings())
    features = dataset.features(dataset.test_rows)
    inputs = {name: getattr(features, name) for name in ("numbers", "strings")}
    inputs = {name: values for name, values in inputs.items() if values.size}
    expected = onnxruntime.InferenceSession(one_file).run(None, inputs)[0]
    assert np.ptp(expected) > 0
    np.testing.assert_array_equal(predictor.predict(features), expected)

    settings = load_settings()
    mlflow.set_tracking_uri(settings.tracking_uri)
    (run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    (logged,) = mlflow.search_logged_models(output_format="list")
    assert logged.source_run_id == run.info.run_id
    table = dataset.table[dataset.test_rows].select(list(dataset.contract.features))
    rows = pd.DataFrame(json.loads(table.write_json()))
    answers = mlflow.pyfunc.load_model(logged.model_uri).predict(rows)
    shares = answers.filter(like="probability ").to_numpy(np.float32)
    np.testing.assert_array_equal(shares, expected)
    loaded = mlflow.onnx.load_model(logged.model_uri)
    assert loaded == onnx.load(one_file)


def test_trees_that_are_too_large_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are attributes of a node, which ONNX cannot store elsewhere."""
    ensemble = helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml")
    ensemble.attribute.append(helper.make_attribute("nodes_values", [0.5] * 1000))
    model = helper.make_model(helper.make_graph([ensemble], "trees", [], []))
    bundling.save_graph(model, tmp_path / MODEL)
    monkeypatch.setattr(bundling, "LIMIT", 4000)
    with pytest.raises(UserError) as error:
        bundling.save_graph(model, tmp_path / MODEL)
    assert "larger than the 2 GB" in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    assert not (tmp_path / MODEL).exists()
