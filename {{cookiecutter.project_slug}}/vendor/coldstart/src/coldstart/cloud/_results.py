"""Results of a job: runs that a machine tracked for itself become runs of the local MLflow.

Each step can be repeated: a run that was copied is known by its tag `machine.run`, and MLflow
ignores points of a metric that it has. So this may be interrupted anywhere, and called again.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Param, Run
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from coldstart.bundle._bundle import verify_bundle, write_checksums
from coldstart.bundle._predictor import BundlePredictor
from coldstart.cloud._job_runs import experiment_of
from coldstart.cloud.worker import LOCAL_STORE, LOG
from coldstart.config._settings import CHECKPOINTS, Settings
from coldstart.data._dataset import prepare
from coldstart.tracking import _registry as registry
from coldstart.tracking._challenger import Candidate, choose_challenger
from coldstart.tracking._model import log_bundle

SOURCE, COMPLETE = "machine.run", "machine.run.complete"
# Parameters or tags that MLflow takes in one call; of metrics it takes ten times as many.
BATCH = 100


def sync(
    client: MlflowClient,
    settings: Settings,
    folder: Path,
    status: dict[str, Any],
    job: str,
    cost: float | None,
) -> None:
    """Copy the runs of a job to the local MLflow, and log what it has cost in US dollars.

    The folder holds what `snapshots.KEPT` names. The status is the worker's: see `worker.py`.
    """
    if status.get("tracking") == LOCAL_STORE and (folder / "mlflow.db").is_file():
        copy_runs(client, settings, folder, job)
    elif status.get("code") == 0 and status.get("tracking") != LOCAL_STORE:
        # The machine has tracked its runs in the same store, and chosen the challenger there.
        for alias in (registry.CHALLENGER, registry.CHAMPION):
            registry.pull(client, settings, alias)
    if status.get("code") != 0 and (folder / CHECKPOINTS).is_dir():
        shutil.copytree(folder / CHECKPOINTS, CHECKPOINTS, dirs_exist_ok=True)
        print(f"{CHECKPOINTS}: downloaded; the same training resumes from there")
    if (folder / LOG).is_file():
        client.log_artifact(job, str(folder / LOG))
    client.log_metric(job, "machines", len(status.get("machines", [])))
    if gpu := status.get("gpu"):
        client.set_tag(job, "gpu", gpu["gpu"])
        client.log_metric(job, "gpu_step_seconds", gpu["gpu_step_seconds"])
    if cost is not None:
        log_cost(client, settings, job, cost)
        print(f"cost: {cost:.2f} USD")


def copy_runs(client: MlflowClient, settings: Settings, folder: Path, job: str) -> None:
    """Copy all runs that a machine has tracked, and choose the challenger among their models."""
    remote = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiments = [one.experiment_id for one in remote.search_experiments()]
    trained = []
    for run in reversed(remote.search_runs(experiments, max_results=1000)):
        if model := copy_run(client, settings, remote, run, folder, job):
            trained.append(model)
    if trained and settings.choose:
        choose_challenger(client, settings, prepare(settings), trained)


def copy_run(
    client: MlflowClient,
    settings: Settings,
    remote: MlflowClient,
    source: Run,
    folder: Path,
    job: str,
) -> Candidate | None:
    """Copy one run, and return its model if it has one."""
    experiment = experiment_of(client, settings)
    known = client.search_runs([experiment], f"tags.`{SOURCE}` = '{source.info.run_id}'")
    tags = {**source.data.tags, SOURCE: source.info.run_id, MLFLOW_PARENT_RUN_ID: job}
    run = known[0] if known else client.create_run(
        experiment, source.info.start_time, tags, source.info.run_name
    )  # fmt: skip
    run_id = run.info.run_id
    bundle = bundle_of(remote, source, folder)
    if COMPLETE not in run.data.tags:
        copy_data(client, remote, source, run_id)
        client.log_artifacts(run_id, str(locate(folder, source.info.artifact_uri)))
        if bundle:
            register(client, settings, run_id, bundle)
        status = source.info.status if bundle else "FAILED"
        client.set_terminated(run_id, status, source.info.end_time)
        client.set_tag(run_id, COMPLETE, "yes")
    if not bundle:
        return None
    (version,) = client.search_model_versions(f"run_id = '{run_id}'")
    manifest = verify_bundle(bundle)
    print(f"version {version.version}: {manifest.family}, trained on the machine")
    return Candidate(manifest.family, str(version.version), manifest.metrics)


def copy_data(client: MlflowClient, remote: MlflowClient, source: Run, run_id: str) -> None:
    """Copy parameters, all points of each metric, and the description of the data."""
    params = [Param(key, value) for key, value in source.data.params.items()]
    for start in range(0, len(params), BATCH):
        client.log_batch(run_id, params=params[start : start + BATCH])
    for key in source.data.metrics:
        points = remote.get_metric_history(source.info.run_id, key)
        for start in range(0, len(points), 10 * BATCH):
            client.log_batch(run_id, metrics=points[start : start + 10 * BATCH])
    if source.inputs and source.inputs.dataset_inputs:
        client.log_inputs(run_id, source.inputs.dataset_inputs)


def register(client: MlflowClient, settings: Settings, run_id: str, bundle: Path) -> None:
    """Log a model again under the local run, and register it."""
    if client.search_model_versions(f"run_id = '{run_id}'"):
        return
    manifest = verify_bundle(bundle)
    manifest.provenance["run_id"] = run_id
    with tempfile.TemporaryDirectory() as at, mlflow.start_run(run_id):
        copied = Path(at, "bundle")
        copied.mkdir()
        for name in manifest.files:
            shutil.copy(bundle / name, copied)
        write_checksums(copied, manifest)
        uri = log_bundle(settings.project, copied, BundlePredictor(copied))
        registry.register(client, settings, uri, run_id)


def bundle_of(remote: MlflowClient, run: Run, folder: Path) -> Path | None:
    """Return the folder of a run's bundle, or None if the run was not finished."""
    models = run.outputs.model_outputs if run.outputs else []
    if run.info.status != "FINISHED" or not models:
        return None
    model = remote.get_logged_model(models[-1].model_id)
    return locate(folder, model.artifact_location)


def locate(folder: Path, address: str) -> Path:
    """Return where something lies in the folder that had an address on the machine."""
    return folder / "mlruns" / address.rpartition("/mlruns/")[2]


def log_cost(client: MlflowClient, settings: Settings, job: str, cost: float) -> None:
    """Log the cost of a job, and shares of it for its models, by the time that they took."""
    client.log_metric(job, "cost_usd", cost)
    of_job = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{job}'"
    runs = client.search_runs([experiment_of(client, settings)], of_job)
    seconds = {run.info.run_id: run.data.metrics.get("fit_seconds", 0.0) for run in runs}
    for run_id, took in seconds.items():
        client.log_metric(run_id, "cost_usd", cost * took / (sum(seconds.values()) or 1.0))
