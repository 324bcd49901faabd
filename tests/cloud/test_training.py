"""`make train ON=aws`: SkyPilot rents a machine of the testbed, on which the training image runs.

Each test asserts how it ends at the provider, where nothing may be left that bills, and in MLflow.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import BakedProject, clean_environment
from test_baked import free_port
from test_images import docker
from test_lambda import wait_for

from .rented import Cloud

pytestmark = pytest.mark.slow

NAME = "cloud-birds"
TASK = "infra/train.sky.yaml"


class Rented:
    """A baked project with an account at the provider."""

    def __init__(self, project: BakedProject, cloud: Cloud) -> None:
        self.project, self.cloud = project, cloud
        self.settings = cloud.environment | {"PYTHONPATH": "src", "TORCH": ""}

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the package."""
        return self.project.command(*arguments, **self.settings)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command of the package, in a session of its own."""
        return subprocess.Popen(
            [self.project.python, "-m", self.project.package, *arguments],
            cwd=self.project.path,
            env=clean_environment() | self.settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def runs(self) -> list[dict[str, Any]]:
        """What MLflow holds, the newest first."""
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

    def kept(self) -> list[str]:
        """Names in the jobs' folders of the bucket."""
        (bucket,) = self.cloud.client("s3").list_buckets(Prefix=NAME)["Buckets"] or [None]
        found = self.cloud.client("s3").list_objects_v2(Bucket=bucket["Name"], Prefix="jobs/jobs/")
        return [entry["Key"] for entry in found.get("Contents", ())]

    def machine(self) -> str:
        """The one machine that there is, when there is one."""
        found = [
            one["InstanceId"] for one in self.cloud.instances() if one["State"]["Name"] == "running"
        ]
        return found[0] if len(found) == 1 else ""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a registry that is open to everybody here."""
    if not shutil.which("docker-registry"):
        tell = pytest.fail if os.environ.get("NEED_DOCKER") else pytest.skip
        tell("there is no docker-registry; on Debian: apt install docker-registry")
    folder, port = tmp_path_factory.mktemp("registry"), free_port()
    settings = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(folder / "images")}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    (folder / "registry.yml").write_text(json.dumps(settings))  # which is YAML as well
    quiet = subprocess.DEVNULL
    command = ["docker-registry", "serve", str(folder / "registry.yml")]
    with subprocess.Popen(command, stdout=quiet, stderr=quiet) as server:
        wait_for(port)
        yield f"127.0.0.1:{port}"
        server.terminate()


@pytest.fixture(scope="module")
def rented(
    trained: BakedProject,
    session_cloud: Cloud,
    images: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Rented]:
    """A copy of the trained project, with what `make cloud-bootstrap` makes."""
    path = tmp_path_factory.mktemp("cloud") / trained.path.name
    ignored = shutil.ignore_patterns(".venv", ".sky", "mlruns", "mlflow.db", "bundles")
    shutil.copytree(trained.path, path, ignore=ignored)
    (path / ".venv").symlink_to(trained.path / ".venv")
    (path / ".sky").symlink_to(session_cloud.sky_folder)
    (session_cloud.sky_folder / "made").write_text((path / "infra/sky.txt").read_text())
    for name in ("pyproject.toml", "infra/sky.config.yaml"):
        text = (path / name).read_text()
        (path / name).write_text(text.replace("bird-strikes", NAME))
    project = BakedProject(path)
    here = Rented(project, session_cloud)
    done = here.command("cloud-bootstrap", "--email", "me@here.org", "--dollars", "20")
    assert done.returncode == 0, done.stdout + done.stderr
    (store,) = re.findall(r"STORE: (\S+)", done.stdout)
    task = (path / TASK).read_text()
    task = task.replace("ghcr.io/YOU/bird-strikes", f"{images}/birds")
    (path / TASK).write_text(task.replace("s3://YOU/bird-strikes", store))
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--message", "Rented")
    yield here
    docker("image", "rm", "--force", f"{NAME}:train")


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
