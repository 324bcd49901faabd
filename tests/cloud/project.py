"""A project, whose user has an account at the testbed's provider."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
from typing import Any

from conftest import GeneratedProject, clean_environment

from .rented import Cloud

NAME = "cloud-birds"
TASK = "infra/train.sky.yaml"


class Started:
    """A command that was started, in a session of its own, and what it has said so far."""

    def __init__(
        self, project: GeneratedProject, settings: dict[str, str], *arguments: str
    ) -> None:
        self.process = subprocess.Popen(
            [project.python, "-m", project.package, *arguments],
            cwd=project.path,
            env=clean_environment() | settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.said = ""
        threading.Thread(target=self.read, daemon=True).start()

    def read(self) -> None:
        """Keep what it says."""
        assert self.process.stdout
        for line in self.process.stdout:
            self.said += line

    def says(self, what: str, seconds: float = 600) -> None:
        """Wait until it has said something."""
        deadline = time.monotonic() + seconds
        while not re.search(what, self.said, re.MULTILINE):
            assert time.monotonic() < deadline, f"no {what!r}: {self.said}"
            assert self.process.poll() is None or re.search(what, self.said), self.said
            time.sleep(0.1)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all its processes, as a terminal does."""
        os.killpg(self.process.pid, number)

    def wait(self, seconds: float = 600) -> int:
        """Wait for its end, and return its exit code."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it has not ended: {self.said}") from None

    @property
    def job(self) -> str:
        """Beginning of the id of the job that it has begun."""
        self.says(r"^job \w{8}: ")
        found = re.search(r"^job (\w{8}): ", self.said, re.MULTILINE)
        assert found
        return found[1]


class Rented:
    """A generated project, with an account at the provider."""

    def __init__(self, project: GeneratedProject, cloud: Cloud) -> None:
        self.project, self.cloud = project, cloud
        self.settings = cloud.environment | {"TORCH": ""}

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the package; where it names SkyPilot's log, show the end of that."""
        done = self.project.command(*arguments, **self.settings)
        log = self.cloud.home / ".sky/api_server/server.log"
        if log.name in done.stderr and log.exists():
            done.stderr += log.read_text(errors="replace")[-4000:]
        return done

    def start(self, *arguments: str) -> Started:
        """Start a command of the package."""
        return Started(self.project, self.settings, *arguments)

    def train(self, model: str, *arguments: str, hours: float = 0.5) -> Started:
        """Start a training on a rented machine."""
        asked = ["--on", "aws", "--gpu", "none", "--models", json.dumps([model]), "--yes"]
        return self.start("train-on", *asked, "--hours", str(hours), *arguments)

    def runs(self) -> list[dict[str, Any]]:
        """Return the runs in MLflow, the newest first."""
        script = (
            "import json\nfrom mlflow import MlflowClient\n"
            "client = MlflowClient('sqlite:///mlflow.db')\n"
            "ids = [one.experiment_id for one in client.search_experiments()]\n"
            "print(json.dumps([dict(id=run.info.run_id, status=run.info.status,"
            " tags=run.data.tags, metrics=run.data.metrics) for run in client.search_runs(ids)]))"
        )
        done = self.project.run(self.project.python, "-c", script)
        assert done.returncode == 0, done.stderr
        found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
        return found

    def kept(self, folder: str = "jobs/") -> list[str]:
        """Return names in a folder of the bucket, by default in that of jobs."""
        (bucket,) = self.cloud.client("s3").list_buckets(Prefix=NAME)["Buckets"] or [None]
        prefix = f"jobs/{folder}"
        found = self.cloud.client("s3").list_objects_v2(Bucket=bucket["Name"], Prefix=prefix)
        return [entry["Key"] for entry in found.get("Contents", ())]

    def machine(self, job: str) -> dict[str, Any]:
        """Return a job's machine that runs, or an empty dictionary."""
        for one in self.cloud.instances():
            labels = {tag["Key"]: tag["Value"] for tag in one.get("Tags", ())}
            if labels.get("train-job", "").startswith(job) and one["State"]["Name"] == "running":
                return one
        return {}

    def works(self, job: str) -> bool:
        """Whether a job's command runs on its machine."""
        machine = self.machine(job)
        return bool(machine and self.cloud.runs_job(machine["InstanceId"]))
