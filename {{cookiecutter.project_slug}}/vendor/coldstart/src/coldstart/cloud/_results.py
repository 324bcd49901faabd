"""Bringing results home: runs that a machine tracked for itself become runs of the local MLflow.

Each step can be done again: a run that came home is known by the tag `machine.run`, and MLflow
drops points of a metric that it has. So it may be interrupted anywhere, and called once more.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Param, Run
from mlflow.models import Model
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from coldstart.bundle._bundle import verify_bundle, write_checksums
from coldstart.bundle._predictor import BundlePredictor
from coldstart.cloud._jobs import experiment_of
from coldstart.cloud._snapshots import SHARED
from coldstart.cloud.worker import HOME, LOG
from coldstart.config._settings import CHECKPOINTS, Settings
from coldstart.contract._contract import EncodedFeatures
from coldstart.data._dataset import prepare
from coldstart.tracking import _registry as registry
from coldstart.tracking._challenger import Candidate, choose_challenger
from coldstart.tracking._mlflow import log_bundle

SOURCE, WHOLE = "machine.run", "machine.run.whole"
AT_ONCE = 100  # params or tags that MLflow takes in one call; of metrics a thousand


def bring(
    client: MlflowClient,
    settings: Settings,
    folder: Path,
    about: dict[str, Any],
    job: str,
    cost: float | None,
) -> None:
    """Bring the runs of a job home, and tell what it has cost.

    Parameters
    ----------
    folder
        Holds what `snapshots.KEPT` names.
    about
        What the worker tells of itself: see `worker.py`.
    """
    if about.get("tracking") == HOME and (folder / "mlflow.db").is_file():
        bring_runs(client, settings, folder, job)
    elif about.get("code") == 0 and about.get("tracking") != HOME:
        # The machine has told everything, and chosen.
        for alias in (registry.CHALLENGER, registry.CHAMPION):
            registry.pull(client, settings, alias)
    if about.get("code") != 0 and (folder / CHECKPOINTS).is_dir():
        shutil.copytree(folder / CHECKPOINTS, CHECKPOINTS, dirs_exist_ok=True)
        print(f"{CHECKPOINTS}: the same training goes on from what it had come to")
    if (folder / SHARED).is_dir():
        shutil.copytree(folder / SHARED, SHARED, dirs_exist_ok=True)
    if (folder / LOG).is_file():
        client.log_artifact(job, str(folder / LOG))
    lives = about.get("lives", [])
    client.log_metric(job, "machines", len(lives))
    if cost is not None:
        log_cost(client, settings, job, cost)
        print(f"it has cost {cost:.2f} USD")


def bring_runs(client: MlflowClient, settings: Settings, folder: Path, job: str) -> None:
    """Bring all runs that a machine has tracked, and choose among the models as at home."""
    there = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiments = [one.experiment_id for one in there.search_experiments()]
    trained = []
    for run in reversed(there.search_runs(experiments, max_results=1000)):
        if model := bring_run(client, settings, there, run, folder, job):
            trained.append(model)
    if not trained:
        return
    if settings.choose:
        choose_challenger(client, settings, prepare(settings), trained)


def bring_run(
    client: MlflowClient,
    settings: Settings,
    there: MlflowClient,
    source: Run,
    folder: Path,
    job: str,
) -> Candidate | None:
    """Bring one run; return its model, if it has one."""
    experiment = experiment_of(client, settings)
    known = client.search_runs([experiment], f"tags.`{SOURCE}` = '{source.info.run_id}'")
    tags = {**source.data.tags, SOURCE: source.info.run_id, MLFLOW_PARENT_RUN_ID: job}
    run = known[0] if known else client.create_run(
        experiment, source.info.start_time, tags, source.info.run_name
    )  # fmt: skip
    run_id = run.info.run_id
    bundle = bundle_of(there, source, folder)
    if WHOLE not in run.data.tags:
        copy_data(client, there, source, run_id)
        client.log_artifacts(run_id, str(beside(folder, source.info.artifact_uri)))
        if bundle:
            register(client, settings, run_id, bundle)
        status = source.info.status if bundle else "FAILED"
        client.set_terminated(run_id, status, source.info.end_time)
        client.set_tag(run_id, WHOLE, "yes")
    if not bundle:
        return None
    (version,) = client.search_model_versions(f"run_id = '{run_id}'")
    manifest = verify_bundle(bundle)
    print(f"version {version.version}: {manifest.family}, trained on the machine")
    return Candidate(manifest.family, str(version.version), manifest.metrics)


def copy_data(client: MlflowClient, there: MlflowClient, source: Run, run_id: str) -> None:
    """Copy parameters, the whole course of each metric, and what tells of the data."""
    params = [Param(key, value) for key, value in source.data.params.items()]
    for start in range(0, len(params), AT_ONCE):
        client.log_batch(run_id, params=params[start : start + AT_ONCE])
    for key in source.data.metrics:
        points = there.get_metric_history(source.info.run_id, key)
        for start in range(0, len(points), 10 * AT_ONCE):
            client.log_batch(run_id, metrics=points[start : start + 10 * AT_ONCE])
    if source.inputs and source.inputs.dataset_inputs:
        client.log_inputs(run_id, source.inputs.dataset_inputs)


def register(client: MlflowClient, settings: Settings, run_id: str, bundle: Path) -> None:
    """Log a model again under the run at home, and register it."""
    if client.search_model_versions(f"run_id = '{run_id}'"):
        return
    manifest = verify_bundle(bundle)
    given: Any = Model.load(str(bundle)).load_input_example(str(bundle))
    empty = np.empty((2, 0))
    example = EncodedFeatures(given.get("numbers", empty), given.get("strings", empty))
    manifest.provenance["run_id"] = run_id
    with tempfile.TemporaryDirectory() as at, mlflow.start_run(run_id):
        own = Path(at, "bundle")
        own.mkdir()
        for name in manifest.files:
            shutil.copy(bundle / name, own)
        write_checksums(own, manifest)
        uri = log_bundle(own, example, BundlePredictor(own))
        registry.register(client, settings, uri, run_id)


def bundle_of(there: MlflowClient, run: Run, folder: Path) -> Path | None:
    """Where the bundle of a run lies, if it came to one."""
    models = run.outputs.model_outputs if run.outputs else []
    if run.info.status != "FINISHED" or not models:
        return None
    model = there.get_logged_model(models[-1].model_id)
    return beside(folder, model.artifact_location)


def beside(folder: Path, address: str) -> Path:
    """Where in the folder lies what was at an address of the machine."""
    return folder / "mlruns" / address.rpartition("/mlruns/")[2]


def log_cost(client: MlflowClient, settings: Settings, job: str, cost: float) -> None:
    """Log the job's cost, and of its models each a share by the time that they took."""
    client.log_metric(job, "cost_usd", cost)
    of_job = f"tags.`mlflow.parentRunId` = '{job}'"
    runs = client.search_runs([experiment_of(client, settings)], of_job)
    seconds = {run.info.run_id: run.data.metrics.get("fit_seconds", 0.0) for run in runs}
    for run_id, took in seconds.items():
        client.log_metric(run_id, "cost_usd", cost * took / (sum(seconds.values()) or 1.0))
