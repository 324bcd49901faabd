"""`make train ON=aws`: SkyPilot rents a machine of the testbed, which gets the code and trains.

Each test checks that nothing is left at the provider that costs money, and what MLflow holds. They
run weekly: SkyPilot's runtime is installed on each machine.
"""

from __future__ import annotations

import json
import time

import pytest

from .project import Rented
from .rented import Cloud

pytestmark = [pytest.mark.slow, pytest.mark.weekly]


def test_a_machine_is_rented_trains_and_is_returned(rented: Rented, cloud: Cloud) -> None:
    start = time.monotonic()
    asked = ["--on", "aws", "--gpu", "none", "--models", '["tree", "linear"]', "--hours", "0.3"]
    training = rented.start("train-on", *asked, "--dollars", "1", "--yes")
    training.says(r"data: [\d,]+ rows")
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
