"""`make train ON=docker` and `ON=ssh://...`: the training image on a real Docker engine."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import TRAINING, GeneratedProject, clean_environment
from test_deploy import ssh_server
from test_images import BASE, TRAINS, docker, engine

pytestmark = pytest.mark.slow
__all__ = ["engine"]  # the fixture: it skips the tests that ask for it where no engine answers

NAME = "rented-birds"
SETTINGS = {"TORCH": ""}


@pytest.fixture(scope="module")
def project(
    engine: None, trained: GeneratedProject, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GeneratedProject]:
    """A copy of the trained project, under a name of its own; afterwards no image of it is left."""
    project = trained.copy(tmp_path_factory.mktemp("rent") / trained.path.name, *TRAINING)
    about = project.path / "pyproject.toml"
    about.write_text(about.read_text().replace('name = "bird-strikes"', f'name = "{NAME}"'))
    recipe = project.path / "infra/Dockerfile"
    recipe.write_text(recipe.read_text().replace(BASE, TRAINS))
    project.thin(4)
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--message", "Another name")
    yield project
    docker("image", "rm", "--force", f"{NAME}:train")


def rent(
    project: GeneratedProject, *arguments: str, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run the command of `make train ON=...`."""
    return project.command("train-on", *arguments, **SETTINGS, **env)


def runs(project: GeneratedProject) -> list[dict[str, Any]]:
    """Return the runs in MLflow, the newest first: status, tags and metrics."""
    script = (
        "import json\nfrom mlflow import MlflowClient\n"
        "client = MlflowClient('sqlite:///mlflow.db')\n"
        "ids = [one.experiment_id for one in client.search_experiments()]\n"
        "print(json.dumps([dict(id=run.info.run_id, status=run.info.status, tags=run.data.tags,"
        " metrics=run.data.metrics) for run in client.search_runs(ids)]))"
    )
    done = project.run(project.python, "-c", script)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def containers() -> list[str]:
    """Return the containers of the project's jobs, those that have ended included."""
    labelled = f"label=train-project={NAME}"
    return docker("ps", "--all", "--quiet", "--filter", labelled).split()


def until(condition: Callable[[], Any], what: str, seconds: float = 900) -> Any:
    """Wait for something, and return it."""
    limit = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < limit, what
        time.sleep(0.2)
    return found


def checkpoint(container: str) -> bool:
    """Whether the training in a container has come to a checkpoint."""
    find = ["sh", "-c", "ls /work/checkpoints/*/*.ckpt"]
    done = subprocess.run(["docker", "exec", container, *find], capture_output=True)
    return done.returncode == 0


@pytest.mark.weekly
def test_what_is_trained_in_a_container_is_registered_as_if_it_had_been_trained_here(
    project: GeneratedProject,
) -> None:
    models = ["--models", '["tree", "linear"]']
    done = rent(project, "--on", "docker", *models, "--price", "0.5", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "at most     1.00 USD (1 x 0.5000 x 2 h)" in done.stdout
    assert "the container ends itself at the hard stop" in done.stdout
    assert containers() == []
    linear, tree, job = sorted(runs(project), key=lambda run: run["tags"].get("family", "z"))
    assert {run["status"] for run in (linear, tree, job)} == {"FINISHED"}
    assert {run["tags"]["mlflow.parentRunId"] for run in (linear, tree)} == {job["id"]}
    costs = [run["metrics"]["cost_usd"] for run in (linear, tree, job)]
    assert 0 < costs[2] < 0.1
    assert costs[0] + costs[1] == pytest.approx(costs[2])
    bundle = json.loads((project.path / "bundles/champion/bundle.json").read_text())
    assert bundle["provenance"]["run_id"] == linear["id"]
    assert bundle["provenance"]["git_dirty"] is False

    done = project.command("train", *models, **SETTINGS)
    assert done.returncode == 0, done.stderr
    here = {run["tags"]["family"]: run["metrics"] for run in runs(project)[:2]}
    for there in (linear, tree):
        metrics = there["metrics"]
        same = [name for name in metrics if name.startswith(("test_", "validation_", "baseline_"))]
        assert len(same) > 5
        mine = here[there["tags"]["family"]]
        assert {name: metrics[name] for name in same} == {name: mine[name] for name in same}
    board = project.command("leaderboard", COLUMNS="120", **SETTINGS).stdout
    assert re.search(r"^ *model.* USD ", board, re.MULTILINE)


@pytest.mark.weekly
def test_a_job_over_ssh_continues_without_its_terminal_and_is_followed_in_another(
    project: GeneratedProject, tmp_path: Path
) -> None:
    socket = Path(os.environ["DOCKER_HOST"].removeprefix("unix://"))
    with ssh_server(tmp_path / "ssh", socket) as (over_ssh, path):
        few = json.dumps({"epochs": 8, "patience": 8})
        asked = ["--on", over_ssh, "--models", '["neural"]', "--neural", few, "--detach"]
        done = rent(project, *asked, PATH=path)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "make cloud-follow downloads its results" in done.stdout
        shown = project.command("cloud", PATH=path, **SETTINGS).stdout
        assert re.search(rf"^job \w{{8}}  {over_ssh}: running, for 0.0 h$", shown, re.MULTILINE)

        # The machine is switched off and on in the midst of it.
        (container,) = containers()
        until(lambda: checkpoint(container), "there is no checkpoint")
        docker("kill", container)
        done = project.command("cloud-follow", PATH=path, **SETTINGS)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "neural, trained on the machine" in done.stdout
        assert containers() == []
        newest, job = sorted(runs(project)[:2], key=lambda run: run["tags"].get("family", "z"))
        assert newest["status"] == job["status"] == "FINISHED"
        assert newest["tags"]["mlflow.parentRunId"] == job["id"]
        assert job["metrics"]["machines"] == 2
        epochs = [name for name in newest["metrics"] if name.startswith("final_fit")]
        assert epochs
        done = project.command("cloud-follow", PATH=path, **SETTINGS)
        assert done.returncode == 2
        assert "no job is in progress" in done.stderr


@pytest.mark.weekly
@pytest.mark.parametrize("answer", ["c", "d"])
def test_ctrl_c_asks_whether_to_continue_detach_or_cancel(
    project: GeneratedProject, answer: str
) -> None:
    command = [str(project.python), "-m", project.package, "train-on", "--on", "docker"]
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*command, "--models", '["neural"]'],
        cwd=project.path,
        env=clean_environment() | SETTINGS,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    said = b""

    def says(what: bytes) -> bool:
        nonlocal said
        if select.select([ours], [], [], 0.2)[0]:
            said += os.read(ours, 4096)
        return what in said

    until(lambda: says(b"data: "), "the training does not begin")
    os.killpg(process.pid, signal.SIGINT)
    until(
        lambda: says(b"[g]o on, [d]etach (the job continues), or [c]ancel it? "), "nothing is asked"
    )
    os.write(ours, f"{answer}\n".encode())
    assert process.wait(60) == (130 if answer == "c" else 0)
    os.close(ours)
    newest = runs(project)[0]
    if answer == "c":
        assert containers() == []
        assert newest["status"] == "KILLED"
    else:
        assert len(containers()) == 1
        assert newest["status"] == "RUNNING"
        done = project.command("cloud-stop", **SETTINGS)
        assert done.returncode == 0, done.stderr
        assert "stopped; nothing of it is left" in done.stdout
        assert containers() == []


def test_what_would_cost_too_much_or_cannot_be_reached_is_refused_before_it_starts(
    project: GeneratedProject,
) -> None:
    before = len(runs(project))
    for arguments, message in (
        (["--on", "docker", "--price", "3", "--dollars", "5"], "HOURS=1.66 fits"),
        (["--on", "docker", "--dollars", "5"], "needs a price: PRICE="),
        (["--on", "docker", "--price", "3"], "YES=1 confirms"),
        (["--on", "docker", "--nodes", "2"], "a Docker engine is one machine"),
        (["--on", "docker", "--gpu", "L4:1"], "this Docker engine has no GPUs"),
        (["--on", "ssh://nobody@127.0.0.1:1"], "cannot be reached"),
        (["--on", "docker", "--data.table", "/etc/hostname"], "lies outside of the project"),
    ):
        done = rent(project, *arguments)
        assert done.returncode == 2, done.stdout
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert len(runs(project)) == before
    assert containers() == []


@pytest.mark.weekly
def test_a_job_that_fails_reports_the_reason_and_leaves_nothing(project: GeneratedProject) -> None:
    done = rent(project, "--on", "docker", "--models", '["tree"]', "--leak-threshold", "0.1")
    assert done.returncode == 2
    assert "above the 0.1 that config.yaml calls too good to be true" in done.stdout
    assert done.stderr.splitlines()[-1] == "error: the job failed: exit code 2"
    assert runs(project)[0]["status"] == "FAILED"
    assert containers() == []
