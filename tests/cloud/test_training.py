"""`make train ON=aws`: SkyPilot rents a machine of the testbed, which gets the code and trains.

Each test checks that nothing is left at the provider that costs money, and what MLflow holds. They
run weekly: SkyPilot's runtime is installed on each machine.
"""

from __future__ import annotations

import json
import time

import pytest
from test_images import docker

from .project import Rented
from .rented import Cloud

pytestmark = [pytest.mark.slow, pytest.mark.weekly]


def credentials_on(machine: str) -> list[str]:
    """Return the files on a machine that are, by their names, a user's credentials."""
    places = [f"/home/ubuntu/{name}" for name in (".aws", ".azure", ".kube", ".runpod")]
    return docker("exec", machine, "sh", "-c", f"find {' '.join(places)} -type f || true").split()


def test_a_machine_is_rented_trains_and_is_returned(rented: Rented, cloud: Cloud) -> None:
    start = time.monotonic()
    for name in (".aws/credentials", ".runpod/config.toml", ".kube/config", ".azure/config"):
        (rented.cloud.home / "user" / name).parent.mkdir(exist_ok=True)
        (rented.cloud.home / "user" / name).write_text("[default]\n")
    asked = ["--on", "aws", "--gpu", "none", "--models", '["tree", "linear"]', "--hours", "0.3"]
    training = rented.start("train-on", *asked, "--dollars", "1", "--yes")
    training.says(r"data: [\d,]+ rows")
    machine = rented.machine(training.job)["InstanceId"]
    assert credentials_on(machine) == []
    # It was told at its boot when to end: 18 minutes, and 10 more.
    assert 20 <= int(docker("exec", machine, "cat", "/run/shutdown")) <= 28
    shutdown = cloud.client("ec2").describe_instance_attribute(
        InstanceId=machine, Attribute="instanceInitiatedShutdownBehavior"
    )["InstanceInitiatedShutdownBehavior"]
    assert shutdown == {"Value": "terminate"}
    assert rented.works(training.job), training.said  # the log is printed while it trains
    assert training.wait() == 0, training.said
    print(f"rented, trained and returned in {time.monotonic() - start:.0f} s")
    newest = rented.runs()[:3]
    linear, tree, job = sorted(newest, key=lambda run: run["tags"].get("family", "z"))
    assert {run["status"] for run in (linear, tree, job)} == {"FINISHED"}
    assert {run["tags"]["mlflow.parentRunId"] for run in (linear, tree)} == {job["id"]}
    assert 0 < job["metrics"]["cost_usd"] < 0.5
    bundle = json.loads((rented.project.path / "bundles/challenger/bundle.json").read_text())
    assert bundle["provenance"]["run_id"] == linear["id"]
    cloud.wait(lambda: not cloud.live(), 60)
    assert rented.kept() == []
