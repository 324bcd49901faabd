"""Runs in the generated project: takes snapshots of a training as a rented machine does.

Usage: python snapshots.py PACKAGE FOLDER ROUNDS

FOLDER holds a checkpoint, `newest.ckpt`, which is another one in each round. The store is one on
this machine, so that what it needs itself is in the time too. Prints, as JSON, the share of the
time that goes into snapshots, one value a round.
"""

# The generated project's environment has these libraries, the template's has not all.
# mypy: disable-error-code="import-not-found, import-untyped"

import json
import logging
import os
import shutil
import sys
import time
from pathlib import Path

import boto3
from moto.server import ThreadedMotoServer

from coldstart.cloud._snapshots import Snapshots
from coldstart.cloud._store import Store
from coldstart.cloud.worker import SNAPSHOT_SECONDS


def main(folder: Path, rounds: int) -> None:
    """Take them, each after another checkpoint."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    boto3.client("s3").create_bucket(Bucket="bench")
    store = Store("s3://bench/job")
    work = folder / "work"
    (work / "checkpoints").mkdir(parents=True)
    shutil.copy("mlflow.db", work)
    shutil.copytree("mlruns", work / "mlruns")
    snapshots = Snapshots(store, work)
    shares = []
    for turn in range(-1, rounds):  # the first one brings all that is there already
        checkpoint = (folder / "newest.ckpt").read_bytes() + bytes([turn + 1])
        (work / "checkpoints/loop.ckpt").write_bytes(checkpoint)
        began = time.perf_counter()
        assert snapshots.take({"lives": []})
        shares.append((time.perf_counter() - began) / SNAPSHOT_SECONDS)
    server.stop()
    print(json.dumps({"snapshots": shares[1:]}))


if __name__ == "__main__":
    main(Path(sys.argv[2]), int(sys.argv[3]))
