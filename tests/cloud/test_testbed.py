"""The testbed itself: SkyPilot rents, runs, loses, recovers and gives back its machines."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from test_images import docker, engine

from .rented import LABEL, Cloud
from .testbed import cloud, session_cloud

pytestmark = pytest.mark.slow
__all__ = ["cloud", "engine", "session_cloud"]  # fixtures

HANGS = """\
name: hangs
resources:
  infra: aws/us-west-2
  cpus: 2
  labels: {train-job: abc}
  autostop: {idle_minutes: 1, down: true, wait_for: none}
run: |
  sudo docker run --rm --network host python:3.11-slim python -c '
  import os, time, urllib.request
  urllib.request.urlopen(os.environ["AWS_ENDPOINT_URL"] + "/moto-api/data.json")
  print("hello from", os.uname().nodename, flush=True)
  time.sleep(3000)'
"""
# Each start leaves a mark in a bucket; it ends when it finds that it may.
RESUMES = """\
name: resumes
resources: {infra: aws/us-east-1, accelerators: T4, use_spot: true}
run: |
  ~/skypilot-runtime/bin/python -u - <<'END'
  import time
  import boto3
  s3 = boto3.client("s3")
  keys = lambda: [one["Key"] for one in s3.list_objects_v2(Bucket="marks").get("Contents", [])]
  print("marks found:", len(keys()))
  s3.put_object(Bucket="marks", Key=f"start-{time.time()}", Body=b"")
  while "end" not in keys():
      time.sleep(0.5)
  END
"""


def write(folder: Path, task: str) -> Path:
    """A task's file."""
    path = folder / "task.yaml"
    path.write_text(task)
    return path


def test_a_hung_job_is_ended_by_its_machine_itself(cloud: Cloud, tmp_path: Path) -> None:
    cloud.fail("ec2:TerminateInstances", "UnauthorizedOperation", times=1, machines=True)
    start = time.monotonic()
    cloud.sky("launch", "--yes", "--detach-run", "--cluster", "one", write(tmp_path, HANGS))
    print(f"launched in {time.monotonic() - start:.1f} s")
    (machine,) = cloud.instances()
    tags = {tag["Key"]: tag["Value"] for tag in machine["Tags"]}
    assert tags["train-job"] == "abc"
    assert machine["Placement"]["AvailabilityZone"].startswith("us-west-2")
    log = cloud.wait(lambda: found(cloud.sky("logs", "one", "--no-follow"), "hello from"), 30)
    assert "hello from ip-172-29-16-" in log
    assert len(docker("ps", "--quiet", "--filter", f"label={LABEL}").split()) == 2
    start = time.monotonic()
    cloud.kill()  # whatever is left to end it is on the machine
    cloud.wait(lambda: not cloud.live(), 300)
    print(f"ended itself {time.monotonic() - start:.1f} s later")
    assert len(cloud.calls("ec2:TerminateInstances", machines=True)) >= 2


def test_a_job_goes_on_elsewhere_when_its_machine_is_taken_away(
    cloud: Cloud, tmp_path: Path
) -> None:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="marks")

    def marks() -> list[Any]:
        return list(s3.list_objects_v2(Bucket="marks").get("Contents", []))

    cloud.fail("ec2:RunInstances", "InsufficientInstanceCapacity", zone="us-east-1a")
    start = time.monotonic()
    cloud.sky("jobs", "launch", "--yes", "--detach-run", write(tmp_path, RESUMES))
    cloud.wait(marks, 240)
    print(f"runs after {time.monotonic() - start:.1f} s")
    (machine,) = cloud.instances()
    assert machine["InstanceLifecycle"] == "spot"
    assert machine["Placement"]["AvailabilityZone"] == "us-east-1b"
    start = time.monotonic()
    cloud.preempt(machine["InstanceId"])
    cloud.wait(lambda: len(marks()) == 2, 240)
    print(f"recovered in {time.monotonic() - start:.1f} s")
    s3.put_object(Bucket="marks", Key="end", Body=b"")
    start = time.monotonic()
    cloud.wait(lambda: found(cloud.sky("jobs", "queue", "--all"), "SUCCEEDED"), 120)
    cloud.wait(lambda: not cloud.live(), 60)
    print(f"gone after {time.monotonic() - start:.1f} s")
    assert "marks found: 1" in cloud.sky("jobs", "logs", "1", "--no-follow")


def found(text: str, part: str) -> str:
    """The text, if a part is in it."""
    return text if part in text else ""


def test_the_provider_may_be_away_and_is_there_again(cloud: Cloud) -> None:
    ask = ["bin/python", "-c", "import boto3; print(boto3.client('sts').get_caller_identity())"]

    def asked() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [cloud.sky_folder / ask[0], *ask[1:]],
            env=cloud.environment,
            capture_output=True,
            text=True,
        )

    with cloud.away():
        assert "Could not connect" in asked().stderr
    assert "123456789012" in asked().stdout
