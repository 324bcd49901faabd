"""The servers that are compared: what starts each, what it is asked, and what its answer holds."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from environments import Rivals
from load import CASES, KEY, Case
from project import ENGINE, PROGRAMS, Project

COMMON = (Case(1, 1), Case(1, 16), Case(32, 16))  # of servers that are far from the fastest
Probabilities = list[list[float]]


@dataclass(frozen=True)
class Bench:
    """What servers are started from.

    Attributes
    ----------
    folder
        The ingredients.
    bundle
        The model that all of them serve.
    rivals
        The environment of BentoML and LitServe, if they are measured.
    """

    project: Project
    folder: Path
    bundle: Path
    rivals: Rivals | None = None


@dataclass(frozen=True)
class Command:
    """A command line, and what is added to the project's environment variables for it."""

    line: list[str]
    variables: dict[str, str]


@dataclass(frozen=True)
class Server:
    """A server to measure.

    Attributes
    ----------
    command
        Makes the command from what there is and the port.
    cases
        What it is measured in.
    bodies
        Which of the ingredients' bodies it understands.
    probabilities
        Takes an answer's probabilities out of it; none where it does not compute any.
    """

    name: str
    command: Callable[[Bench, int], Command]
    path: str = "/predict"
    cases: Sequence[Case] = tuple(CASES)
    bodies: str = "api"
    probabilities: Callable[[Any], Probabilities] | None = lambda answer: ours(answer)


def ours(answer: Any) -> Probabilities:
    """Probabilities in an answer of this project's API."""
    return listed(answer["predictions"])


def listed(predictions: Any) -> Probabilities:
    """Probabilities in a list of predictions."""
    return [list(row["probabilities"].values()) for row in predictions]


def mlflow_pipelines(answer: Any) -> Probabilities:
    """Probabilities in an answer of MLflow's server of the pipeline."""
    probabilities: Probabilities = answer["predictions"]
    return probabilities


def mlflows(answer: Any) -> Probabilities:
    """Probabilities in an answer of MLflow's server."""
    label = "probability "
    return [
        [share for name, share in row.items() if name.startswith(label)]
        for row in answer["predictions"]
    ]


def this_api(bench: Bench, port: int, workers: int = 1, bundle: Path | None = None) -> Command:
    """Make the command of the project's own API, which asks for a key."""
    keys = bench.folder / "keys.txt"
    keys.write_text(f"bench {hashlib.sha256(KEY.encode()).hexdigest()}\n")
    options = {"port": port, "keys": keys, "workers": workers}
    line = [bench.project.python, "-m", bench.project.package, "serve"]
    line += ["--bundle", str(bundle or bench.bundle)]
    for name, value in options.items():
        line += [f"--serving.{name}", str(value)]
    return Command(line, {})


def mlflow(bench: Bench, port: int, model: Path | None = None) -> Command:
    """Make the command of MLflow's server for the same bundle, or for another model."""
    line = [bench.project.python, "-m", "mlflow", "models", "serve", "--env-manager", "local"]
    line += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    return Command([*line, "--model-uri", str(model or bench.bundle)], {})


def mlflow_pipeline(bench: Bench, port: int) -> Command:
    """Make the command of MLflow's server for the pipeline as it was before its export."""
    return mlflow(bench, port, bench.folder / "pipeline")


def dataframes(bench: Bench, port: int) -> Command:
    """Make the command of a FastAPI endpoint with the pickled pipeline."""
    pipeline = str(bench.folder / "pipeline.joblib")
    return program(bench, "dataframes.py", pipeline, str(port))


def empty(bench: Bench, port: int, workers: int = 1) -> Command:
    """Make the command of a FastAPI endpoint that computes nothing."""
    return program(bench, "empty.py", str(port), str(workers))


def program(bench: Bench, name: str, *arguments: str) -> Command:
    """Make the command of one of our programs in the project's environment."""
    about = [bench.project.package, str(bench.bundle)]
    return Command([bench.project.python, str(PROGRAMS / name), *about, *arguments], {})


def bento(bench: Bench, port: int, batches: bool = False) -> Command:
    """Make the command of BentoML's server of the graph, with or without its batching."""
    variables = rivals_variables(bench, batches)
    variables |= {"BENTOML_DO_NOT_TRACK": "true", "BENTOML_HOME": str(bench.folder / "bentoml")}
    assert bench.rivals is not None
    where = ["--host", "127.0.0.1", "--port", str(port), "--working-dir", str(PROGRAMS)]
    return Command([bench.rivals.program("bentoml"), "serve", "bento:Api", *where], variables)


def lit(bench: Bench, port: int, batches: bool = False) -> Command:
    """Make the command of LitServe's server of the graph, with or without its batching."""
    assert bench.rivals is not None
    line = [bench.rivals.program("python"), str(PROGRAMS / "lit.py"), str(port)]
    return Command(line, rivals_variables(bench, batches))


def rivals_variables(bench: Bench, batches: bool) -> dict[str, str]:
    """Environment variables that tell `programs/graph.py` what to serve."""
    found = {
        "BENCH_PACKAGE": bench.project.package,
        "BENCH_BUNDLE": str(bench.bundle),
        "PYTHONPATH": os.pathsep.join(
            map(str, [bench.project.folder / "src", bench.project.folder / ENGINE, PROGRAMS])
        ),
    }
    return found | ({"BENCH_BATCHES": "1"} if batches else {})


THIS = Server("this project", this_api)
EMPTY = Server("FastAPI, empty", empty, probabilities=None)
DATAFRAMES = Server("FastAPI, DataFrames", dataframes, cases=COMMON)
MLFLOW = Server(
    "mlflow serve, pipeline",
    mlflow_pipeline,
    "/invocations",
    COMMON,
    "frames",
    mlflow_pipelines,
)
MLFLOW_ONNX = Server("mlflow serve, our graph", mlflow, "/invocations", COMMON, "mlflow", mlflows)
BENTO = Server("BentoML, our graph", bento, cases=COMMON, probabilities=listed)
BENTO_BATCHES = Server(
    "BentoML, batching",
    lambda bench, port: bento(bench, port, batches=True),
    cases=COMMON,
    probabilities=listed,
)
LIT = Server("LitServe, our graph", lit, cases=COMMON)
LIT_BATCHES = Server(
    "LitServe, batching", lambda bench, port: lit(bench, port, batches=True), cases=COMMON
)
INSTALLED = [THIS, EMPTY, DATAFRAMES, MLFLOW, MLFLOW_ONNX]
RIVALS = {"bentoml": [BENTO, BENTO_BATCHES], "litserve": [LIT, LIT_BATCHES]}
