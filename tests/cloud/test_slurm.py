"""`make train ON=slurm`: SkyPilot uses a Slurm cluster of two nodes.

Each test asserts how it ends in Slurm, where nothing may be left, and in MLflow. They run weekly.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT, TRAINING, GeneratedProject, free_port
from test_images import docker
from test_lambda import wait_for

from .project import TASK, Rented
from .rented import Cloud
from .skypilot import WANTED, install, link, surroundings

pytestmark = [pytest.mark.slow, pytest.mark.weekly]

CLUSTER = ROOT / "infra/testbed/slurm/cluster.sh"
CATALOGUE = ROOT / "infra/testbed/cloud/catalogue.py"
HERE, LOGIN = "172.28.0.1", "172.28.0.2"  # this computer, and the first node
NODES = ("coldstart-slurm-1", "coldstart-slurm-2")
NAME = "slurm-birds"


def on_node(number: int, *command: str) -> str:
    """Return the output of a command on a node."""
    return docker("exec", "--user", "me", NODES[number], *command)


def queue() -> list[str]:
    """Return the numbers of the project's jobs in Slurm."""
    listed = on_node(0, "squeue", "--noheader", "--format", "%A %j").splitlines()
    return [line.split()[0] for line in listed if line.split()[1].startswith(NAME)]


def left() -> list[str]:
    """Return what is left of jobs: in the queue, as processes, and as files."""
    found = queue()
    for number in range(len(NODES)):
        found += processes(number)
        found += on_node(number, "find", "/tmp", "-maxdepth", "1", "-name", f"{NAME}*").split()
    return found + on_node(0, "ls", "/home/me/.sky_clusters").split()


def processes(number: int) -> list[str]:
    """Return the processes on a node, except logins."""
    listed = on_node(number, "ps", "-u", "me", "-o", "args=").splitlines()
    return [line for line in listed if not line.startswith(("ps -u", "sshd:"))]


@pytest.fixture(scope="module")
def key(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The key to a running cluster."""
    key = tmp_path_factory.mktemp("slurm") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    version = re.search(r"^skypilot.*==(\S+)", WANTED.read_text(), re.MULTILINE)
    assert version
    try:
        subprocess.run([CLUSTER, "start", f"{key}.pub", version[1]], check=True)
        yield key
    finally:
        subprocess.run([CLUSTER, "stop"], check=True)


@pytest.fixture(scope="module")
def store(key: Path) -> Iterator[str]:
    """Address of an object store, for this computer and the nodes."""
    port = free_port()
    quiet = subprocess.DEVNULL
    command = [sys.executable, "-m", "moto.server", "--host", HERE, "--port", str(port)]
    with subprocess.Popen(command, stdout=quiet, stderr=quiet) as server:
        wait_for(port, HERE)
        yield f"http://{HERE}:{port}"
        server.terminate()


@pytest.fixture(scope="module")
def rented(trained: GeneratedProject, key: Path, store: str) -> Iterator[Rented]:
    """A copy of the trained project, whose user has a key to the cluster and a bucket."""
    home, path = key.parent / "home", key.parent / trained.path.name
    project = trained.copy(path, ".sky", *TRAINING)
    link(sky := install(), path)
    (path / ".sky/home").mkdir()
    (path / ".sky/home/slurm").symlink_to(home)
    about = path / "pyproject.toml"
    about.write_text(about.read_text().replace("bird-strikes", NAME))
    task = (path / TASK).read_text().replace("s3://YOU/bird-strikes", f"s3://{NAME}/jobs")
    (path / TASK).write_text(task.replace("# secrets: {", "secrets: {AWS_ENDPOINT_URL: null, "))
    (home / "user/.slurm").mkdir(parents=True)
    (home / "user/.slurm/config").write_text(
        f"Host here\n HostName {LOGIN}\n User me\n IdentityFile {key}\n"
    )
    subprocess.run([sys.executable, CATALOGUE, home], check=True)
    with surroundings(home, {"public": store, "behind": store}) as settings:
        cloud = Cloud(home, sky, store, store, settings)
        cloud.client("s3").create_bucket(Bucket=NAME)
        try:
            here = Rented(project, cloud)
            asked = here.command("sky", "--on", "slurm", "--ask", "check slurm")
            assert "Slurm: enabled" in asked.stdout, asked.stdout + asked.stderr
            yield here
        finally:
            cloud.kill()


TRAIN = ["train-on", "--on", "slurm", "--gpu", "none", "--nodes", "2", "--models", '["neural"]']


def test_two_nodes_train_one_model(rented: Rented) -> None:
    start = time.monotonic()
    done = rented.command(*TRAIN, "--hours", "0.3", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    print(f"trained on two nodes of Slurm in {time.monotonic() - start:.0f} s")
    output = done.stdout + done.stderr
    assert "2 ranks on 2 machine(s), ddp over gloo" in output
    for rank, node in enumerate(("node1", "node2")):
        assert re.search(rf"rank={rank}, .*{node} takes part", output), output
    model, job = sorted(rented.runs(), key=lambda run: run["tags"].get("family", "z"))
    assert {run["status"] for run in (model, job)} == {"FINISHED"}
    assert model["tags"]["mlflow.parentRunId"] == job["id"]
    assert job["metrics"]["machines"] == 1
    # As one rank on this computer, but for the order in which rows are added up.
    assert model["metrics"]["test_roc_auc"] > 0.7
    rented.cloud.wait(lambda: not left(), 60)
    kept = rented.cloud.client("s3").list_objects_v2(Bucket=NAME, Prefix="jobs/jobs/")
    assert kept["KeyCount"] == 0


def test_a_stopped_job_leaves_nothing_in_slurm(rented: Rented) -> None:
    done = rented.command(*TRAIN, "--hours", "0.3", "--yes", "--detach")
    assert done.returncode == 0, done.stdout + done.stderr
    rented.cloud.wait(queue, 240)
    done = rented.command("cloud-stop")
    assert done.returncode == 0, done.stdout + done.stderr
    rented.cloud.wait(lambda: not left(), 30)
    (job,) = [run for run in rented.runs() if run["status"] == "KILLED"]
    assert "job.provider" in job["tags"]


def test_slurm_ends_a_job_that_hangs_without_skypilot(rented: Rented) -> None:
    done = rented.command(*TRAIN, "--hours", "0.04", "--yes", "--detach")
    assert done.returncode == 0, done.stdout + done.stderr
    (job,) = rented.cloud.wait(queue, 240)
    rented.cloud.kill()
    start = time.monotonic()
    hang = "trap '' TERM; while true; do sleep 1; done"
    docker(
        *("exec", "--detach", "--user", "me", NODES[0], "srun", "--overlap", "--jobid", job),
        *("--nodes", "2", "bash", "-c", hang),
    )
    rented.cloud.wait(lambda: not queue(), 300)
    print(f"Slurm has ended it {time.monotonic() - start:.0f} s after SkyPilot was killed")
    assert "JobState=TIMEOUT" in on_node(0, "scontrol", "show", "job", job)
    assert not [one for number in (0, 1) for one in processes(number) if "trap" in one]
    done = rented.command("cloud-stop")  # which starts SkyPilot again
    assert done.returncode == 0, done.stdout + done.stderr
    rented.cloud.wait(lambda: not queue(), 60)
