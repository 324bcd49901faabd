"""A generated project is trained and served on the CPU."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from conftest import GeneratedProject, ask, free_port, wait_for

pytestmark = pytest.mark.slow


def test_training_reaches_what_this_data_allows(trained: GeneratedProject) -> None:
    script = (
        "import json, mlflow\n"
        "from mlflow import MlflowClient\n"
        "client = MlflowClient('sqlite:///mlflow.db')\n"
        f"experiment = client.get_experiment_by_name('{trained.package}')\n"
        "runs = client.search_runs([experiment.experiment_id])\n"
        "print(json.dumps([{'tags': r.data.tags, 'metrics': r.data.metrics,"
        " 'params': r.data.params, 'status': r.info.status,"
        " 'artifacts': [a.path for a in client.list_artifacts(r.info.run_id)],"
        " 'inputs': len(r.inputs.dataset_inputs)} for r in runs]))\n"
    )
    done = trained.run(trained.python, "-c", script)
    runs = {run["tags"]["family"]: run for run in json.loads(done.stdout.splitlines()[-1])}
    assert set(runs) == {"linear", "tree", "svm", "forest", "boosting", "neural"}
    for run in runs.values():
        assert run["status"] == "FINISHED"
        assert run["metrics"]["parity"] <= 1e-4
        assert run["metrics"]["test_average_precision"] > 2 * 0.1186
        assert {"plots", "schema.yaml"} <= set(run["artifacts"])
        assert run["inputs"] == 1
        assert run["params"]["seed"] == "0"
        assert run["tags"]["git_dirty"] == "False"
        assert len(run["tags"]["git_commit"]) == 40
    assert "final_search_validation_loss" in runs["neural"]["metrics"]

    champion = json.loads((trained.path / "bundles/champion/bundle.json").read_text())
    assert champion["metrics"]["test"]["roc_auc"] >= 0.85
    assert champion["metrics"]["test"]["average_precision"] >= 0.46
    assert runs["neural"]["metrics"]["test_roc_auc"] >= 0.84
    assert runs["neural"]["metrics"]["test_average_precision"] >= 0.42


def test_the_served_answer_is_the_models_and_the_files(
    trained: GeneratedProject, tmp_path: Path
) -> None:
    port = free_port()
    server = subprocess.Popen(
        ["make", "serve", f"PORT={port}"], cwd=trained.path, start_new_session=True
    )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(f"{url}/health/ready", server, 30)
        rows = [
            {"phase_of_flt": "Climb", "height": 500, "speed": 140, "birds_struck": "11-100"},
            {"phase_of_flt": "Landing Roll", "height": 0, "speed": 60, "birds_struck": "1"},
        ]
        answer = ask(f"{url}/predict", {"rows": rows})
        chances = [row["probabilities"]["true"] for row in answer["predictions"]]
        assert chances[0] > 0.2 > chances[1] > 0

        table = tmp_path / "rows.csv"
        table.write_text(
            "phase_of_flt,height,speed,birds_struck\nClimb,500,140,11-100\nLanding Roll,0,60,1\n"
        )
        trained.make("predict", f"FILE={table}", f"OUT={tmp_path / 'answers.csv'}")
        answers = (tmp_path / "answers.csv").read_text().splitlines()
        column = answers[0].split(",").index("probability true")
        assert [float(line.split(",")[column]) for line in answers[1:]] == pytest.approx(
            chances, abs=1e-9
        )
        assert ask(f"{url}/model")["version"] == answer["model_version"]
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)


@pytest.mark.weekly
def test_runs_go_to_a_tracking_server_over_http(copied: GeneratedProject, tmp_path: Path) -> None:
    port = free_port()
    server = subprocess.Popen(
        [
            *(str(copied.python), "-m", "mlflow", "server", "--workers", "1"),
            *("--host", "127.0.0.1", "--port", str(port)),
            *("--backend-store-uri", f"sqlite:///{tmp_path}/server.db"),
            *("--artifacts-destination", str(tmp_path / "artifacts")),
        ],
        cwd=tmp_path,
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        uri = f"http://127.0.0.1:{port}"
        wait_for(f"{uri}/health", server, 120)
        done = copied.command("train", "--models", "linear", MLFLOW_TRACKING_URI=uri)
        assert done.returncode == 0, done.stderr
        assert not (copied.path / "mlflow.db").exists()
        shutil.rmtree(copied.path / "bundles")
        done = copied.command("pull", MLFLOW_TRACKING_URI=uri)
        assert "champion: version 1" in done.stdout
        assert (copied.path / "bundles" / "champion" / "model.onnx").is_file()
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)
