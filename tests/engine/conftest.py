"""What the tests share: a small project, the command line, and one real training.

The small project asks whether a fruit is sweet. Its table is made here, so that the
tests that use it go on passing when the demo's data has made way for yours.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
import pytest
import yaml
from bird_strikes.models import FAMILIES
from conftest import GeneratedProject, lack
from mlflow import MlflowClient

from coldstart.bundle import _bundle as bundle
from coldstart.data._dataset import prepare
from coldstart.export._onnx import to_onnx
from coldstart.train import Context
from coldstart.train._features import as_frame
from engine.support import PACKAGE, PREFIX, TEMPLATE, load_settings, main

# Where it is set, each of the processes that tests start would compile all modules anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the commands do: see commands.py

LAYERS = 20  # of the bundle that takes its time
COLUMNS: dict[str, dict[str, Any]] = {
    "fruit": {"type": "category", "role": "id", "nullable": False},
    "weight": {
        "type": "number",
        "minimum": 0,
        "maximum": 1000,
        "unit": "g",
        "example": 120,
        "description": "On our scales",
    },
    "length": {"type": "number", "missing_values": ["-999"]},
    "colour": {"type": "category", "categories": ["red", "green"], "example": "red"},
    "shop": {"type": "category", "missing_values": ["UNKNOWN"]},
    "grade": {
        "type": "category",
        "categories": ["A", "B"],
        "unseen": "refuse",
        "nullable": False,
        "example": "A",
    },
    "bruised": {"type": "boolean", "nullable": False, "example": False},
    "picked": {"type": "date", "example": "2024-06-30"},
    "sweet": {"type": "boolean", "role": "target", "nullable": False},
}
"""The small project's contract: a column of each kind, with and without nulls."""


def fruit(rows: int = 300) -> str:
    """Make the small project's table: heavy and red fruit are sweet, with some noise."""
    dice = random.Random(0)
    lines = [",".join(COLUMNS)]
    for number in range(rows):
        weight, colour = dice.randint(50, 250), dice.choice(["red", "green"])
        sweet = weight + 60 * (colour == "red") + dice.gauss(0, 20) > 180
        shop, grade = dice.choice(["North", "South", "UNKNOWN", ""]), dice.choice("AB")
        bruised, day = dice.choice(["yes", "no"]), f"2024-{dice.randint(1, 12):02}-15"
        shown, length = "" if number % 10 == 0 else str(weight), str(dice.randint(2, 20))
        row = [f"{number:04}", shown, length, colour, shop, grade, bruised, day]
        lines.append(",".join([*row, "yes" if sweet else "no"]))
    return "\n".join(lines) + "\n"


def write(
    folder: Path, columns: dict[str, Any] | None = None, table: str | None = None, **config: Any
) -> Path:
    """Write a project's contract, its table and its config.yaml."""
    contract = {"columns": columns or COLUMNS}
    config = {"data": {"table": "fruit.csv"}, "models": ["linear"]} | config
    (folder / "schema.yaml").write_text(yaml.safe_dump(contract, sort_keys=False))
    (folder / "fruit.csv").write_text(fruit() if table is None else table)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of the person who runs the tests out of them."""
    for name in os.environ:
        if name.startswith(PREFIX) or name == "MLFLOW_TRACKING_URI":
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _plain_logging() -> Iterator[None]:
    """Remove the handlers that a command added: they write to what pytest has closed by then."""
    root = logging.getLogger()
    before = root.handlers[:]
    yield
    for handler in root.handlers[:]:
        if type(handler) is logging.StreamHandler and handler not in before:
            root.removeHandler(handler)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's database before the first run: it takes MLflow seconds to make one."""
    folder = tmp_path_factory.mktemp("store")
    with contextlib.chdir(folder):
        # Whole, since of one that depends on the folder MLflow would use the same everywhere.
        MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments()
    return folder / "mlflow.db"


@pytest.fixture(scope="session")
def write_project(empty_store: Path) -> Callable[..., Path]:
    """`write_project(folder, columns=, table=, **config)`: the small project, in a folder."""

    def run(folder: Path, *args: Any, **kwargs: Any) -> Path:
        if not (folder / empty_store.name).exists():
            shutil.copy(empty_store, folder)
        return write(folder, *args, **kwargs)

    return run


@pytest.fixture
def small_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_project: Callable[..., Path]
) -> Callable[..., Path]:
    """`small_project(columns=, table=, **config)`: the same in `tmp_path`, and go there."""
    monkeypatch.chdir(tmp_path)

    def run(*args: Any, **kwargs: Any) -> Path:
        if "tracking_uri" not in kwargs:
            # Whole, as above: a test before this one may have used the relative address.
            monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
        return write_project(tmp_path, *args, **kwargs)

    return run


@pytest.fixture
def trained_here(
    small_project: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """`trained_here(columns=, table=, **config)`: what a training of such a project tells."""

    def run(**given: Any) -> str:
        small_project(**given)
        assert main(["train"]) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    return run


@pytest.fixture(scope="session")
def run_command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """`run_command(folder, *arguments, **env)`: a command of the package, in its own process."""

    def run(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        inherited = (PREFIX, "MLFLOW_TRACKING_URI")
        clean = {k: v for k, v in os.environ.items() if not k.startswith(inherited)}
        command = [sys.executable, "-m", PACKAGE, *arguments]
        return subprocess.run(command, cwd=folder, env=clean | env, capture_output=True, text=True)

    return run


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """`refusal(*arguments)`: what a command says that must fail by the person's mistake.

    It runs here and in this folder, which spares the seconds that a process imports for.
    An exception that is not told in a line would end the test.
    """

    def run(*arguments: str) -> str:
        capsys.readouterr()
        assert main(list(arguments)) == 2
        told = capsys.readouterr().err
        assert told.startswith("error: ")
        assert len(told.splitlines()) <= 3
        return told

    return run


@pytest.fixture(scope="session")
def small_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sealed linear model of the small project, where `serve` there looks for it.

    Tests must not change it. Its project is `small_bundle.parents[1]`.
    """
    project = write(tmp_path_factory.mktemp("small"))
    folder = project / "bundles" / "champion"
    folder.mkdir(parents=True)
    with contextlib.chdir(project):
        settings = load_settings()
        dataset = prepare(settings)
    rows = dataset.splits[0].train
    features, target = dataset.features(rows), dataset.target(rows)
    context = Context(dataset.contract, seed=0, neural=settings.neural, target=target)
    model = FAMILIES["linear"](context).fit(as_frame(features), target)
    onnx.save(to_onnx(model, features), folder / bundle.MODEL)
    shutil.copy(project / "schema.yaml", folder / bundle.CONTRACT)
    manifest = bundle.Manifest(
        family="linear", target="sweet", classes=dataset.classes, threshold=0.4
    )
    bundle.write_checksums(folder, manifest)
    return folder


def copy_sealed(
    source: Path, folder: Path, version: str, change: Callable[[Path], object] = lambda _: None
) -> Path:
    """Make a copy of a bundle, changed, sealed again, of another version."""
    shutil.copytree(source, folder)
    (folder / bundle.VERSION).unlink(missing_ok=True)
    change(folder)
    manifest = bundle.Manifest.model_validate_json((folder / bundle.MANIFEST).read_bytes())
    bundle.write_checksums(folder, manifest)
    registered = {"name": "small", "version": version, "alias": "champion"}
    (folder / bundle.VERSION).write_text(json.dumps(registered))
    return folder


def write_numeric(
    folder: Path, slope: float, recorded: float | None = None, width: int = 0, version: str = "1"
) -> Path:
    """Write a bundle that predicts a number, `slope` times the only column, `weight`.

    Its recorded predictions are those of another slope, if one is given. `width` is the size of
    the matrices that it multiplies for each row beside that, to take its time.
    """
    folder.mkdir(parents=True)
    columns = {
        "weight": {"type": "number", "nullable": False, "minimum": 0, "example": 120},
        "price": {"type": "number", "role": "target", "nullable": False},
    }
    (folder / bundle.CONTRACT).write_text(yaml.safe_dump({"columns": columns}, sort_keys=False))
    constants = {"slope": np.array([[slope]], dtype=np.float32)}
    nodes = [onnx.helper.make_node("MatMul", ["numbers", "slope"], ["price"])]
    if width:
        constants["matrix"] = np.full((width, width), 1 / width, dtype=np.float32)
        constants["ones"] = np.ones((1, width), dtype=np.float32)
        constants["nothing"] = np.zeros((width, 1), dtype=np.float32)
        nodes = [
            onnx.helper.make_node("MatMul", ["numbers", "slope"], ["plain"]),
            onnx.helper.make_node("MatMul", ["numbers", "ones"], ["wide"]),
            onnx.helper.make_node("MatMul", ["wide", "matrix"], ["layer 0"]),
            *(
                onnx.helper.make_node("MatMul", [f"layer {n}", "matrix"], [f"layer {n + 1}"])
                for n in range(LAYERS)
            ),
            onnx.helper.make_node("MatMul", [f"layer {LAYERS}", "nothing"], ["zero"]),
            onnx.helper.make_node("Add", ["plain", "zero"], ["price"]),
        ]
    shape = [None, 1]
    graph = onnx.helper.make_graph(
        nodes,
        "numeric",
        [onnx.helper.make_tensor_value_info("numbers", onnx.TensorProto.FLOAT, shape)],
        [onnx.helper.make_tensor_value_info("price", onnx.TensorProto.FLOAT, shape)],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), folder / bundle.MODEL
    )
    if recorded is not None:
        lines = [f"{weight},{recorded * weight!r}" for weight in range(1, 200, 7)]
        content = "\n".join(["weight,__prediction__", *lines])
        (folder / bundle.REFERENCE).write_text(content + "\n")
    bundle.write_checksums(folder, bundle.Manifest(family="linear", target="price"))
    registered = {"name": "small", "version": version, "alias": "champion"}
    (folder / bundle.VERSION).write_text(json.dumps(registered))
    return folder


@pytest.fixture(scope="session")
def numeric() -> Callable[..., Path]:
    """`numeric(folder, slope, recorded=, width=, version=)`: a bundle that predicts a number."""
    return write_numeric


@pytest.fixture(scope="session")
def sealed() -> Callable[..., Path]:
    """`sealed(source, folder, version, change=)`: a bundle's copy as another version."""
    return copy_sealed


@pytest.fixture
def champion(small_bundle: Path, tmp_path: Path) -> Path:
    """The small project's bundle as version 1, where `serve` looks for it in `tmp_path`."""
    (tmp_path / "bundles").mkdir()
    shutil.copy(small_bundle.parents[1] / "config.yaml", tmp_path)
    return copy_sealed(small_bundle, tmp_path / "bundles" / "champion", "1")


class Api(httpx2.Client):
    """A client, and the server's process."""

    process: subprocess.Popen[str]


@pytest.fixture(scope="session")
def served() -> Callable[..., AbstractContextManager[Api]]:
    """`with served(project, *arguments) as client`: run `serve` there, and end it afterwards.

    Other keywords are those of `subprocess.Popen`.
    """

    @contextlib.contextmanager
    def run(project: Path, *arguments: str, **options: Any) -> Iterator[Api]:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = str(free.getsockname()[1])
        command = [sys.executable, "-m", PACKAGE, "serve", "--serving.port", port, *arguments]
        with (
            subprocess.Popen(
                command, cwd=project, stdout=subprocess.PIPE, text=True, **options
            ) as process,
            Api(base_url=f"http://127.0.0.1:{port}", timeout=20) as client,
        ):
            client.process = process
            try:
                for _ in range(200):
                    try:
                        client.get("/health/live")
                        break
                    except httpx2.TransportError:
                        assert process.poll() is None, "the server ended"
                        time.sleep(0.1)
                yield client
            finally:
                process.terminate()

    return run


@pytest.fixture(scope="session")
def trained(
    tmp_path_factory: pytest.TempPathFactory,
    run_command: Callable[..., subprocess.CompletedProcess[str]],
    once: Callable[..., GeneratedProject],
) -> Path:
    """A copy of this project, in which `train --models linear,tree` ran on its real data.

    Tests must not change it: those that would take a copy. The processes of one run share it.
    """

    def make() -> GeneratedProject:
        folder = tmp_path_factory.mktemp("trained")
        for name in ("config.yaml", "schema.yaml"):
            shutil.copy(TEMPLATE / name, folder)
        shutil.copytree(TEMPLATE / "data" / "raw", folder / "data" / "raw")
        done = run_command(folder, "train", "--models", "linear,tree")
        assert done.returncode == 0, done.stderr
        return GeneratedProject(folder)

    return once("trained in place", make).path


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """A PostgreSQL of its own, on a free port; gives the address of its database."""
    places = [os.environ.get("PATH", ""), *map(str, Path("/usr/lib/postgresql").glob("*/bin"))]
    path = os.pathsep.join(places)
    initdb, pg_ctl = (shutil.which(name, path=path) for name in ("initdb", "pg_ctl"))
    if not (initdb and pg_ctl):
        lack("PostgreSQL is not installed (on Debian and Ubuntu: apt install postgresql)")
    folder = tempfile.mkdtemp()  # pytest's own folders are closed to other users
    run: dict[str, Any] = {"check": True, "capture_output": True, "cwd": folder, "timeout": 60}
    if os.geteuid() == 0:  # as which PostgreSQL refuses to run
        shutil.chown(folder, "nobody")
        run |= {"user": "nobody", "extra_groups": []}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data, word = f"{folder}/data", Path(folder, "word")
    word.write_text("tiger")
    word.chmod(0o644)
    access = ["--auth=scram-sha-256", f"--pwfile={word}", "--username=me", "--no-sync"]
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
    try:
        subprocess.run([initdb, "-D", data, *access], **run)
        start = [pg_ctl, "-D", data, "-l", f"{folder}/log", "-w", "-o", options, "start"]
        subprocess.run(start, **run | {"capture_output": False, "stdout": subprocess.DEVNULL})
        yield f"postgresql://me:tiger@127.0.0.1:{port}/postgres"
    finally:
        if Path(data, "postmaster.pid").exists():
            subprocess.run([pg_ctl, "-D", data, "-m", "immediate", "stop"], **run)
        shutil.rmtree(folder)
