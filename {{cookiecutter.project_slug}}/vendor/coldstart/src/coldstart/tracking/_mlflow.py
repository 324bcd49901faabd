"""Tracking: what a training leaves in MLflow."""

from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
# The server sends artifacts itself: an address that it signed may not be reachable from here.
os.environ.setdefault("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "false")

import mlflow
import polars as pl
from mlflow import MlflowClient
from mlflow.data.polars_dataset import from_polars
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException
from sklearn.pipeline import Pipeline
from sqlalchemy import make_url
from urllib3.util import Retry

from coldstart.config._settings import Settings
from coldstart.errors import UserError
from coldstart.train._sigmoid import CalibratedModel

EXPERIMENT_KIND = "mlflow.experimentKind"
RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
CHOSEN = os.environ.get(RETRIES)
PATIENCE = "8"  # of these, each after twice the time: four minutes


def connect(settings: Settings) -> MlflowClient:
    """Point MLflow at the tracking store, and create the experiment if it does not exist.

    Parameters
    ----------
    settings : Settings
        The project's settings: `tracking_uri` and `experiment`.

    Returns
    -------
    MlflowClient
        A client of the tracking store.

    Raises
    ------
    UserError
        If the store cannot be reached.
    """
    if not logging.root.isEnabledFor(logging.INFO):
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        # What it logs, with a traceback, it also raises.
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    mlflow.set_tracking_uri(settings.tracking_uri)
    # At first a store is not waited for, so that a wrong address fails at once.
    os.environ[RETRIES] = CHOSEN or "2"
    requests = logging.getLogger("urllib3.connectionpool")
    requests.removeHandler(RETRY_NOTICE)
    try:
        create_database(settings.tracking_uri)
        experiment = mlflow.set_experiment(settings.experiment)
        if EXPERIMENT_KIND not in experiment.tags:
            # Its page then opens on the runs, and not on what is for language models.
            mlflow.set_experiment_tag(EXPERIMENT_KIND, "custom_model_development")
    except Exception as error:  # SQLAlchemy, requests and MLflow each have their own
        reason = explain_error(error) or (
            f"the tracking store {settings.tracking_uri} cannot be used: {first_line(error)}"
        )
        raise UserError(f"{reason}\nsee tracking_uri in config.yaml") from None
    # A store that has answered once is waited for, so that its restart ends no training.
    os.environ[RETRIES] = CHOSEN or PATIENCE
    requests.addHandler(RETRY_NOTICE)
    return MlflowClient()


def create_database(uri: str) -> None:
    """Create MLflow's database if it is a file that does not exist, as a whole or not at all.

    MLflow refuses a database that it was stopped from completing, by a kill or a full disk.
    """
    if not uri.startswith("sqlite:"):
        return
    path = Path(make_url(uri).database or ":memory:")
    if path.exists() or not path.parent.is_dir() or str(path) == ":memory:":
        return
    with tempfile.TemporaryDirectory(prefix=f"{path.name}.", dir=path.parent) as folder:
        unfinished = Path(folder, path.name)
        MlflowClient(f"sqlite:///{unfinished.resolve()}").search_experiments(max_results=1)
        unfinished.replace(path)


class RetryNotice(logging.Handler):
    """Tells of a request's first new try, in a line; the library tells nothing, or all of it."""

    def emit(self, record: logging.LogRecord) -> None:
        retry = next(iter(record.args or ()), None)
        if isinstance(retry, Retry) and len(retry.history) == 1:
            print("the tracking store does not answer; trying again", file=sys.stderr)


RETRY_NOTICE = RetryNotice()


def explain_error(error: Exception) -> str | None:
    """Explain why the tracking store did not respond; return None if it did."""
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
    if said := re.search(r"\(sqlite3\.\w+\) (.*)", str(error)):
        return f"{store} cannot be used: {said[1]}"
    # So begin MLflow's errors about requests that failed, unlike what a server answered.
    if re.match("API request to http.* failed with", str(error)):
        cause = str(error).rsplit(": ")[-1].rstrip("()'\"")
        return f"{store} does not answer: {cause[:200]}"
    return None


def first_line(error: Exception) -> str:
    """Return the first line of an error's message."""
    said = str(error).strip().splitlines() or [type(error).__name__]
    return said[0][:200]


@dataclass(frozen=True)
class EpochLog:
    """Log of the metrics of epochs, usable from another process.

    Parameters
    ----------
    tracking_uri : str
        Address of the tracking store.
    run_id : str
        Id of the run.
    purpose : str
        Purpose of the training, which is part of the metrics' names.

    Notes
    -----
    An epoch that is reported twice, as after an interruption, is stored once: MLflow drops points
    with the same key, step, value and time.
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


def log_parameters(settings: Settings, family: str, model: Any) -> None:
    """Log the hyperparameters of a fitted model, so that runs can be compared.

    Parameters
    ----------
    settings : Settings
        The project's settings.
    family : str
        Name of the model type.
    model : Pipeline, DifferencedRegressor, WeightedAverage or CalibratedModel
        The fitted model. The parameters of its last step are logged, or the weights of the average.
    """
    # A forecast, a transformed target and a sigmoid are wrappers around the model itself.
    model = model.model if isinstance(model, CalibratedModel) else model
    step = getattr(model, "pipeline_", model)
    step = step[-1] if isinstance(step, Pipeline) else step
    step = getattr(step, "regressor", step)
    own = step.get_params(deep=False) if hasattr(step, "get_params") else {}
    neural = own.pop("settings", None)
    if neural is not None:
        own = neural.model_dump(mode="json", exclude=type(neural).EXECUTION)
        own["global_batch"] = own.pop("batch_size")  # all ranks' together
    plain = {
        name: value
        for name, value in own.items()
        if isinstance(value, str | int | float | bool | list | tuple) and name != "random_state"
    }
    mlflow.log_params({"family": family, "seed": settings.seed, **plain})


def flat_metrics(metrics: dict[str, Any]) -> dict[str, float]:
    """Return the metrics of a model by the names under which MLflow stores them.

    Parameters
    ----------
    metrics : dict
        Metrics of a `Manifest`, which `evaluate` computed.

    Returns
    -------
    dict of str to float
        `test_` and the name of each test metric, `validation_` and `baseline_` with the primary
        metric, `parity`, `fit_seconds` and `cpu_seconds`; `confirmed_` with the primary metric
        without unconfirmed columns; `test_coverage` of prediction intervals or sets; of a forecast
        `horizon`, its number of steps, and `horizon_rmse`, the RMSE of the last one.
    """
    name, steps = metrics["primary"], metrics.get("horizon", [])
    confirmed, coverage = metrics.get("confirmed"), metrics.get("coverage")
    return {
        **({"test_coverage": coverage["test"]} if coverage and "test" in coverage else {}),
        **({"horizon": len(steps), "horizon_rmse": steps[-1]["rmse"]} if steps else {}),
        **({f"confirmed_{name}": confirmed["test"][name]} if confirmed else {}),
        **{f"test_{key}": value for key, value in metrics["test"].items()},
        f"validation_{name}": metrics["validation"],
        f"baseline_{name}": metrics["baseline"][name],
        **{key: metrics[key] for key in ("parity", "fit_seconds", "cpu_seconds")},
    }


def log_table(dataset: pl.DataFrame, source: str) -> None:
    """Log which table the run was trained on.

    Parameters
    ----------
    dataset : polars.DataFrame
        The prepared table.
    source : str
        Path or address of its files.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = dataset.cast({pl.Date: pl.Datetime})  # MLflow has no type for a day
        mlflow.log_input(from_polars(table, source=source, name="prepared"), context="training")
