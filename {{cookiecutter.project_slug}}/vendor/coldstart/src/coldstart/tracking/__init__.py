"""MLflow: runs, registered versions, champion and challenger."""

from coldstart.tracking._bundling import complete_bundle, make_manifest, write_bundle
from coldstart.tracking._challenger import Candidate, choose_challenger
from coldstart.tracking._mlflow import connect, flat_metrics, log_parameters, log_table
from coldstart.tracking._model import log_bundle
from coldstart.tracking._registry import promote, register
from coldstart.tracking._run import TrainingRun, start_run

__all__ = [
    "Candidate",
    "TrainingRun",
    "choose_challenger",
    "complete_bundle",
    "connect",
    "flat_metrics",
    "log_bundle",
    "log_parameters",
    "log_table",
    "make_manifest",
    "promote",
    "register",
    "start_run",
    "write_bundle",
]
