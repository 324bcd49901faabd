"""The neural network's training can be killed, repeated and shared out."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from bird_strikes.network import Network, loss_function, mean_loss, train_network
from lightning_fabric import Fabric
from mlflow import MlflowClient

from coldstart.bundle._bundle import MODEL
from coldstart.config._sections import NeuralSettings
from coldstart.nn._batches import InMemory
from coldstart.nn._estimator import NeuralNetwork
from coldstart.nn._job import Loop, Result, TrainingJob
from engine.support import PACKAGE, TEMPLATE, main


def start(folder: Path, source: Path | None = None) -> subprocess.Popen[str]:
    """Start the training, of the project's source or of a changed copy."""
    found = f"{source}{os.pathsep}" if source else ""
    return subprocess.Popen(
        [sys.executable, "-m", PACKAGE, "train"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={
            **os.environ,
            "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db",
            "PYTHONPATH": found + os.environ["PYTHONPATH"],
        },
    )


def finish(folder: Path, source: Path | None = None) -> str:
    """Run the training to its end, and return what it printed."""
    process = start(folder, source)
    output, _ = process.communicate(timeout=900)
    assert process.returncode == 0, output
    return output


def kill_after_checkpoint(folder: Path, name: str, source: Path | None = None) -> None:
    """Start the training, and kill it as soon as it has written a checkpoint more."""
    process = start(folder, source)
    before = {path: path.stat().st_mtime_ns for path in folder.glob(f"checkpoints/*/{name}")}
    end = time.monotonic() + 300
    while time.monotonic() < end and process.poll() is None:
        now = {path: path.stat().st_mtime_ns for path in folder.glob(f"checkpoints/*/{name}")}
        if now != before:
            break
        time.sleep(0.002)
    assert process.poll() is None, process.stdout.read() if process.stdout else ""
    process.send_signal(signal.SIGKILL)
    process.wait()


def weights(model: Path) -> dict[str, np.ndarray]:
    """All constants of a graph, the fitted preprocessing's among them."""
    constants = onnx.load(model).graph.initializer
    return {constant.name: onnx.numpy_helper.to_array(constant) for constant in constants}


def test_a_training_killed_twice_ends_as_an_unbroken_one(
    tmp_path: Path,
    write_project: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    chosen = {"epochs": 20, "patience": 20, "batch_size": 32, "checkpoint_seconds": 0}
    folders = [tmp_path / "unbroken", tmp_path / "killed"]
    for folder in folders:
        folder.mkdir()
        write_project(folder, models=["neural"], neural=chosen, split={"cross_validate_below": 0})
    unbroken, killed = folders

    with monkeypatch.context() as here:
        here.chdir(unbroken)
        here.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{unbroken}/mlflow.db")
        assert main(["train"]) == 0
    said = "neural: global batch of 32 rows, 32 on each of 1 rank(s); learning rate 0.006"
    assert said in capsys.readouterr().out
    kill_after_checkpoint(killed, "*-search.ckpt")
    assert not (killed / "bundles" / "challenger").exists()
    kill_after_checkpoint(killed, "*-fit.ckpt")
    assert re.search(r"resuming from epoch \d+ of \d\d:\d\d; FRESH=1 starts anew", finish(killed))

    expected, found = (weights(folder / "bundles" / "challenger" / MODEL) for folder in folders)
    assert expected.keys() == found.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)
    assert not list(killed.glob("checkpoints/*"))

    runs, histories = [], []
    for folder in folders:
        client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
        experiment = client.get_experiment_by_name(PACKAGE)
        assert experiment
        (run,) = client.search_runs([experiment.experiment_id])  # one training is one run
        runs.append(run)
        points = client.get_metric_history(run.info.run_id, "final_search_validation_loss")
        histories.append(sorted((point.step, point.value) for point in points))
    assert runs[1].info.status == "FINISHED"
    assert runs[1].data.params["global_batch"] == "32"
    assert runs[1].data.params["learning_rate"] == "0.006"
    assert histories[0] == histories[1]
    assert [step for step, _ in histories[1]] == list(range(1, 21))
    for name, value in runs[0].data.metrics.items():
        if name.startswith("test_"):
            assert runs[1].data.metrics[name] == value


@pytest.mark.weekly
def test_a_training_whose_loss_was_edited_meanwhile_starts_anew(
    tmp_path: Path, write_project: Callable[..., Path]
) -> None:
    chosen = {"epochs": 4, "patience": 4, "batch_size": 32, "checkpoint_seconds": 0}
    interrupted, unbroken = tmp_path / "interrupted", tmp_path / "unbroken"
    for folder in (interrupted, unbroken):
        folder.mkdir()
        write_project(folder, models=["neural"], neural=chosen, split={"cross_validate_below": 0})
        shutil.copytree(TEMPLATE / "src" / "{{cookiecutter.__package}}", folder / "src" / PACKAGE)

    kill_after_checkpoint(interrupted, "*-search.ckpt", interrupted / "src")
    for folder in (interrupted, unbroken):
        network = folder / "src" / PACKAGE / "network.py"
        edited = network.read_text().replace(
            "nn.CrossEntropyLoss(", "nn.CrossEntropyLoss(label_smoothing=0.3, "
        )
        assert edited != network.read_text()
        network.write_text(edited)
    assert "resuming" not in finish(interrupted, interrupted / "src")
    finish(unbroken, unbroken / "src")

    found, expected = (
        weights(folder / "bundles" / "challenger" / MODEL) for folder in (interrupted, unbroken)
    )
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)


def data() -> tuple[np.ndarray, np.ndarray]:
    """Two numbers and a category, whose product with one decides."""
    dice = np.random.default_rng(0)
    inputs = np.hstack([dice.normal(size=(600, 2)), dice.integers(0, 5, (600, 1))])
    return inputs, (inputs[:, 0] * inputs[:, 1] + (inputs[:, 2] == 3) > 0.2).astype(np.int64)


def network(
    folder: Path,
    weight: np.ndarray | None = None,
    rows: tuple[np.ndarray, np.ndarray] | None = None,
    loop: Loop = train_network,
    **settings: object,
) -> NeuralNetwork:
    """Fit a network on the data, or on other rows."""
    inputs, target = rows or data()
    estimator = NeuralNetwork(
        network=Network,
        loop=loop,
        classifies=target.dtype == np.int64,
        n_categories=1,
        settings=NeuralSettings.model_validate({"epochs": 8, "batch_size": 60, **settings}),
        seed=1,
        checkpoints=folder,
        report=print,
    )
    return estimator.fit(inputs, target, weight)


def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    one, two = network(tmp_path / "one"), network(tmp_path / "two")
    for name, tensor in one.network_.state_dict().items():
        assert torch.equal(tensor, two.network_.state_dict()[name])


@pytest.mark.skipif(sys.platform == "win32", reason="torch's gloo has no Windows build with spawn")
def test_two_processes_train_as_one_does(tmp_path: Path) -> None:
    # Without dropout both see the same batches, so they differ by rounding alone. The weights of a
    # batch are not divided evenly among them.
    weight = np.random.default_rng(0).exponential(size=600)
    same: dict[str, Any] = {"weight": weight, "dropout": 0.0, "accelerator": "cpu"}
    alone = network(tmp_path / "alone", **same)
    shared = network(tmp_path / "shared", **same, devices=2)
    inputs, _ = data()
    expected, found = alone.predict_proba(inputs), shared.predict_proba(inputs)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("n_outputs", [3, 1])
def test_it_predicts_the_mean_of_its_perceptrons(n_outputs: int) -> None:
    torch.manual_seed(0)
    built = Network(2, [5], n_outputs, NeuralSettings(dropout=0.0))
    inputs = torch.tensor(data()[0], dtype=torch.float32)
    each, together = built.train()(inputs).unflatten(0, (len(inputs), -1)), built.eval()(inputs)
    if n_outputs > 1:
        each, together = each.softmax(2), together.softmax(1)
    assert each.std(dim=1).min() > 1e-4  # they differ
    torch.testing.assert_close(together, each.mean(dim=1))


def test_it_stops_early_when_nothing_improves(tmp_path: Path) -> None:
    estimator = network(tmp_path, epochs=200, patience=2, learning_rate=0.05)
    assert estimator.epochs_ < 100


@pytest.mark.parametrize("classifies", [True, False])
def test_in_the_loss_a_weight_of_three_is_three_copies_and_one_of_zero_no_row(
    classifies: bool,
) -> None:
    dice = torch.Generator().manual_seed(0)
    counts = torch.tensor([0, 1, 3]).repeat(20)
    inputs = torch.cat([torch.randn(60, 2, generator=dice), (counts % 5)[:, None].float()], 1)
    targets = (inputs[:, 0] > 0).long() if classifies else inputs[:, :1] * inputs[:, 1:2]
    built = Network(2, [5], 2 if classifies else 1, NeuralSettings(dropout=0.0))
    once = inputs, targets, counts / counts.float().mean()
    often = (*(part.repeat_interleave(counts, dim=0) for part in once[:2]), torch.ones(80))
    loss_of = loss_function(classifies)
    for training in (True, False):  # several scores a row, and one
        built.train(training)
        losses, slopes = [], []
        for batch in (once, often):
            built.zero_grad()
            loss = mean_loss(built, batch, loss_of)
            loss.backward()
            losses.append(loss.detach())
            slopes.append(torch.cat([part.grad.ravel() for part in built.parameters()]))  # type: ignore[union-attr]
        torch.testing.assert_close(*losses)
        torch.testing.assert_close(*slopes)
        built.zero_grad()
        assert abs(mean_loss(built, (*once[:2], torch.ones(60)), loss_of) - losses[0]) > 1e-3


def noisy(classifies: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows whose target the inputs decide in part, and a weight that is larger for large ones."""
    dice = np.random.default_rng(1)
    inputs = np.hstack([dice.normal(size=(900, 2)), dice.integers(0, 5, (900, 1))])
    value = inputs[:, 0] + dice.normal(size=900)
    target = (value > 0).astype(np.int64) if classifies else value
    return inputs, target, np.where(value > 0, 6, 1) * (np.arange(900) % 3 > 0)


@pytest.mark.parametrize("classifies", [True, False])
def test_a_network_trained_with_weights_predicts_as_one_of_copies(
    classifies: bool, tmp_path: Path
) -> None:
    inputs, target, weight = noisy(classifies)
    often = np.repeat(inputs, weight, axis=0), np.repeat(target, weight)
    same = {"dropout": 0.0, "learning_rate": 0.002, "epochs": 12}
    weighted = network(tmp_path / "weighted", weight, (inputs, target), **same)
    copied = network(tmp_path / "copied", None, often, **same)
    plain = network(tmp_path / "plain", None, (inputs, target), **same)
    # On average: two networks differ in each row, even with another seed alone.
    found, expected, without = (
        one.predict_proba(inputs)[:, -1].mean() for one in (weighted, copied, plain)
    )
    assert weighted.mean_ == pytest.approx(copied.mean_)
    assert weighted.deviation_ == pytest.approx(copied.deviation_)
    assert abs(found - expected) < 0.2 * abs(found - without)


@pytest.mark.parametrize("classifies", [True, False])
def test_a_row_of_weight_zero_is_absent(classifies: bool, tmp_path: Path) -> None:
    inputs, target, weight = noisy(classifies)
    present = weight > 0
    zero = network(tmp_path / "zero", weight, (inputs, target))
    absent = network(tmp_path / "absent", weight[present], (inputs[present], target[present]))
    np.testing.assert_array_equal(zero.predict_proba(inputs), absent.predict_proba(inputs))


def test_rows_that_decide_when_to_stop_are_weighted_as_those_that_are_learned_from(
    tmp_path: Path,
) -> None:
    weight, jobs = np.random.default_rng(0).exponential(size=600), list[TrainingJob]()

    def watched(fabric: Fabric, job: TrainingJob) -> Result:
        jobs.append(job)
        return train_network(fabric, job)

    network(tmp_path, weight, loop=watched, epochs=1)
    search, fit = jobs
    assert search.held_out
    for job, among in ((search, weight[:510]), (fit, weight)):
        assert isinstance(job.train, InMemory)
        np.testing.assert_allclose(job.train.weights, among / among.mean(), rtol=1e-5)
    held_out = weight[510:]
    np.testing.assert_allclose(search.held_out[2], held_out / held_out.mean(), rtol=1e-5)


def test_a_checkpoint_of_other_weights_is_not_resumed(tmp_path: Path) -> None:
    weight = np.random.default_rng(0).exponential(size=600)
    network(tmp_path / "same")
    found, expected = network(tmp_path / "same", weight), network(tmp_path / "other", weight)
    for name, tensor in expected.network_.state_dict().items():
        assert torch.equal(tensor, found.network_.state_dict()[name])
