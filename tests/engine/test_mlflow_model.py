"""A logged model takes rows as schema.yaml describes them, by MLflow's own tools."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import mlflow
import numpy as np
import pandas as pd
import pytest
from fastapi.testclient import TestClient
from mlflow.exceptions import MlflowException

from coldstart.data._dataset import load
from coldstart.serve import create_app
from engine.support import PROJECT, load_settings, main


@pytest.fixture(scope="module")
def rows(trained: Path) -> list[dict[str, Any]]:
    """All test rows of the demo's project, whose model has a derived column."""
    with contextlib.chdir(trained):
        dataset = load(load_settings())
    table = dataset.table[dataset.test_rows].select(list(dataset.contract.features))
    found: list[dict[str, Any]] = json.loads(table.write_json())
    return found


@pytest.fixture(scope="module")
def bundle(trained: Path) -> Path:
    """The challenger, with MLflow's files beside the bundle's, as `make pull` copies them."""
    return trained / "bundles" / "challenger"


def shares(answers: pd.DataFrame) -> np.ndarray:
    """Probabilities of a model's answers."""
    return answers.filter(like="probability ").to_numpy(np.float32)


@pytest.fixture(scope="module")
def expected(bundle: Path, rows: list[dict[str, Any]]) -> tuple[list[str], np.ndarray]:
    """Labels and probabilities that the API answers."""
    with TestClient(create_app(PROJECT, bundle)) as api:
        answer = api.post("/predict", json={"rows": rows})
    assert answer.status_code == 200, answer.text
    predictions = answer.json()["predictions"]
    return (
        [one["label"] for one in predictions],
        np.float32([list(one["probabilities"].values()) for one in predictions]),
    )


def test_a_data_frame_gets_the_answers_of_the_api(
    bundle: Path, rows: list[dict[str, Any]], expected: tuple[list[str], np.ndarray]
) -> None:
    """With more columns than features, in any order, whole numbers and values that are missing."""
    model = mlflow.pyfunc.load_model(str(bundle))
    answers = model.predict(pd.DataFrame(rows).iloc[:, ::-1].assign(unknown=1))
    assert answers["label"].tolist() == expected[0]
    np.testing.assert_array_equal(shares(answers), expected[1])


def test_the_signature_names_the_features(bundle: Path, rows: list[dict[str, Any]]) -> None:
    model = mlflow.pyfunc.load_model(str(bundle))
    assert model.metadata.signature.inputs.input_names() == list(rows[0])
    example = model.input_example
    assert model.predict(example).columns[0] == "label"


def test_dates_may_be_text_and_a_refused_value_is_named(
    small_project: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    small_project()
    assert main(["train"]) == 0
    model = mlflow.pyfunc.load_model("bundles/challenger")
    good = {"grade": ["A", "B"], "bruised": [False, True], "weight": [100, 120]}
    days = pd.DataFrame(good | {"picked": pd.to_datetime(["2024-06-30", None])}, index=["a", "b"])
    texts = pd.DataFrame(good | {"picked": ["2024-06-30", None]}, index=["a", "b"])
    pd.testing.assert_frame_equal(model.predict(days), model.predict(texts))
    assert model.predict(days).index.tolist() == ["a", "b"]
    for wrong, told in (
        ({"grade": ["A", "C"]}, "grade, row 1"),
        ({"bruised": [True, None]}, "bruised, row 1"),
        ({"weight": [100, -1.0]}, "weight, row 1"),
        ({"weight": ["heavy", None]}, "weight, row 0"),
        ({"picked": pd.to_datetime(["2024-06-30T00:00", "2024-06-30T12:00"])}, "picked, row 1"),
    ):
        with pytest.raises(MlflowException, match=told):
            model.predict(pd.DataFrame(good | wrong))
    with pytest.raises(MlflowException, match="grade"):
        model.predict(pd.DataFrame(good).drop(columns="grade"))
    none = model.predict(pd.DataFrame(good).head(0))
    assert (list(none), len(none)) == (list(model.predict(pd.DataFrame(good))), 0)


def test_the_model_loads_where_neither_engine_nor_project_is_installed(
    bundle: Path, rows: list[dict[str, Any]], expected: tuple[list[str], np.ndarray], tmp_path: Path
) -> None:
    """With a derived column, and without any of the libraries that train."""
    shutil.copytree(bundle, tmp_path / "model")
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    program = (
        "import sys\n"
        "blocked = ['torch', 'sklearn', 'polars', 'onnx']\n"
        "sys.modules |= dict.fromkeys(blocked)\n"
        "sys.path = [one for one in sys.path if 'vendor' not in one]\n"
        "import mlflow, pandas\n"
        "model = mlflow.pyfunc.load_model('model')\n"
        "import coldstart\n"
        "assert coldstart.__file__.startswith(sys.argv[1]), coldstart.__file__\n"
        "rows = pandas.read_json('rows.json', dtype=False, convert_dates=False)\n"
        "model.predict(rows).to_json('answers.json', double_precision=15)\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], cwd=tmp_path, env=environment, check=True
    )
    answers = pd.read_json(tmp_path / "answers.json")
    np.testing.assert_allclose(shares(answers), expected[1], atol=1e-7)


@contextlib.contextmanager
def mlflow_serves(model: Path) -> Iterator[httpx2.Client]:
    """Run `mlflow models serve` for a model, and end it afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    line = ["models", "serve", "--model-uri", str(model), "--env-manager", "local"]
    line += ["--host", "127.0.0.1", "--port", port]
    command = [sys.executable, "-m", "mlflow", *line]
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": programs}  # as in an activated environment
    with (
        subprocess.Popen(command, start_new_session=True, env=environment) as process,
        httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client,
    ):
        try:
            while process.poll() is None:
                with contextlib.suppress(httpx2.TransportError):
                    client.get("/ping")
                    break
                time.sleep(0.2)
            yield client
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 15)


def test_mlflow_serves_the_model(
    bundle: Path, rows: list[dict[str, Any]], expected: tuple[list[str], np.ndarray]
) -> None:
    columns = list(rows[0])
    split = {"columns": columns, "data": [list(row.values()) for row in rows]}
    with mlflow_serves(bundle) as client:
        answer = client.post("/invocations", json={"dataframe_split": split})
        refused = client.post(
            "/invocations", json={"dataframe_split": {"columns": ["nothing"], "data": [[1]]}}
        )
        wrong = [rows[0] | {"speed": "fast"}]
        explained = client.post("/invocations", json={"dataframe_records": wrong})
    assert answer.status_code == 200, answer.text
    answers = pd.DataFrame(answer.json()["predictions"])
    assert answers["label"].tolist() == expected[0]
    np.testing.assert_allclose(shares(answers), expected[1], atol=1e-7)
    assert refused.status_code == 400
    assert "none of the columns" in refused.text
    assert explained.status_code == 400
    assert "the column speed, row 0" in explained.json()["message"]
