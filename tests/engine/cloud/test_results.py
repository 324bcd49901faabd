"""Results are synced once, wherever syncing them was interrupted."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from coldstart.bundle._bundle import verify_bundle
from coldstart.cli._commands import Train
from coldstart.cli._main import build
from coldstart.cloud import LaunchRequest, Machine
from coldstart.cloud import _job_runs as job_runs
from coldstart.cloud import _results as results
from coldstart.cloud import _status as status
from coldstart.cloud._launching import finish
from coldstart.cloud._snapshots import Snapshots
from coldstart.cloud._store import Store
from coldstart.cloud.skypilot import _environment
from coldstart.cloud.skypilot._launcher import SkyPilotLauncher
from coldstart.cloud.worker import LOCAL_STORE, LOG
from coldstart.config._settings import Settings
from coldstart.tracking._mlflow import connect
from engine.cloud.conftest import write_project
from engine.support import PACKAGE, PROJECT, main

CALLS = (
    "create_run",
    "log_batch",
    "log_inputs",
    "log_artifacts",
    "log_artifact",
    "log_model_artifacts",
    "log_metric",
    "create_model_version",
    "set_terminated",
    "set_tag",
    "set_registered_model_alias",
)
STATUS: dict[str, Any] = {
    "tracking": LOCAL_STORE,
    "code": 0,
    "machines": [{"start": 1.0, "end": 2.0}],
}


class CutError(Exception):
    """The power went."""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Working folder of a machine that has trained two models. Tests must not change it."""
    folder = write_project(tmp_path_factory.mktemp("machine") / "work")
    command = [sys.executable, "-m", PACKAGE, "train", "--models", '["tree", "linear"]']
    here = {**os.environ, "MLFLOW_TRACKING_URI": LOCAL_STORE}
    subprocess.run([*command, "--no-choose"], cwd=folder, env=here, check=True)
    assert not (folder / "bundles/challenger").exists()
    (folder / LOG).write_text("its log\n")
    return folder


@pytest.fixture
def kept(project: Path, machine: Path, tmp_path: Path) -> Path:
    """A copy of what the machine has kept, beside a project that has not trained."""
    return shutil.copytree(machine, tmp_path / "machine")


def settings() -> Settings:
    """Return the project's settings, as the command line reads them."""
    return build(PROJECT, Train, [])


def runs(client: MlflowClient) -> dict[str, Run]:
    """Return the models' runs in the local store, by family."""
    found = client.search_runs([job_runs.experiment_of(client, settings())], "tags.family LIKE '%'")
    families = {run.data.tags["family"]: run for run in found}
    assert len(families) == len(found)
    return families


def test_runs_are_synced_with_all_that_the_machine_tracked(
    kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client = connect(settings())
    job = job_runs.begin(
        client, LaunchRequest(settings(), "aws", hours=1.0), "houses", ["train"], 0.5
    )
    results.sync(client, settings(), kept, STATUS, job.id, 1.5)
    there = {
        run.data.tags["family"]: run
        for run in MlflowClient(f"sqlite:///{kept}/mlflow.db").search_runs(["1"])
    }
    found = runs(client)
    assert set(found) == set(there) == {"tree", "linear"}
    for family, run in found.items():
        source = there[family]
        assert run.data.params == source.data.params
        assert source.data.metrics.items() <= run.data.metrics.items()
        assert run.info.start_time == source.info.start_time
        assert run.info.end_time == source.info.end_time
        assert run.inputs
        assert source.inputs
        mine, theirs = (one.dataset_inputs[0].dataset for one in (run.inputs, source.inputs))
        assert (mine.name, mine.digest) == (theirs.name, theirs.digest)
        plots = client.list_artifacts(run.info.run_id, "plots")
        assert any(plot.path.endswith(".png") for plot in plots)
        assert run.data.tags["mlflow.parentRunId"] == job.id
    assert mlflow.artifacts.load_text(f"runs:/{job.id}/{LOG}") == "its log\n"
    costs = [run.data.metrics["cost_usd"] for run in found.values()]
    assert sum(costs) == pytest.approx(1.5)
    best = max(found.values(), key=lambda run: run.data.metrics["validation_r2"])
    manifest = verify_bundle(Path("bundles/champion"))
    assert manifest.provenance["run_id"] == best.info.run_id
    # It serves, and answers as it did on the machine.
    rows = "size,age\n10,20\n90,5\n"
    Path("rows.csv").write_text(rows)
    assert main(["predict", "--file", "rows.csv", "--out", "answers.csv"]) == 0
    assert len(Path("answers.csv").read_text().splitlines()) == 3


def test_syncing_may_be_interrupted_at_any_call_and_repeated(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connect(settings())
    job = job_runs.begin(
        client, LaunchRequest(settings(), "aws", hours=1.0), "houses", ["train"], 0.5
    )
    cuts = 0
    while True:
        left = cuts

        def cut(real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **options: Any) -> Any:
                nonlocal left
                if left == 0:
                    left -= 1
                    raise CutError
                left -= 1
                return real(*arguments, **options)

            return call

        with monkeypatch.context() as patch:
            for name in CALLS:
                patch.setattr(MlflowClient, name, cut(getattr(MlflowClient, name)))
            try:
                results.sync(client, settings(), kept, STATUS, job.id, 1.5)
            except CutError:
                cuts += 1
            else:
                break
        if mlflow.active_run():
            mlflow.end_run("RUNNING")
    assert cuts > 12
    found = runs(client)
    assert {run.info.status for run in found.values()} == {"FINISHED"}
    (tree,) = client.search_model_versions(f"run_id = '{found['tree'].info.run_id}'")
    (linear,) = client.search_model_versions(f"run_id = '{found['linear'].info.run_id}'")
    assert {int(tree.version), int(linear.version)} == {1, 2}
    points = client.get_metric_history(found["tree"].info.run_id, "test_r2")
    assert len(points) == 1


def test_a_model_that_was_not_finished_is_synced_as_one_that_failed(
    kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = MlflowClient(f"sqlite:///{kept}/mlflow.db")
    (linear,) = there.search_runs(["1"], "tags.family = 'linear'")
    there.update_run(linear.info.run_id, status="RUNNING")
    client = connect(settings())
    job = job_runs.begin(
        client, LaunchRequest(settings(), "aws", hours=1.0), "houses", ["train"], 0.5
    )
    results.sync(client, settings(), kept, {**STATUS, "code": 124}, job.id, None)
    found = runs(client)
    assert found["linear"].info.status == "FAILED"
    assert found["tree"].info.status == "FINISHED"
    assert verify_bundle(Path("bundles/champion")).family == "tree"


def test_what_a_job_has_kept_stays_until_its_last_snapshot_is_there(
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """SkyPilot has seen the job's end, and the machine was gone before its last snapshot."""
    folder = write_project(tmp_path / "here")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    ended = {"job_id": 1, "status": "SUCCEEDED", "ended": True, "reason": None}
    answers = {"find": ended, "cost": 0.2, "cancel": None}
    monkeypatch.setattr(SkyPilotLauncher, "call", lambda self, function, *_: answers[function])
    monkeypatch.setattr(SkyPilotLauncher, "machines", lambda *_: [])
    monkeypatch.setattr(SkyPilotLauncher, "store", lambda *_: store)
    monkeypatch.setattr(_environment, "ensure_installed", lambda: None)
    (folder / "pyproject.toml").write_text('[project]\nname = "houses"\n')
    client = connect(settings())
    job = job_runs.begin(
        client, LaunchRequest(settings(), "aws", hours=1.0), "houses", ["train"], 0.2
    )
    machine = tmp_path / "machine"
    (machine / "checkpoints").mkdir(parents=True)
    (machine / "checkpoints/last.ckpt").write_text("epoch 3")
    there = Snapshots(store, machine)
    gpu = {"gpu": "NVIDIA L4, driver 580.65.06, torch with CUDA 12.8", "gpu_step_seconds": 0.5}
    status: dict[str, Any] = {"machines": [{"start": 1.0, "end": 2.0}], "gpu": gpu}
    there.take(status)
    kept = store.names("")

    assert finish(client, settings(), SkyPilotLauncher("aws"), job.id) == 1
    assert store.names("") == kept
    assert (folder / "checkpoints/last.ckpt").read_text() == "epoch 3"
    assert f"make cloud-follow JOB={job.id[:8]} looks again" in capsys.readouterr().err
    assert job_runs.find(client, settings(), job.id)

    there.take({**status, "code": 0})
    assert finish(client, settings(), SkyPilotLauncher("aws"), job.id) == 0
    assert store.names("") == []
    run = client.get_run(job.id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["gpu"] == "NVIDIA L4, driver 580.65.06, torch with CUDA 12.8"
    assert run.data.metrics["gpu_step_seconds"] == 0.5


def test_a_machine_without_a_price_is_counted_at_the_plans(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job = job_runs.begin(
        connect(settings()), LaunchRequest(settings(), "aws"), "houses", ["train"], 0.5
    )
    found = Machine(job.id, "aws: g6.xlarge", "running", time.time() - 7200)
    monkeypatch.setattr(status, "find_machines", lambda *_: ([found], ["aws"]))
    status.print_status(settings())
    line = f"job {job.id[:8]}  aws: g6.xlarge: running, for 2.0 h, 1.00 USD so far"
    assert line in capsys.readouterr().out.splitlines()
