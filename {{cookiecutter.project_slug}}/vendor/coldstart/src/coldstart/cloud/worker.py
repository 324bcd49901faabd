"""The worker: what runs on a machine, and keeps a training safe from the machine's end.

`python -m coldstart.cloud.worker PACKAGE COMMAND` downloads the data and the newest snapshot from
the object store, trains, and takes a snapshot every few seconds and at the end. It ends when the
training does, on SIGTERM, and at the deadline. Without a store, as in a container of a Docker host,
there are no snapshots, and all else is the same.

Environment variables say what to do: see `Job.environment`. The worker's status is a dictionary:

    machines    one entry for each machine that has worked on the job: name, start, end
    tracking    where the runs are tracked
    gpu         GPU, driver, CUDA, and the seconds of a first step, if it was rented with one
    code        exit code, once there is one
    reason      why the job failed, if the provider knows more than the exit code
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

from coldstart.cloud._packing import unpack
from coldstart.cloud._snapshots import Snapshots
from coldstart.cloud._store import BusyError, Store, TakenError
from coldstart.errors import UserError, no_room

LOG, STATUS = Path("training.log"), Path("status.json")
LOCAL_STORE = "sqlite:///mlflow.db"
# Exit codes: as after SIGTERM, and as `timeout` has it.
STOPPED, OUT_OF_TIME = 143, 124
# Exit code when a rank has ended otherwise than by a mistake of the user, and how often the
# training is started.
LOST_RANK, MAX_STARTS = 1, 3
MISTAKE = 2
# The first port for ranks to meet at, and how many: jobs may share machines.
PORTS = 20000, 10000
POLL_SECONDS, RETRY_SECONDS = 0.2, 3.0
SNAPSHOT_SECONDS = 30.0
# Seconds in which the rest of a training's output arrives, once its processes were killed.
OUTPUT_SECONDS = 10.0
# Seconds in which a GPU must have made a step. A driver may hang.
GPU_SECONDS = 120
# Seconds before the machine's end that are left for uploading results.
RESERVE = 60


class Worker:
    """A job on one machine.

    Parameters
    ----------
    arguments : list of str
        Name of the project's package, and the command line to run.
    """

    def __init__(self, arguments: list[str]) -> None:
        self.arguments = arguments
        self.deadline = float(os.environ["DEADLINE"]) - RESERVE
        self.interval = float(os.environ.get("SNAPSHOT_SECONDS", SNAPSHOT_SECONDS))
        self.is_first = os.environ.get("SKYPILOT_NODE_RANK", "0") == "0"  # of the job's machines
        self.stopped = False
        self.status: dict[str, Any] = {"machines": []}
        self.snapshots: Snapshots | None = None

    def run(self) -> int:
        """Train.

        Returns
        -------
        int
            Exit code of the training, or why it was ended.
        """
        signal.signal(signal.SIGTERM, self.stop)
        if address := os.environ.get("STORE"):
            self.retry_while_busy(lambda: self.fetch(Store(address)))
        elif STATUS.is_file():  # the same container was started again
            self.status = json.loads(STATUS.read_text())
        self.status["machines"].append({"name": os.uname().nodename, "start": time.time()})
        if self.status.get("code") == 0:
            return 0  # it was done, and its machine was lost before SkyPilot heard of it
        self.status.pop("code", None)  # of the machine before, which was told to end
        try:
            # First of all, so that the job knows of this machine, whatever becomes of it.
            self.retry_while_busy(self.save)
            code = self.train() if self.check_gpu() else MISTAKE
            self.status["code"] = code
            self.retry_while_busy(self.save_last, last=True)
            return code
        except TakenError:
            print("error: another machine has taken over", file=sys.stderr)
            return STOPPED

    def stop(self, *_: Any) -> None:
        """Note that the machine is about to end."""
        self.stopped = True

    def fetch(self, store: Store) -> None:
        """Download the data, and the state that the last machine has left."""
        archive = Path("inputs.tar.gz")
        inputs, _, name = os.environ["INPUTS"].rpartition("/")
        Store(inputs).fetch(name, archive)
        unpack(archive, Path())
        archive.unlink()
        snapshots = Snapshots(store, Path())
        if status := snapshots.restore():
            self.status = status
            print(f"resuming from snapshot {snapshots.number}", flush=True)
        if self.is_first:  # the others have nothing to keep
            self.snapshots = snapshots

    def check_gpu(self) -> bool:
        """Return whether the GPU that the machine was rented with can be used, if it was."""
        if not has_gpu():
            return True
        command = [sys.executable, "-m", "coldstart.cloud._gpu"]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=GPU_SECONDS, check=False
            )
            last = (done.stdout or done.stderr).strip().splitlines()[-1:]
        except subprocess.TimeoutExpired:
            done, last = None, [f"no step within {GPU_SECONDS} s"]
        if done is None or done.returncode:
            self.log(f"error: the GPU that is paid for cannot be used: {' '.join(last)}")
            return False
        self.status["gpu"] = json.loads(last[0])
        self.log("{gpu}; a first step took {gpu_step_seconds} s".format(**self.status["gpu"]))
        return True

    def log(self, line: str) -> None:
        """Print a line, and write it to the log."""
        print(line, flush=True)
        with LOG.open("a") as log:
            log.write(f"{line}\n")

    def train(self) -> int:
        """Run the training, and start it again if one of several ranks was lost."""
        where, options = choose_tracking(self.status)
        if has_gpu():
            options += ["--neural.accelerator", "gpu"]
        launcher = torchrun()
        if launcher:
            print(f"{os.uname().nodename} takes part", flush=True)
        for _ in range(MAX_STARTS if launcher else 1):
            code = self.train_once([*launcher, "-m", *self.arguments, *options], where)
            if code != LOST_RANK:
                break
        return code

    def train_once(self, arguments: list[str], where: dict[str, str]) -> int:
        """Run the training as a process of its own, and watch it."""
        command = [sys.executable, *arguments]
        child = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | where,
            start_new_session=True,
        )
        lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        log = threading.Thread(target=keep_output, args=(child, lines), daemon=True)
        log.start()
        # Neither the training nor the log waits for a slow reader of what is printed.
        threading.Thread(target=print_output, args=(lines,)).start()
        try:
            return self.watch(child)
        finally:
            # Checkpoints are replaced as a whole, and there may be no time to lose.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            log.join(OUTPUT_SECONDS)
            lines.put(b"")

    def watch(self, child: subprocess.Popen[bytes]) -> int:
        """Wait for the end of the training, and take snapshots meanwhile."""
        saved = time.monotonic()
        while (code := child.poll()) is None:
            if self.stopped:
                return STOPPED
            if time.time() > self.deadline:
                print("error: out of time; HOURS=... allows more", flush=True)
                return OUT_OF_TIME
            if time.monotonic() - saved > self.interval:
                try:
                    self.save()
                except (UserError, OSError) as error:  # the next one may succeed
                    print(f"warning: no snapshot: {error}", file=sys.stderr, flush=True)
                saved = time.monotonic()
            time.sleep(POLL_SECONDS)
        return code

    def retry_while_busy(self, step: Callable[[], object], last: bool = False) -> None:
        """Take a step, and repeat it while the store does not respond and there is time.

        The reserve is for the last step.

        Raises
        ------
        UserError
            If there is no more time, or the store refuses.
        """
        begin = time.time()
        while True:
            try:
                step()
                return
            except BusyError as error:
                end = begin if self.stopped else self.deadline
                if time.time() > (end + RESERVE if last else end):
                    raise
                print(f"trying again: {error}", file=sys.stderr, flush=True)
            time.sleep(RETRY_SECONDS)

    def save(self) -> bool:
        """Take a snapshot, and return whether there is one: not if files are being written to.

        Raises
        ------
        UserError
            If the store does not accept it.
        """
        self.status["machines"][-1]["end"] = time.time()
        if self.snapshots:
            return self.snapshots.take(self.status)
        STATUS.write_text(json.dumps(self.status))
        return True

    def save_last(self) -> None:
        """Take the snapshot that the results are read from."""
        if not self.save():
            raise BusyError("files of the training are still being written to")


def has_gpu() -> bool:
    """Return whether the machine was rented, or a container started, with a GPU."""
    return os.environ.get("GPUS", os.environ.get("SKYPILOT_NUM_GPUS_PER_NODE", "0")) != "0"


def torchrun() -> list[str]:
    """Return the arguments that start several ranks, from SkyPilot's variables.

    They are empty on one machine with one GPU or none.
    """
    addresses = os.environ.get("SKYPILOT_NODE_IPS", "").split()
    nodes, ranks = max(1, len(addresses)), os.environ.get("SKYPILOT_NUM_GPUS_PER_NODE", "0")
    if nodes == 1 and int(ranks) < 2:
        return []
    return [
        *("-m", "coldstart.cloud._torchrun", "--nnodes", str(nodes)),
        *("--node-rank", os.environ.get("SKYPILOT_NODE_RANK", "0")),
        *("--nproc-per-node", str(max(1, int(ranks)))),
        *("--master-addr", addresses[0] if addresses else "127.0.0.1"),
        *("--master-port", str(rendezvous_port(os.environ.get("TRAINING_JOB", "0")))),
    ]


def rendezvous_port(job: str) -> int:
    """Return the port at which the ranks of a job meet."""
    first, count = PORTS
    return first + int(job[:8], 16) % count


def choose_tracking(status: dict[str, Any]) -> tuple[dict[str, str], list[str]]:
    """Choose where the training tracks its runs.

    It is the project's own store if that responds here, else a file in the working folder. What
    the job's first machine has chosen holds for all that follow, since one training is one run.

    Parameters
    ----------
    status : dict
        Status of the worker. The choice is added to it.

    Returns
    -------
    dict
        Environment variables of the training.
    list of str
        Options of the training. With a file, the challenger is chosen on the other computer.
    """
    store = os.environ.get("MLFLOW_TRACKING_URI", "")
    if "tracking" not in status:
        status["tracking"] = store if store and responds(store) else LOCAL_STORE
        if store and status["tracking"] == LOCAL_STORE:
            print(
                f"warning: {store} does not respond here; the runs are downloaded with the model",
                flush=True,
            )
    if status["tracking"] == LOCAL_STORE:
        return {"MLFLOW_TRACKING_URI": LOCAL_STORE}, ["--no-choose"]
    return {"MLFLOW_TRACKING_URI": status["tracking"]}, []


def responds(address: str) -> bool:
    """Return whether a server responds, whatever the response is."""
    try:
        with urlopen(f"{address.rstrip('/')}/health", timeout=20):
            return True
    except HTTPError:
        return True
    except (OSError, ValueError):
        return False


def keep_output(child: subprocess.Popen[bytes], lines: queue.SimpleQueue[bytes]) -> None:
    """Write what a process prints to the log, while there is room, and into a queue."""
    assert child.stdout
    with LOG.open("ab", buffering=0) as log:
        for line in child.stdout:
            with contextlib.suppress(OSError):  # a process whose output is not read would wait
                log.write(line)
            lines.put(line)


def print_output(lines: queue.SimpleQueue[bytes]) -> None:
    """Print lines of a queue, until one is empty."""
    for line in iter(lines.get, b""):
        sys.stdout.buffer.write(line)
        sys.stdout.flush()


if __name__ == "__main__":
    try:
        sys.exit(Worker(sys.argv[1:]).run())
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if (reason := no_room(error)) is None:
            raise
        print(f"error: {reason}; see resources.disk_size in infra/train.sky.yaml", file=sys.stderr)
        sys.exit(2)
