"""`make train ON=aws`: SkyPilot rents a machine of the testbed, on which the training image runs.

Each test asserts how it ends at the provider, where nothing may be left that bills, and in MLflow.
"""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import time

import pytest

from .project import Rented
from .rented import Cloud

pytestmark = pytest.mark.slow


def test_a_machine_is_rented_trains_and_is_given_back(rented: Rented, cloud: Cloud) -> None:
    start = time.monotonic()
    asked = ["--on", "aws", "--gpu", "T4:1", "--models", '["tree", "linear"]', "--hours", "0.3"]
    training = rented.start("train-on", *asked, "--dollars", "1", "--yes")
    training.says("data: 19,302 rows")
    assert rented.works(training.job), training.said  # its log comes while it is at work
    assert training.wait() == 0, training.said
    print(f"rented, trained and given back in {time.monotonic() - start:.0f} s")
    newest = rented.runs()[:3]
    linear, tree, job = sorted(newest, key=lambda run: run["tags"].get("family", "z"))
    assert {run["status"] for run in (linear, tree, job)} == {"FINISHED"}
    assert {run["tags"]["mlflow.parentRunId"] for run in (linear, tree)} == {job["id"]}
    assert 0 < job["metrics"]["cost_usd"] < 0.5
    bundle = json.loads((rented.project.path / "bundles/challenger/bundle.json").read_text())
    assert bundle["provenance"]["run_id"] == linear["id"]
    cloud.wait(lambda: not cloud.live(), 60)
    assert rented.kept() == []


def test_machines_share_a_search_although_one_is_taken_away(rented: Rented, cloud: Cloud) -> None:
    asked = ["--on", "aws", "--gpu", "T4:1", "--model", "boosting", "--hours", "0.5", "--yes"]
    search = rented.start("tune-on", *asked, "--trials", "24", "--machines", "2")
    search.says(r"(?s)^job \w{8}: .*^job \w{8}: ")
    jobs = re.findall(r"^job (\w{8}): ", search.said, re.MULTILINE)
    for job in jobs:
        cloud.wait(lambda job=job: rented.works(job), 400)  # type: ignore[misc]
    cloud.wait(lambda: len(rented.kept("shared/")) > 20, 120)
    cloud.preempt(rented.machine(jobs[1])["InstanceId"])
    assert search.wait(900) == 0, search.said
    assert "24 trials more, which the machines have made" in search.said
    with contextlib.closing(sqlite3.connect(rented.project.path / "tuning.db")) as database:
        states = database.execute("select state, count(*) from trials group by state").fetchall()
    assert dict(states)["COMPLETE"] == 24
    first, second, together = sorted(rented.runs()[:3], key=lambda run: "trials" in run["metrics"])
    assert together["metrics"]["trials"] == 24
    for run in (first, second):
        assert run["tags"]["mlflow.parentRunId"] == together["id"]
        assert run["status"] == "FINISHED"
    costs = [run["metrics"]["cost_usd"] for run in (first, second)]
    assert together["metrics"]["cost_usd"] == pytest.approx(sum(costs))
    cloud.wait(lambda: not cloud.live(), 60)
    assert rented.kept() == rented.kept("shared/") == []
