"""`make train ON=aws`: SkyPilot rents a machine of the testbed, on which the training image runs.

Each test asserts how it ends at the provider, where nothing may be left that bills, and in MLflow.
"""

from __future__ import annotations

import json
import time

import pytest

from .project import Rented
from .rented import Cloud

pytestmark = pytest.mark.slow


def test_a_machine_is_rented_trains_and_is_given_back(rented: Rented, cloud: Cloud) -> None:
    start = time.monotonic()
    asked = ["--on", "aws", "--gpu", "T4:1", "--models", '["tree", "linear"]', "--hours", "0.3"]
    done = rented.command("train-on", *asked, "--dollars", "1", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    print(f"rented, trained and given back in {time.monotonic() - start:.0f} s")
    linear, tree, job = sorted(rented.runs(), key=lambda run: run["tags"].get("family", "z"))
    assert {run["status"] for run in (linear, tree, job)} == {"FINISHED"}
    assert {run["tags"]["mlflow.parentRunId"] for run in (linear, tree)} == {job["id"]}
    assert 0 < job["metrics"]["cost_usd"] < 0.5
    bundle = json.loads((rented.project.path / "bundles/champion/bundle.json").read_text())
    assert bundle["provenance"]["run_id"] == linear["id"]
    cloud.wait(lambda: not cloud.live(), 60)
    assert rented.kept() == []
