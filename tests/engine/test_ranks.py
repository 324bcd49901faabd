"""Processes that torchrun starts share a training, lose one another, and go on in other numbers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

from engine.support import PACKAGE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")

NETWORK = {
    "epochs": 12,
    "patience": 12,
    "batch_size": 32,
    "dropout": 0.0,  # without it two ranks and one differ by rounding alone
    "accelerator": "cpu",
    "checkpoint_seconds": 0,
}

# Trains until the epochs that it is given, going on from the checkpoint, and keeps the weights.
PROGRAM = """
import contextlib, json, sys
import numpy as np, torch, torch.distributed as dist
from pathlib import Path
from bird_strikes import network
from coldstart.nn import _ranks as ranks
from coldstart.nn._batches import InMemory
from coldstart.config._sections import NeuralSettings
from coldstart.config._settings import rank_of
from coldstart.nn._job import TrainingJob, report_nothing

folder, epochs = Path(sys.argv[1]), int(sys.argv[2])
settings = NeuralSettings(**json.loads(sys.argv[3]))

def train(fabric, job):
    weights, _ = network.train_network(fabric, job)
    held = list(fabric.module.parameters())
    if settings.strategy == "fsdp":
        whole = sum(parameter.numel() for parameter in held)
        assert sum(parameter.to_local().numel() for parameter in held) < 0.6 * whole
    elif fabric.world_size > 1:
        others = [None] * fabric.world_size
        dist.all_gather_object(others, [parameter.detach() for parameter in held])
        assert all(map(torch.equal, *others)), "the ranks' weights differ"
    return weights

def setup(self, module, inner=network.Fabric.setup_module):
    self.module = module
    return inner(self, module)

network.Fabric.setup_module = setup
if rank_of()[0]:
    sys.exit(ranks.run_worker(settings))
dice = np.random.default_rng(0)
rows = np.hstack([dice.normal(size=(600, 3)), dice.integers(0, 5, (600, 1))]).astype(np.float32)
target = torch.tensor(rows[:, 0] * rows[:, 1] + (rows[:, 3] == 3) > 0.2).long()
learned = InMemory(torch.tensor(rows), target)
job = TrainingJob("fit", (3, [5], 2), settings, 1, epochs, learned, None, folder / "x.ckpt", print)
with ranks.leading(settings) if rank_of()[1] > 1 else contextlib.nullcontext():
    weights = ranks.launch(settings, train, job, job._replace(report=report_nothing))
np.savez(folder / "weights.npz", **weights)
"""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def torchrun(folders: list[Path], *command: str, **variables: str) -> list[subprocess.Popen[str]]:
    """Start a command as the worker does on as many machines, each with a folder of its own."""
    port, count = str(free_port()), str(len(folders))
    return [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "coldstart.cloud._torchrun", "--nproc-per-node", "1"),
                *("--nnodes", count, "--node-rank", str(number)),
                *("--master-addr", "127.0.0.1", "--master-port", port),
                *command,
            ],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={
                **os.environ,
                "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db",
                "GLOO_SOCKET_IFNAME": "lo",
                "OMP_NUM_THREADS": "1",
                **variables,
            },
        )
        for number, folder in enumerate(folders)
    ]


def ended(processes: list[subprocess.Popen[str]], seconds: float) -> list[str]:
    """What they told, when all have ended within the time."""
    try:
        end = time.monotonic() + seconds
        return [process.communicate(timeout=end - time.monotonic())[0] for process in processes]
    finally:
        for process in processes:
            process.kill()


def children(pid: int) -> list[int]:
    """Processes that one started."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()]


def results(folder: Path) -> tuple[dict[str, float], dict[str, str]]:
    """Metrics and tags of the only run."""
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name(PACKAGE)
    assert experiment
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    points = client.get_metric_history(run.info.run_id, "final_search_validation_loss")
    assert sorted(point.step for point in points) == list(range(1, NETWORK["epochs"] + 1))
    return run.data.metrics, run.data.tags


@pytest.mark.weekly
def test_two_machines_train_as_one_does_though_one_of_them_was_lost(
    tmp_path: Path,
    write_project: Callable[..., Path],
    run_command: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    folders = [tmp_path / name for name in ("first", "second", "alone")]
    for folder in folders:
        folder.mkdir()
        write_project(folder, models=["neural"], neural=NETWORK, split={"cross_validate_below": 0})
    *machines, alone = folders
    (machines[1] / "mlflow.db").unlink()
    train = ("-m", PACKAGE, "train")

    agents = torchrun(machines, *train)
    end = time.monotonic() + 300
    while not list(machines[0].glob("checkpoints/*/*-fit.ckpt")) and time.monotonic() < end:
        assert agents[0].poll() is None, ended(agents, 10)
        time.sleep(0.005)
    (rank,) = children(agents[1].pid)
    os.kill(rank, signal.SIGKILL)
    told = ended(agents, 900)
    assert all(agent.returncode for agent in agents)
    assert "started again, the training goes on from its checkpoint" in told[0]

    agents = torchrun(machines, *train)
    told = ended(agents, 900)
    assert [agent.returncode for agent in agents] == [0, 0], told
    assert "2 ranks on 2 machine(s), ddp over gloo: they share batches of 32 rows, 16 a" in told[0]
    assert not told[1].strip()
    given = {"config.yaml", "schema.yaml", "fruit.csv"}
    assert {path.name for path in machines[1].iterdir()} == given  # all else is the first rank's

    done = run_command(alone, "train")
    assert done.returncode == 0, done.stderr
    found, tags = results(machines[0])
    expected, _ = results(alone)
    assert tags["ranks"] == "2"
    for name, value in expected.items():
        if name.startswith(("test_", "final_")):
            # Of the last batch of 31 rows, two ranks train on 30.
            assert found[name] == pytest.approx(value, abs=5e-3), name


@pytest.mark.weekly
def test_a_training_goes_on_with_another_number_of_ranks_and_another_strategy(
    tmp_path: Path,
) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)

    def train(folder: Path, epochs: int, ranks: int, **settings: Any) -> dict[str, np.ndarray]:
        chosen = json.dumps(NETWORK | settings)
        command = [str(program), str(folder), str(epochs), chosen]
        if ranks == 1:
            subprocess.run([sys.executable, *command], check=True, timeout=300)
        else:
            agents = torchrun([tmp_path] * ranks, *command)
            told = ended(agents, 900)
            assert not any(agent.returncode for agent in agents), told
        with np.load(folder / "weights.npz") as weights:
            return dict(weights)

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    train(parts, 3, 1)
    train(parts, 6, 2)
    train(parts, 9, 2, strategy="fsdp")
    found = train(parts, 12, 1)
    expected = train(whole, 12, 1)
    assert expected.keys() == found.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-4)


MISTAKEN = """
import os, sys, time
from coldstart.config._sections import NeuralSettings
from coldstart.config._settings import rank_of
from coldstart.errors import UserError
from coldstart.nn import _ranks as ranks

settings = NeuralSettings(accelerator="cpu")

def train(fabric, wrong):
    if fabric.global_rank == wrong:
        raise UserError("the batch size is too small: make it larger")
    fabric.barrier()  # the other rank waits for one that has ended

def notice_late(inner=ranks.mistake_noted):
    time.sleep(2)
    return inner()

ranks.mistake_noted = notice_late
if __name__ == "__main__":
    if rank_of()[0]:
        sys.exit(ranks.run_worker(settings))
    wrong = int(os.environ["WRONG"])
    with ranks.leading(settings):
        ranks.launch(settings, train, wrong, wrong)
"""


@pytest.mark.parametrize("wrong", [0, pytest.param(1, marks=pytest.mark.weekly)])
def test_a_mistake_that_one_rank_finds_ends_all_machines_with_2(tmp_path: Path, wrong: int) -> None:
    """Each machine starts a training again that has ended with 1; see the worker."""
    (tmp_path / "mistaken.py").write_text(MISTAKEN)
    agents = torchrun(
        [tmp_path] * 2, "-m", "mistaken", WRONG=str(wrong), PYTHONPATH=with_path(tmp_path)
    )
    told = ended(agents, 900)
    assert [agent.returncode for agent in agents] == [2, 2], told
    assert "error: the batch size is too small: make it larger\n" in told[wrong]
    assert "Traceback" not in "".join(told)


def with_path(folder: Path) -> str:
    """PYTHONPATH with one more folder."""
    return os.pathsep.join([str(folder), os.environ["PYTHONPATH"]])
