"""A job whose machines are lost, whose store or disk fails, or whose time is over."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import lack

from coldstart.bundle._bundle import checksum
from coldstart.cli._commands import Train
from coldstart.cli._main import build
from coldstart.cloud import LaunchRequest, worker
from coldstart.cloud import _job_runs as job_runs
from coldstart.cloud import _results as results
from coldstart.cloud._packing import pack
from coldstart.cloud._snapshots import LISTS, Snapshots, newest_status
from coldstart.cloud._store import Store, read_json
from coldstart.config._settings import Settings
from coldstart.tracking._mlflow import connect
from engine.cloud.conftest import Bucket
from engine.support import PACKAGE, PROJECT, main

Wait = Callable[[Callable[[], Any], str], Any]


def machine(
    folder: Path, store: Store, before: tuple[str, ...] = (), **settings: str
) -> subprocess.Popen[bytes]:
    """Start a worker on a machine that has only the software: its folder is an empty one."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    environment = {name: value for name, value in os.environ.items() if "MLFLOW" not in name}
    variables = {
        "STORE": store.address,
        "INPUTS": f"{store.address}/inputs.tar.gz",
        "DEADLINE": str(time.time() + 300),
        "SNAPSHOT_SECONDS": "0.2",
        "GIT_COMMIT": "abc",
        "CUDA_VISIBLE_DEVICES": "",
    }
    return subprocess.Popen(
        [*before, sys.executable, "-m", "coldstart.cloud.worker", PACKAGE, "train"],
        cwd=folder,
        env=environment | variables | settings,
        stdout=(folder / "output").open("wb"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def lose(process: subprocess.Popen[bytes]) -> None:
    """Kill all processes of a machine, as if it were taken away."""
    children = subprocess.run(
        ["pgrep", "--parent", str(process.pid)], capture_output=True, text=True
    )
    process.send_signal(signal.SIGSTOP)
    for pid in [*map(int, children.stdout.split()), process.pid]:
        os.kill(pid, signal.SIGKILL)
    process.wait()


def send_inputs(store: Store, project: Path) -> None:
    """Put what a machine needs into the store."""
    pack(settings(), packed := project.parent / "inputs.tar.gz")
    store.put("inputs.tar.gz", packed)


def train_for(epochs: int) -> None:
    """Train the network for a number of epochs."""
    config = yaml.safe_load(Path("config.yaml").read_text())
    config["neural"] |= {"epochs": epochs, "patience": epochs}
    Path("config.yaml").write_text(yaml.safe_dump(config))


def settings() -> Settings:
    """Return the project's settings, as the command line reads them."""
    return build(PROJECT, Train, [])


def checkpointed(store: Store) -> bool:
    """Whether the newest snapshot holds a checkpoint."""
    names = store.names(LISTS)
    found = read_json(store, names[-1]) if names else None
    files = found["files"] if found else {}
    return any(name.startswith("checkpoints/") for name in files)


def newest(store: Store) -> str:
    """Return the name of the newest snapshot's list."""
    return max(store.names(LISTS), default="")


@pytest.mark.weekly
@pytest.mark.parametrize("losses", [1, 3])
def test_a_job_whose_machines_are_lost_ends_as_if_they_had_not(
    project: Path, store: Store, tmp_path: Path, wait: Wait, losses: int
) -> None:
    train_for(13)
    send_inputs(store, project)
    client = connect(settings())
    job = job_runs.begin(
        client, LaunchRequest(settings(), "docker", hours=1.0), "houses", ["train"], None
    )
    dice = random.Random(0)
    work = tmp_path / "work"
    for _ in range(losses):
        last = newest(store)
        process = machine(work, store, TRAINING_JOB=job.id)
        wait(lambda last=last: bool(newest(store) > last), "a snapshot")  # type: ignore[misc]
        wait(lambda: checkpointed(store), "a checkpoint")
        time.sleep(dice.uniform(0, 1))
        lose(process)
    last_machine = machine(work, store, TRAINING_JOB=job.id, SNAPSHOT_SECONDS="5")
    assert last_machine.wait(900) == 0, (work / "output").read_text()
    assert "resuming from snapshot" in (work / "output").read_text()

    brought = tmp_path / "brought"
    brought.mkdir()
    status = Snapshots(store, brought).restore()
    assert (status["code"], len(status["machines"])) == (0, losses + 1)
    for _ in range(2):  # it may be done again
        results.sync(client, settings(), brought, status, job.id, 3.0)
    experiment = job_runs.experiment_of(client, settings())
    (run,) = client.search_runs([experiment], "tags.family = 'neural'")
    assert run.info.status == "FINISHED"
    assert run.data.metrics["cost_usd"] == pytest.approx(3.0)
    (version,) = client.search_model_versions(f"run_id = '{run.info.run_id}'")
    assert "champion" in client.get_model_version(version.name, version.version).aliases
    assert len(list(Path("mlruns").rglob("model.onnx"))) == 1

    # The same training here, unbroken: every point of every metric is the same.
    assert main(["train"]) == 0
    runs = client.search_runs([experiment], "tags.family = 'neural'")
    (other,) = [one for one in runs if results.SOURCE not in one.data.tags]
    for key in ("final_fit_train_loss", "selection_search_validation_loss"):
        mine, theirs = (
            [(point.step, point.value) for point in client.get_metric_history(one.info.run_id, key)]
            for one in (run, other)
        )
        assert len(mine) >= 10  # the best of thirteen epochs differs between machines
        assert mine == theirs
    same = [name for name in run.data.metrics if name.startswith(("test_", "validation_"))]
    assert {n: run.data.metrics[n] for n in same} == {n: other.data.metrics[n] for n in same}


def test_a_mistake_of_the_user_ends_a_training_of_several_ranks_at_once(
    project: Path, store: Store, tmp_path: Path
) -> None:
    """A training that ends otherwise is started again, which is billed."""
    Path("data/raw/houses.csv").write_text("size,age,cost\n1,2,3\n")  # has no target
    send_inputs(store, project)
    ranks = {"SKYPILOT_NUM_GPUS_PER_NODE": "2", "GPUS": "0", "SKYPILOT_NODE_IPS": "127.0.0.1"}
    process = machine(tmp_path / "work", store, TRAINING_JOB="abcdef01", **ranks)
    assert process.wait(900) == 2
    told = (tmp_path / "work/output").read_text()
    assert told.count("error: ") == told.count("2 ranks on 1 machine(s)") == 1, told
    assert "Traceback" not in told
    assert read_json(store, newest(store))["status"]["code"] == 2


def test_a_training_is_ended_at_the_deadline_and_resumes_in_the_next_job(
    project: Path, store: Store, tmp_path: Path, wait: Wait
) -> None:
    train_for(5000)
    send_inputs(store, project)
    for seconds in (30, 90, 270):  # on a busy computer there may be no checkpoint in time
        deadline = time.time() + worker.RESERVE + seconds
        process = machine(tmp_path / "work", store, DEADLINE=str(deadline))
        assert process.wait(seconds + 900) == 124
        if checkpointed(store):
            break
    assert "out of time; HOURS=... allows more" in (tmp_path / "work/output").read_text()
    assert checkpointed(store)
    status = read_json(store, newest(store))["status"]
    assert status["code"] == 124
    assert status["machines"][-1]["end"] < deadline  # the reserve is for the last snapshot

    # What it has learned is not lost: the next job goes on from there.
    brought = tmp_path / "brought"
    brought.mkdir()
    client = connect(settings())
    job = job_runs.begin(
        client, LaunchRequest(settings(), "docker", hours=1.0), "houses", ["train"], None
    )
    results.sync(client, settings(), brought, Snapshots(store, brought).restore(), job.id, None)
    (run,) = client.search_runs(
        [job_runs.experiment_of(client, settings())], "tags.family = 'neural'"
    )
    assert run.info.status == "FAILED"
    later = Store(f"{store.address}-later")
    send_inputs(later, project)
    start = time.time()
    process = machine(tmp_path / "work", later)

    def first() -> Any:
        if not (tmp_path / "work/mlflow.db").exists():
            return None
        ask = "select step, timestamp from metrics where key like '%train_loss' order by step"
        with (
            contextlib.suppress(sqlite3.OperationalError),  # it is being made
            contextlib.closing(sqlite3.connect(tmp_path / "work/mlflow.db")) as database,
        ):
            return database.execute(ask).fetchone()

    step, when = wait(first, "an epoch")
    lose(process)
    assert step == 1
    assert when / 1000 < start


def test_on_sigterm_the_newest_checkpoint_is_kept_within_the_notice(
    project: Path, store: Store, tmp_path: Path, wait: Wait
) -> None:
    train_for(5000)
    send_inputs(store, project)
    process = machine(tmp_path / "work", store, SNAPSHOT_SECONDS="1000")
    checkpoints = tmp_path / "work/checkpoints"
    wait(lambda: list(checkpoints.rglob("*.ckpt")), "a checkpoint")
    assert not checkpointed(store)
    process.terminate()
    assert process.wait(60) == 143  # the notice is of two minutes
    kept = read_json(store, newest(store))["files"]
    # Ended as one takes the other's place, it leaves the one before.
    here = next(checkpoints.rglob("*-search.ckpt"), None) or next(checkpoints.rglob("*.ckpt"))
    assert kept[here.relative_to(tmp_path / "work").as_posix()] == checksum(here)


@pytest.mark.weekly
def test_while_the_store_does_not_respond_only_snapshots_are_missed(
    project: Path, store: Store, bucket: Bucket, tmp_path: Path, wait: Wait
) -> None:
    send_inputs(store, project)
    process = machine(tmp_path / "work", store)
    wait(lambda: checkpointed(store), "a checkpoint")
    bucket.busy = True
    try:
        output = tmp_path / "work/output"
        wait(lambda: "no snapshot: " in output.read_text(), "a refused snapshot")
        time.sleep(2)
    finally:
        bucket.busy = False
    assert process.wait(900) == 0
    assert read_json(store, newest(store))["status"]["code"] == 0


def test_a_training_that_fails_keeps_its_exit_code(
    project: Path, store: Store, tmp_path: Path
) -> None:
    Path("data/raw/houses.csv").write_text("size,age,price\n1,2,x\n")
    send_inputs(store, project)
    assert machine(tmp_path / "work", store).wait(60) == 2
    assert read_json(store, newest(store))["status"]["code"] == 2
    assert "error: " in (tmp_path / "work/output").read_text()


@pytest.mark.parametrize(
    ("full", "size"), [("data", "4k"), pytest.param("checkpoints", "4k", marks=pytest.mark.weekly)]
)
def test_a_full_disk_fails_the_job_in_a_line(
    project: Path, store: Store, tmp_path: Path, full: str, size: str
) -> None:
    mount = f"mkdir {full} && mount -t tmpfs -o size={size} none {full}"
    alone = ("unshare", "--map-root-user", "--mount")
    if subprocess.run([*alone, "sh", "-ec", "mount -t tmpfs none /mnt"]).returncode:
        lack("no disk may be mounted here")
    send_inputs(store, project)
    process = machine(tmp_path / "work", store, (*alone, "sh", "-ec", f'{mount}; exec "$@"', "sh"))
    assert process.wait(900) == 2
    output = (tmp_path / "work/output").read_text()
    assert "error: the disk is full" in output
    assert "Traceback" not in output
    # Before the data are there, a machine has nothing to record.
    assert full == "data" or read_json(store, newest(store))["status"]["code"] == 2


@pytest.mark.weekly
def test_two_machines_share_a_job_and_a_rank_that_dies_is_started_again(
    project: Path, store: Store, tmp_path: Path, wait: Wait
) -> None:
    train_for(12)
    send_inputs(store, project)
    both = {"SKYPILOT_NODE_IPS": "127.0.0.1\n127.0.0.1", "GLOO_SOCKET_IFNAME": "lo"}
    machines = [
        machine(tmp_path / rank, store, **both, SKYPILOT_NODE_RANK=rank, OMP_NUM_THREADS="1")
        for rank in ("0", "1")
    ]
    wait(lambda: checkpointed(store), "a checkpoint")
    ask = ["pgrep", "--full", f"^{sys.executable} -u -m {PACKAGE} train"]
    ranks = subprocess.run(ask, capture_output=True, text=True).stdout.split()
    (ours,) = [pid for pid in ranks if Path(f"/proc/{pid}/cwd").resolve() == tmp_path / "1"]
    os.kill(int(ours), signal.SIGKILL)
    outputs = [tmp_path / "0/output", tmp_path / "1/output"]
    assert [one.wait(900) for one in machines] == [0, 0], [path.read_text() for path in outputs]
    assert outputs[0].read_text().count("2 ranks on 2 machine(s)") == 2
    files = read_json(store, newest(store))["files"]
    assert any(name.endswith("model.onnx") for name in files)


def test_the_last_snapshot_holds_the_whole_log_however_slowly_it_is_read(
    project: Path, store: Store, tmp_path: Path, wait: Wait
) -> None:
    """A training that prints more than a pipe holds, and somebody who reads later."""
    send_inputs(store, project)
    Path(tmp_path / "work").mkdir()
    chatty = tmp_path / "chatty"
    chatty.mkdir()
    (chatty / "chatty.py").write_text(
        "for number in range(20_000): print(f'line {number}')\nraise SystemExit(7)\n"
    )
    paths = f"{chatty}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    variables = {
        "STORE": store.address,
        "INPUTS": f"{store.address}/inputs.tar.gz",
        "DEADLINE": str(time.time() + 300),
        "PYTHONPATH": paths,
    }
    with subprocess.Popen(
        [sys.executable, "-m", "coldstart.cloud.worker", "chatty"],
        cwd=tmp_path / "work",
        env=os.environ | variables,
        stdout=subprocess.PIPE,
    ) as process:
        wait(lambda: "code" in (newest_status(store) or {}), "the last snapshot")
        assert process.stdout
        assert process.stdout.read().count(b"line ") == 20_000
        assert process.wait() == 7
    brought = tmp_path / "brought"
    brought.mkdir()
    assert Snapshots(store, brought).restore()["code"] == 7
    assert (brought / "training.log").read_text().splitlines()[-1] == "line 19999"


def test_the_last_snapshot_waits_for_files_that_are_written_to(
    project: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "work"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints/last.ckpt").write_text("a")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DEADLINE", str(time.time() + 300))
    monkeypatch.setattr(worker, "RETRY_SECONDS", 0.01)
    job = worker.Worker(["houses"])
    job.status["machines"].append({"name": "here"})
    job.snapshots = Snapshots(store, folder)
    put, written = store.put, iter("bcd")

    def put_while_it_is_written(*arguments: Any, **options: Any) -> None:
        put(*arguments, **options)
        if letter := next(written, ""):
            with (folder / "checkpoints/last.ckpt").open("a") as file:
                file.write(letter)

    monkeypatch.setattr(store, "put", put_while_it_is_written)
    assert not job.save()  # as before the end, when the next one may succeed
    job.retry_while_busy(job.save_last, last=True)
    (last,) = store.names(LISTS)
    assert read_json(store, last)["files"].keys() == {"checkpoints/last.ckpt"}
    brought = tmp_path / "brought"
    brought.mkdir()
    Snapshots(store, brought).restore()
    assert (brought / "checkpoints/last.ckpt").read_text() == "abcd"


def fake_driver(folder: Path, script: str) -> dict[str, str]:
    """Return a PATH with a simulated nvidia-smi, for a machine that was rented with a GPU."""
    folder.mkdir()
    (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "nvidia-smi").chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    return {"SKYPILOT_NUM_GPUS_PER_NODE": "1", "PATH": path}


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo Failed to initialize NVML; exit 18", "its driver does not respond (Failed to init"),
        ("echo NVIDIA L4, 1.0", "NVIDIA L4 would not be used: torch is built for the CPU"),
    ],
)
def test_a_gpu_that_cannot_be_used_ends_the_job_before_it_trains(
    project: Path, store: Store, tmp_path: Path, script: str, reason: str
) -> None:
    """The driver is simulated; torch is the one here, which has no CUDA."""
    if "torch" in reason and torch.version.cuda:
        lack("torch has CUDA here")
    send_inputs(store, project)
    driver = fake_driver(tmp_path / "bin", script)
    assert machine(tmp_path / "work", store, **driver).wait(300) == 2
    output = (tmp_path / "work/output").read_text().splitlines()
    (line,) = [line for line in output if "error" in line]
    assert line.startswith(f"error: the GPU that is paid for cannot be used: {reason}")
    assert not (tmp_path / "work/mlflow.db").exists()
    assert read_json(store, newest(store))["status"]["code"] == 2
    assert line in (tmp_path / "work/training.log").read_text()


SIMULATED_CUDA = """
import sys
if "coldstart.cloud._gpu" in sys.orig_argv:
    import torch
    torch.version.cuda = "12.8"
    torch.cuda.is_available = lambda: True
    torch.cuda.synchronize = lambda: None
    torch.nn.Module.cuda = lambda self: self
    ones = torch.ones
    torch.ones = lambda *shape, device: ones(*shape)
"""


def test_a_gpu_that_was_rented_is_logged_and_the_training_does_not_take_the_cpu(
    project: Path, store: Store, tmp_path: Path
) -> None:
    """The driver and CUDA are simulated for the check alone, so the training finds no GPU."""
    if torch.cuda.is_available():
        lack("there is a GPU here")
    send_inputs(store, project)
    driver = fake_driver(tmp_path / "bin", "echo NVIDIA L4, 580.65.06")
    (tmp_path / "bin/sitecustomize.py").write_text(SIMULATED_CUDA)
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    assert machine(tmp_path / "work", store, PYTHONPATH=path, **driver).wait(300) == 2
    output = (tmp_path / "work/output").read_text()
    assert "NVIDIA L4, driver 580.65.06, torch with CUDA 12.8; a first step took " in output
    assert output.count("error: ") == 1
    assert "Traceback" not in output
    status = read_json(store, newest(store))["status"]
    assert status["gpu"]["gpu"] == "NVIDIA L4, driver 580.65.06, torch with CUDA 12.8"
    assert 0 < status["gpu"]["gpu_step_seconds"] < 60
