"""One MLflow run for one model, which an interrupted training resumes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NOTE

from coldstart import _provenance as provenance
from coldstart._provenance import JOB
from coldstart.config._settings import CHECKPOINTS, Settings, rank_of
from coldstart.data._dataset import Dataset
from coldstart.tracking._mlflow import RETRIES, EpochLog
from coldstart.tracking._registry import BUNDLES

AVERAGE = "Average the predictions of models that were trained before."


@dataclass(frozen=True)
class TrainingRun:
    """The MLflow run of one model.

    Parameters
    ----------
    id : str
        The run's id.
    tracking_uri : str
        Address of the tracking store.
    provenance : dict
        Commit, data, settings and versions that the model comes from.
    checkpoints : Path
        Folder for the state of the training.
    folder : Path
        Empty folder for the bundle.
    """

    id: str
    tracking_uri: str
    provenance: dict[str, Any]
    checkpoints: Path
    folder: Path

    def report(self, purpose: str) -> EpochLog:
        """Return a function that logs the metrics of epochs.

        Parameters
        ----------
        purpose : str
            Purpose of the training, with which the names of the metrics begin.

        Returns
        -------
        EpochLog
            Function of the stage, an epoch, and the metrics of that epoch and of those after it.
        """
        return EpochLog(self.tracking_uri, self.id, purpose)


@contextmanager
def start_run(
    client: MlflowClient, settings: Settings, dataset: Dataset, family: str
) -> Iterator[TrainingRun]:
    """Open the run of a model, or resume the one that the same training left unfinished.

    Two trainings are the same if data, settings, commit, the project's own source and the
    engine's version are: a change of the code starts anew.

    Parameters
    ----------
    client : MlflowClient
        The tracking store.
    settings : Settings
        The project's settings.
    dataset : Dataset
        The prepared rows.
    family : str
        Name of the model type.

    Yields
    ------
    TrainingRun
        It is MLflow's active run.
    """
    origin = {
        **provenance.collect(settings.project),
        "data": dataset.digest,
        "settings": settings.choices(),
    }
    identity = [family, dataset.digest, settings.choices(), origin["git_commit"]]
    identity += provenance.source_identity(settings.project)
    fingerprint = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
    checkpoints = CHECKPOINTS / fingerprint[:16]
    folder = BUNDLES / f".{family}.unfinished"
    for stale in (folder, *([checkpoints] if settings.fresh else [])):
        shutil.rmtree(stale, ignore_errors=True)
    folder.mkdir(parents=True)

    run_id = None if settings.fresh else unfinished_run(client, settings, fingerprint)
    families = settings.project.load("families")
    about = families[family].__doc__ or "" if family in families else AVERAGE
    tags = {
        "fingerprint": fingerprint + JOB,
        "family": family,
        "target": dataset.contract.target,
        MLFLOW_RUN_NOTE: about.partition("\n")[0],
    }
    if JOB:
        tags[MLFLOW_PARENT_RUN_ID] = JOB
    with mlflow.start_run(run_id, run_name=family, tags=tags) as active:
        id = active.info.run_id
        # Tags, since parameters cannot change: a training may be resumed elsewhere.
        ranks = max(settings.neural.devices, rank_of()[1])
        mlflow.set_tags(
            {**{name: origin[name] for name in ("git_commit", "git_dirty")}, "ranks": ranks}
        )
        try:
            yield TrainingRun(
                id, settings.tracking_uri, {**origin, "run_id": id}, checkpoints, folder
            )
        except MlflowException:
            os.environ[RETRIES] = "0"  # the store was waited for: not again to log the failure
            raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(checkpoints, ignore_errors=True)


def unfinished_run(client: MlflowClient, settings: Settings, fingerprint: str) -> str | None:
    """Return the id of the run that the same training left unfinished, if there is one.

    A training that was killed cannot say so: its run is still "running". Of the same training
    as two jobs at once, each has its own.
    """
    experiment = client.get_experiment_by_name(settings.experiment)
    assert experiment is not None
    found = client.search_runs(
        [experiment.experiment_id],
        f"attributes.status = 'RUNNING' and tags.fingerprint = '{fingerprint + JOB}'",
        max_results=1,
    )
    return found[0].info.run_id if found else None
