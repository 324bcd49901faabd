"""Tracking: what a training leaves in MLflow."""

from __future__ import annotations

import logging
import os
import re
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
# The server sends artifacts itself: an address that it signed may not be reachable from here.
os.environ.setdefault("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "false")

import mlflow
import onnx
import polars as pl
from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.data.polars_dataset import from_polars
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException
from mlflow.models import Model, infer_signature
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from urllib3.util import Retry

from .bundle import MODEL
from .contract import Matrices
from .errors import UserError
from .settings import Settings, rank_of

JOB = os.environ.get("TRAINING_JOB", "")  # a rented machine trains for this run
REQUIREMENTS = ["mlflow", "onnxruntime", "numpy"]  # else inferred, which takes 20 s
RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
CHOSEN = os.environ.get(RETRIES)
PATIENCE = "8"  # of these, each after twice the time: four minutes


def connect(settings: Settings) -> MlflowClient:
    """Point MLflow at the tracking store, making the experiment if needed.

    Raises
    ------
    UserError
        If the store cannot be reached.
    """
    if not logging.root.isEnabledFor(logging.INFO):
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
    mlflow.set_tracking_uri(settings.tracking_uri)
    # At first a store is not waited for, so that a wrong address is told at once.
    os.environ[RETRIES] = CHOSEN or "2"
    requests = logging.getLogger("urllib3.connectionpool")
    requests.removeHandler(WAITING)
    try:
        mlflow.set_experiment(settings.experiment)
    except Exception as error:  # SQLAlchemy, requests and MLflow each have their own
        reason = trouble(error) or (
            f"the tracking store {settings.tracking_uri} cannot be used: {first_line(error)}"
        )
        raise UserError(f"{reason}\nsee tracking_uri in config.yaml") from None
    # A store that has answered once is waited for, so that its restart ends no training.
    os.environ[RETRIES] = CHOSEN or PATIENCE
    requests.addHandler(WAITING)
    return MlflowClient()


class Waiting(logging.Handler):
    """Tells of a request's first new try, in a line; the library tells nothing, or all of it."""

    def emit(self, record: logging.LogRecord) -> None:
        retry = next(iter(record.args or ()), None)
        if isinstance(retry, Retry) and len(retry.history) == 1:
            print("the tracking store does not answer; trying again", file=sys.stderr)


WAITING = Waiting()


def trouble(error: Exception) -> str | None:
    """What keeps the tracking store from answering this person, or None if it did answer."""
    if not isinstance(error, MlflowException):
        return None
    store = f"the tracking store {mlflow.get_tracking_uri()}"
    status = error.get_http_status_code()  # type: ignore[no-untyped-call]
    if status == 401:
        return (
            f"{store} does not know this user and password: see MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD"
        )
    if status == 403:
        return f"{store} does not allow this user to do that: {first_line(error)}"
    # So begin MLflow's errors about requests that failed; what a server answered is told otherwise.
    if re.match("API request to http.* failed with", str(error)):
        cause = str(error).rsplit(": ")[-1].rstrip("()'\"")
        return f"{store} does not answer: {cause[:200]}"
    return None


def first_line(error: Exception) -> str:
    """The beginning of what an error says."""
    said = str(error).strip().splitlines() or [type(error).__name__]
    return said[0][:200]


@dataclass(frozen=True)
class EpochLog:
    """Logs the metrics of epochs; usable from another process.

    Attributes
    ----------
    purpose
        What the training is for; part of the metrics' names.

    Notes
    -----
    An epoch told twice, as after an interruption, is stored once: MLflow drops
    points that are the same in key, step, value and time.
    """

    tracking_uri: str
    run_id: str
    purpose: str

    def __call__(self, stage: str, epoch: int, history: list[dict[str, float]]) -> None:
        """Log in one call: a hundred times faster than a call for each metric."""
        points = [
            Metric(f"{self.purpose}_{stage}_{name}", value, int(metrics["timestamp"] * 1000), step)
            for step, metrics in enumerate(history, start=epoch)
            for name, value in metrics.items()
            if name != "timestamp"
        ]
        for start in range(0, len(points), 1000):  # the most that MLflow takes at once
            MlflowClient(self.tracking_uri).log_batch(self.run_id, points[start : start + 1000])


@contextmanager
def run(client: MlflowClient, settings: Settings, name: str, fingerprint: str) -> Iterator[str]:
    """Open a run, or go on with the one that the same training left unfinished.

    A training that was killed cannot say so: its run is still "running". Of the same training
    as two jobs at once, each has its own.
    """
    fingerprint += JOB
    experiment = client.get_experiment_by_name(settings.experiment)
    assert experiment is not None
    unfinished = client.search_runs(
        [experiment.experiment_id],
        f"attributes.status = 'RUNNING' and tags.fingerprint = '{fingerprint}'",
        max_results=1,
    )
    run_id = unfinished[0].info.run_id if unfinished else None
    tags = {"fingerprint": fingerprint, "family": name}
    if JOB:
        tags[MLFLOW_PARENT_RUN_ID] = JOB
    with mlflow.start_run(run_id, run_name=name, tags=tags) as active:
        try:
            yield active.info.run_id
        except MlflowException:
            os.environ[RETRIES] = "0"  # it was waited for: not again to tell that the run failed
            raise


def log_choices(settings: Settings, family: str, provenance: dict[str, Any]) -> None:
    """Log the settings as parameters, and the commit as tags."""
    chosen = {}
    for name, value in settings.choices().items():
        parts = value.items() if isinstance(value, dict) else [("", value)]
        chosen.update({f"{name}.{part}".strip("."): entry for part, entry in parts})
    ranks = max(settings.neural.devices, rank_of()[1])
    if family == "neural":
        neural = settings.neural.model_copy(update=settings.tuned.get(family, {}))
        size, rate = neural.batch_size, neural.learning_rate
        print(
            f"neural: global batch of {size} rows, {max(1, size // ranks)} on each of {ranks} "
            f"rank(s); learning rate {rate:g}"
        )
        chosen |= {"global_batch": size, "learning_rate": rate}
    mlflow.log_params({"family": family, **chosen})
    # Tags, since parameters cannot change: a training may go on elsewhere.
    tags = {name: provenance[name] for name in ("git_commit", "git_dirty")}
    mlflow.set_tags({**tags, "ranks": ranks})


def log_results(
    metrics: dict[str, Any], figures: dict[str, Figure], table: pl.DataFrame, settings: Settings
) -> None:
    """Log the metrics, the plots, the contract, and the table that the model was fitted on."""
    name = metrics["primary"]
    mlflow.log_metrics({f"test_{key}": value for key, value in metrics["test"].items()})
    mlflow.log_metrics(
        {
            f"validation_{name}": metrics["validation"],
            f"baseline_{name}": metrics["baseline"][name],
            "parity": metrics["parity"],
            "fit_seconds": metrics["fit_seconds"],
            "cpu_seconds": metrics["cpu_seconds"],
        }
    )
    for name, figure in figures.items():
        mlflow.log_figure(figure, f"plots/{name}")
    mlflow.log_artifact(str(settings.contract))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = table.cast({pl.Date: pl.Datetime})  # MLflow has no type for a day
        dataset = from_polars(table, source=str(settings.data.table), name="prepared")
        mlflow.log_input(dataset, context="training")


def log_bundle(bundle: Path, example: Matrices, prediction: Any) -> str:
    """Log a bundle as an ONNX model of MLflow's own kind.

    Returns
    -------
    str
        The logged model's address.
    """
    inputs = {name: values for name, values in vars(example).items() if values.shape[1]}

    def save_model(path: str, mlflow_model: Model, **_: Any) -> None:
        mlflow.onnx.save_model(
            onnx.load(bundle / MODEL),
            path,
            mlflow_model=mlflow_model,
            signature=infer_signature(inputs, {"prediction": prediction}),
            input_example=inputs,
            pip_requirements=REQUIREMENTS,
            save_as_external_data=False,
        )
        shutil.copytree(bundle, path, dirs_exist_ok=True)

    flavor = SimpleNamespace(save_model=save_model, __name__="bundle", FLAVOR_NAME="onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        uri: str = Model.log(None, flavor, name="model").model_uri
    return uri
