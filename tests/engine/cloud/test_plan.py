"""What a job may cost is told and held against the budget; what SkyPilot is given for it."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from coldstart.cli._cloud import LaunchRequest, TrainOn
from coldstart.cli._main import build
from coldstart.cloud import _plan as plan
from coldstart.cloud._job import Job
from coldstart.cloud._plan import Offer, Plan
from coldstart.cloud.on_sky import _choices as choices
from coldstart.errors import UserError
from engine.support import PROJECT, TEMPLATE

JOB = Job("abcdef01" + "0" * 24, "houses", ["train", "--models", '["tree"]'], 2_000_000_000)
DIGEST = "ghcr.io/me/houses@sha256:1234"
INPUTS = "s3://mine/inputs/1.tar.gz"


@pytest.fixture
def task(project: Path) -> dict[str, Any]:
    """The project's own infra/train.sky.yaml, filled in."""
    own = (TEMPLATE / choices.FILE).read_text()
    choices.FILE.parent.mkdir()
    own = re.sub("IMAGE: .*", "IMAGE: ghcr.io/me/houses", own)
    choices.FILE.write_text(re.sub("STORE: .*", "STORE: s3://mine/", own))
    return choices.read()


def asked(*arguments: str) -> LaunchRequest:
    """What the command line says."""
    command = build(PROJECT, TrainOn, ["--on", "aws", *arguments])
    assert isinstance(command, LaunchRequest)
    return command


def test_the_most_is_the_dearest_machine_that_may_come_times_machines_and_hours() -> None:
    planned = Plan(Offer("cheap", 0.2), 2, 1.5, "image", 0.45, [Offer("other", 0.3)])
    assert planned.most == pytest.approx(2 * 0.45 * 1.5)
    told = plan.tell(planned)
    assert "2 x cheap: 0.2000 USD an hour" in told
    assert "at most     1.35 USD (2 x 0.4500 x 1.5 h)" in told
    assert "next best   other: 0.3000 USD an hour" in told
    plan.agree(planned, 1.36, True)
    with pytest.raises(UserError, match=r"may cost 1.35 USD, and the budget is 1: HOURS=1.1 fits"):
        plan.agree(planned, 1.0, True)


def test_what_has_no_price_fits_no_budget_and_is_asked_about_all_the_same() -> None:
    planned = Plan(Offer("Kubernetes", None), 1, 2, "image")
    assert planned.most is None
    with pytest.raises(UserError, match="needs a price"):
        plan.agree(planned, 5.0, True)
    with pytest.raises(UserError, match="YES=1 says yes"):
        plan.agree(planned, None, False)


def test_the_command_line_wins_over_the_file(task: dict[str, Any]) -> None:
    assert choices.chosen(task, asked())["resources"]["use_spot"] is True
    given = ["--gpu", "L4:2", "--no-spot", "--nodes", "2", "--dollars", "6", "--hours", "3"]
    found = choices.chosen(task, asked(*given))
    assert found["num_nodes"] == 2
    resources = found["resources"]
    assert (resources["infra"], resources["accelerators"]) == ("aws", "L4:2")
    assert resources["use_spot"] is False
    assert resources["max_hourly_cost"] == 1.0  # 6 dollars over 3 hours of 2 machines
    assert "accelerators" not in choices.chosen(task, asked("--gpu", "none"))["resources"]
    assert "infra" not in choices.chosen(task, asked("--on", "sky"))["resources"]


def test_where_docker_cannot_run_skypilot_starts_the_image(task: dict[str, Any]) -> None:
    assert "image_id" not in choices.chosen(task, asked())["resources"]
    rent = asked("--on", "runpod")
    found = choices.compose(choices.chosen(task, rent), rent, JOB, DIGEST, INPUTS)
    assert found["resources"]["image_id"] == f"docker:{DIGEST}"


def test_nodes_of_slurm_get_the_code_and_a_limit_that_slurm_keeps(task: dict[str, Any]) -> None:
    text = choices.FILE.read_text().replace("ghcr.io/me/", "ghcr.io/YOU/")
    choices.FILE.write_text(text)
    assert choices.read("slurm/cluster") == choices.read("slurm")  # no registry is needed
    task["config"] = {"slurm": {"sbatch_options": {"account": "me", "time": "9-0"}}}
    rent = asked("--on", "slurm")
    job = Job(JOB.id, JOB.project, JOB.command, int(time.time() + 630))
    found = choices.compose(choices.chosen(task, rent), rent, job, "", INPUTS, "https://s?key=1")
    assert found["secrets"] == {"CODE": "https://s?key=1"}
    assert found["config"] == {"slurm": {"sbatch_options": {"account": "me", "time": 10}}}
    assert "image_id" not in found["resources"]


def test_a_job_carries_its_labels_and_its_deadline_and_secrets_apart(
    task: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hush")
    rent = asked()
    found = choices.compose(choices.chosen(task, rent), rent, JOB, DIGEST, INPUTS)
    assert found["name"] == "houses-abcdef01"
    assert found["resources"]["labels"] == {
        "train-project": "houses",
        "train-job": JOB.id,
        "train-deadline": "2000000000",
    }
    envs = found["envs"]
    assert envs["STORE"] == f"s3://mine/jobs/{JOB.id}"
    assert (envs["IMAGE"], envs["INPUTS"], envs["DEADLINE"]) == (DIGEST, INPUTS, "2000000000")
    assert envs["MLFLOW_TRACKING_URI"] == "https://mlflow.example"
    assert found["secrets"] == {"MLFLOW_TRACKING_PASSWORD": "hush"}
    assert "--env MLFLOW_TRACKING_PASSWORD" in envs["PASSED"]
    assert "hush" not in yaml.safe_dump({**found, "secrets": None})


@pytest.mark.parametrize("own", ["HOME", "SKY_RUNTIME_DIR"])
@pytest.mark.parametrize("line", ["setup", "run"])
def test_each_script_first_tells_the_machine_when_to_end_itself(
    task: dict[str, Any], line: str, own: str, tmp_path: Path
) -> None:
    # On Slurm the home is one for all nodes, and what is a node's own lies elsewhere.
    places = {"HOME": "/nowhere", own: str(tmp_path)}
    rent = asked()
    chosen = choices.chosen({**task, "setup": "echo work", "run": "echo work; false"}, rent)

    def ran(seconds: float) -> tuple[int, list[str]]:
        job = Job(JOB.id, JOB.project, JOB.command, int(time.time() + seconds))
        script = choices.compose(chosen, rent, job, DIGEST, INPUTS)[line]
        done = subprocess.run(
            ["bash", "-c", script], env={**places, "PATH": str(tmp_path)},
            capture_output=True, text=True, cwd=tmp_path,
        )  # fmt: skip
        said = tmp_path / "said"
        lines = [*(said.read_text().split() if said.exists() else []), *done.stdout.split()]
        said.unlink(missing_ok=True)
        return done.returncode, lines

    # What SkyPilot has put on a machine: its Python, which here writes down what it is told.
    (tmp_path / ".sky").mkdir()
    (tmp_path / ".sky/python_path").write_text(f"{tmp_path}/python")
    tell = 'case "$2" in *set_autostop*NONE*True*) ;; *) exit 9;; esac; '
    tell += "minutes=${2#*set_autostop(}; echo ${minutes%%,*} >> said"
    (tmp_path / "python").write_text(f"#!/bin/bash\n{tell}\n")
    (tmp_path / "python").chmod(0o755)
    for program in ("bash", "cat", "date", "env"):
        (tmp_path / program).symlink_to(str(shutil.which(program)))

    code, lines = ran(601)
    if line == "setup":
        assert (code, lines) == (0, ["10", "work"])
    else:  # after the work, whatever came of it, the machine is of no use
        assert (code, lines) == (1, ["10", "3", "work"])
    code, lines = ran(-5)
    assert code == 1
    assert lines[0] == "3"  # for SkyPilot to hear of it
    assert "work" not in lines
    (tmp_path / "python").write_text("#!/bin/bash\nexit 1\n")
    code, lines = ran(601)
    assert (code, lines) == (1, [])  # a machine that cannot end itself does no work


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("ghcr.io/me/", "ghcr.io/YOU/"), "put your registry into envs.IMAGE"),
        (("s3://mine", "s3://YOU"), "put your bucket into envs.STORE"),
        (("ghcr.io/me/houses", "ghcr.io/me/houses:1"), "without a version"),
        (("envs:", "envs: ]"), "is not YAML"),
        (("s3://mine/", "s3://mine/\n  MORE: null"), "envs.MORE is null, and not in the env"),
    ],
)
def test_a_mistake_in_the_file_is_told_in_a_line(
    task: dict[str, Any], change: tuple[str, str], complaint: str
) -> None:
    choices.FILE.write_text(choices.FILE.read_text().replace(*change))
    with pytest.raises(UserError, match=re.escape(complaint)) as error:
        choices.read()
    assert str(error.value).startswith(f"{choices.FILE}")
    assert len(str(error.value).splitlines()) == 1
