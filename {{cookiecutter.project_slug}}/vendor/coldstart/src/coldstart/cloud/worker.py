"""What runs on a rented machine: a training, kept safe from the machine's end.

It brings the data and the newest snapshot from the object store, trains, and takes a snapshot
every few seconds and at the end. It ends when the training does, when it is told to (SIGTERM), and
at the deadline, whatever the training is doing. Without a store, as in a container that is not
lost with its machine, there are no snapshots, and all else is the same.

The environment says what to do: see `job.py`.
"""

from __future__ import annotations

import contextlib
import json
import os
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

LOG, ABOUT = Path("training.log"), Path("about.json")
HOME = "sqlite:///mlflow.db"
STOPPED, TOO_LATE = 143, 124  # exit codes: as after SIGTERM, and as `timeout` has it
LOST, TRIES = 1, 3  # exit code of torchrun when a rank has ended, and how often it is started
PORTS = 20000, 10000  # the first, and how many: another's job may be on the same machines
PAUSE, WAIT = 0.2, 3.0  # seconds
EVERY = 30.0  # seconds from a snapshot to the next
RESULTS = 60  # seconds before the machine's end that belong to bringing away what there is


class Worker:
    """One life of a job on one machine.

    Parameters
    ----------
    arguments : list of str
        Name of the project's package, and the command line to run.
    """

    def __init__(self, arguments: list[str]) -> None:
        self.arguments = arguments
        self.deadline = float(os.environ["DEADLINE"]) - RESULTS
        self.every = float(os.environ.get("SNAPSHOT_SECONDS", EVERY))
        self.first = os.environ.get("SKYPILOT_NODE_RANK", "0") == "0"  # of the job's machines
        self.stopped = False
        self.about: dict[str, Any] = {"lives": []}
        self.snapshots: Snapshots | None = None

    def run(self) -> int:
        """Train, and return the exit code that says how it ended."""
        signal.signal(signal.SIGTERM, self.stop)
        if address := os.environ.get("STORE"):
            self.patiently(lambda: self.fetch(Store(address)))
        elif ABOUT.is_file():  # the same container was started again
            self.about = json.loads(ABOUT.read_text())
        self.about["lives"].append({"machine": os.uname().nodename, "start": time.time()})
        if self.about.get("code") == 0:
            return 0  # it was done, and only its machine did not know
        self.about.pop("code", None)  # as when the last machine was told to end
        try:
            self.patiently(self.keep)  # whatever comes, it is known that this machine was there
            code = self.train()
            self.about["code"] = code
            self.patiently(self.keep)
            return code
        except TakenError:
            print("error: another machine has taken over", file=sys.stderr)
            return STOPPED

    def stop(self, *_: Any) -> None:
        """Remember that the machine is about to go."""
        self.stopped = True

    def fetch(self, store: Store) -> None:
        """Bring the data, and the state that the last machine left."""
        archive = Path("inputs.tar.gz")
        inputs, _, name = os.environ["INPUTS"].rpartition("/")
        Store(inputs).fetch(name, archive)
        unpack(archive, Path())
        archive.unlink()
        snapshots = Snapshots(store, Path())
        if about := snapshots.restore():
            self.about = about
            print(f"going on from snapshot {snapshots.number}", flush=True)
        if self.first:  # the others have nothing to keep
            self.snapshots = snapshots

    def train(self) -> int:
        """Run the training, and once more if one of several ranks was lost."""
        where, options = tracked(self.about)
        launcher = torchrun()
        if launcher:
            print(f"{os.uname().nodename} takes part", flush=True)
        for _ in range(TRIES if launcher else 1):
            code = self.try_once([*launcher, "-m", *self.arguments, *options], where)
            if code != LOST:
                break
        return code

    def try_once(self, arguments: list[str], where: dict[str, str]) -> int:
        """Run the training as a process of its own, and watch over it."""
        command = [sys.executable, *arguments]
        child = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | where,
            start_new_session=True,
        )
        try:
            threading.Thread(target=copy, args=(child,)).start()
            return self.watch(child)
        finally:
            # A checkpoint is never half written, and there may be no time to lose.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()

    def watch(self, child: subprocess.Popen[bytes]) -> int:
        """Wait for the end, whatever brings it, and take snapshots meanwhile."""
        kept = time.monotonic()
        while (code := child.poll()) is None:
            if self.stopped:
                return STOPPED
            if time.time() > self.deadline:
                print("error: out of time: HOURS=... allows more", flush=True)
                return TOO_LATE
            if time.monotonic() - kept > self.every:
                try:
                    self.keep()
                except (UserError, OSError) as error:  # it may have gone by the next one
                    print(f"no snapshot: {error}", file=sys.stderr, flush=True)
                kept = time.monotonic()
            time.sleep(PAUSE)
        return code

    def patiently(self, step: Callable[[], object]) -> None:
        """Take a step, again and again while the store does not answer and there is time.

        Raises
        ------
        UserError
            If there is no more time, or the store refuses.
        """
        while True:
            try:
                step()
                return
            except BusyError as error:
                if self.stopped or time.time() > self.deadline:
                    raise
                print(f"trying again: {error}", file=sys.stderr, flush=True)
            time.sleep(WAIT)

    def keep(self) -> None:
        """Take a snapshot; there may be none, if the files are being written to.

        Raises
        ------
        UserError
            If the store does not take it.
        """
        self.about["lives"][-1]["end"] = time.time()
        if self.snapshots:
            self.snapshots.take(self.about)
        else:
            ABOUT.write_text(json.dumps(self.about))


def torchrun() -> list[str]:
    """How the ranks are started, where there are more than one.

    SkyPilot tells it; on one machine with one GPU or none, nothing is needed.
    """
    addresses = os.environ.get("SKYPILOT_NODE_IPS", "").split()
    nodes, ranks = max(1, len(addresses)), os.environ.get("SKYPILOT_NUM_GPUS_PER_NODE", "0")
    if nodes == 1 and int(ranks) < 2:
        return []
    return [
        *("-m", "torch.distributed.run", "--nnodes", str(nodes)),
        *("--node-rank", os.environ.get("SKYPILOT_NODE_RANK", "0")),
        *("--nproc-per-node", str(max(1, int(ranks)))),
        *("--master-addr", addresses[0] if addresses else "127.0.0.1"),
        *("--master-port", str(port(os.environ.get("TRAINING_JOB", "0")))),
    ]


def port(job: str) -> int:
    """Where the ranks of a job meet, by its id."""
    first, count = PORTS
    return first + int(job[:8], 16) % count


def tracked(about: dict[str, Any]) -> tuple[dict[str, str], list[str]]:
    """Where the training tracks: the person's own store if it answers here, else the folder.

    What the job's first machine found holds for all that follow, since one training is one run.

    Returns
    -------
    dict
        Variables for the training.
    list
        Options for it: what goes home is chosen from there.
    """
    store = os.environ.get("MLFLOW_TRACKING_URI", "")
    if "tracking" not in about:
        about["tracking"] = store if store and answers(store) else HOME
        if store and about["tracking"] == HOME:
            print(f"{store} does not answer here: the runs come home with the model", flush=True)
    if about["tracking"] == HOME:
        return {"MLFLOW_TRACKING_URI": HOME}, ["--no-choose"]
    return {"MLFLOW_TRACKING_URI": about["tracking"]}, []


def answers(address: str) -> bool:
    """Whether there is a server, whatever it answers."""
    try:
        with urlopen(f"{address.rstrip('/')}/health", timeout=20):
            return True
    except HTTPError:
        return True
    except (OSError, ValueError):
        return False


def copy(child: subprocess.Popen[bytes]) -> None:
    """Tell what a process says, and write it down as well, as long as there is room."""
    assert child.stdout
    with LOG.open("ab", buffering=0) as log:
        for line in child.stdout:
            sys.stdout.buffer.write(line)
            sys.stdout.flush()
            with contextlib.suppress(OSError):  # who is not read must wait
                log.write(line)


if __name__ == "__main__":
    try:
        sys.exit(Worker(sys.argv[1:]).run())
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if (reason := no_room(error)) is None:
            raise
        print(f"error: {reason}; resources.disk_size in infra/train.sky.yaml", file=sys.stderr)
        sys.exit(2)
