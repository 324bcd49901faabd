"""The plan of a job, its cost and its budget; and the task that SkyPilot gets for it."""

from __future__ import annotations

import dataclasses
import math
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from coldstart.cli._commands import Train
from coldstart.cli._main import build
from coldstart.cloud import _providers as providers
from coldstart.cloud._job import Job
from coldstart.cloud._plan import Offer, Plan, check_price, confirm_plan, format_plan
from coldstart.cloud._providers import find_launcher
from coldstart.cloud._request import LaunchRequest
from coldstart.cloud.skypilot import _environment as skypilot
from coldstart.cloud.skypilot import _launcher as launcher
from coldstart.cloud.skypilot import _task as tasks
from coldstart.errors import UserError
from engine.support import PROJECT, TEMPLATE, main

JOB = Job("abcdef01" + "0" * 24, "houses", ["train", "--models", '["tree"]'], 2_000_000_000)
INPUTS, CODE = "s3://mine/inputs/1.tar.gz", "https://store.example/code?key=1"


@pytest.fixture
def task(project: Path) -> dict[str, Any]:
    """The project's own infra/train.sky.yaml, filled in."""
    tasks.FILE.parent.mkdir()
    template = (TEMPLATE / tasks.FILE).read_text()
    tasks.FILE.write_text(re.sub("STORE: .*", "STORE: s3://mine/", template))
    return tasks.read_task()


def request(**changes: Any) -> LaunchRequest:
    """Return a request, as the command line makes it."""
    return LaunchRequest(build(PROJECT, Train, []), **({"on": "aws"} | changes))


def test_the_most_is_the_most_expensive_machine_times_machines_and_hours() -> None:
    plan = Plan(Offer("cheap", 0.2), 2, 1.5, "image", 0.45, [Offer("other", 0.3)])
    assert plan.max_cost == pytest.approx(2 * 0.45 * 1.5)
    text = format_plan(plan)
    assert "2 x cheap: 0.2000 USD an hour" in text
    assert "at most     1.35 USD (2 x 0.4500 x 1.5 h)" in text
    assert "next best   other: 0.3000 USD an hour" in text
    confirm_plan(plan, 1.36, True)
    message = r"may cost 1.35 USD, and the budget is 1 USD: HOURS=1.11 fits, or a cheaper machine"
    with pytest.raises(UserError, match=message):
        confirm_plan(plan, 1.0, True)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(
    nodes=st.integers(1, 64),
    cents=st.one_of(st.integers(1, 20_000), st.floats(0.01, 20_000)),
    budget=st.one_of(st.integers(1, 10**7).map(lambda n: n / 100), st.floats(0.01, 10**5)),
)
@example(nodes=1, cents=1, budget=1666.66)
@example(nodes=3, cents=7, budget=20.37)
def test_the_hours_that_are_advised_are_accepted_and_are_the_most(
    nodes: int, cents: float, budget: float
) -> None:
    price = cents / 100
    plan = Plan(Offer("machine", price), nodes, 1e9, "image")
    with pytest.raises(UserError) as refused:
        confirm_plan(plan, budget, True)
    if advised := re.search(r"HOURS=(\S+) fits", str(refused.value)):
        hours = float(advised[1])  # as it is read from the command line
        confirm_plan(dataclasses.replace(plan, hours=hours), budget, True)
        with pytest.raises(UserError):
            confirm_plan(dataclasses.replace(plan, hours=hours + 0.0101), budget, True)
    else:
        assert budget / price / nodes < 0.0101


def test_without_a_price_no_budget_fits_and_a_confirmation_is_needed() -> None:
    plan = Plan(Offer("Kubernetes", None), 1, 2, "image")
    assert plan.max_cost is None
    check_price(plan)
    with pytest.raises(UserError, match="needs a price"):
        confirm_plan(plan, 5.0, True)
    with pytest.raises(UserError, match="YES=1 confirms"):
        confirm_plan(plan, None, False)


@pytest.mark.parametrize("price", [0.0, -1.0, math.nan])
def test_a_price_that_is_not_positive_is_refused(price: float) -> None:
    for plan in (
        Plan(Offer("vast", price), 1, 24, "code", 2.0),
        Plan(Offer("aws", 1.0), 1, 24, "code", price),
        Plan(Offer("k8s", None), 1, 24, "code", None, [Offer("vast", price)]),
    ):
        with pytest.raises(UserError, match="USD an hour, which cannot be right"):
            check_price(plan)


def offered(monkeypatch: pytest.MonkeyPatch, price: float) -> None:
    """Let SkyPilot offer one machine, without asking it."""
    offer = {"machine": "Vast 8x_H200", "gpus": "H200:8", "price": price, "highest": price}
    monkeypatch.setattr(launcher.shutil, "which", lambda program: program)
    monkeypatch.setattr(skypilot, "ensure_installed", lambda: None)
    monkeypatch.setattr(skypilot, "clouds", lambda: ["vast"])
    monkeypatch.setattr(skypilot, "call", lambda *_: {"offers": [offer], "spot": True})


def test_a_spot_price_of_zero_in_the_catalog_does_not_fit_every_budget(
    task: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    offered(monkeypatch, 0.0)
    command = ["train-on", "--on", "vast", "--gpu", "H200:8", "--hours", "24", "--dollars", "0.01"]
    for more in (["--yes"], ["--dry-run"]):
        assert main([*command, *more]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "Vast 8x_H200 would cost 0.00 USD an hour, which cannot be right" in line


def test_a_plan_of_all_providers_warns_that_their_credentials_are_copied(
    task: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    offered(monkeypatch, 2.0)
    for on in ("vast", "aws", "slurm", "kubernetes", "sky"):
        assert main(["train-on", "--on", on, "--dry-run"]) == 0
        out = capsys.readouterr().out
        warned = "warning     with ON=sky, SkyPilot copies the credentials of all clouds" in out
        assert warned == (on == "sky")
        assert "at most     4.00 USD" in out


def test_a_job_is_not_longer_than_the_link_to_its_code(task: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="HOURS=168 is too long: on aws a job may take 167 h"):
        find_launcher("aws").plan(request(hours=168))


def test_the_command_line_overrides_the_file(task: dict[str, Any]) -> None:
    assert tasks.apply_request(task, request())["resources"]["use_spot"] is True
    given = {"gpu": "L4:2", "spot": False, "nodes": 2, "dollars": 6.0, "hours": 3.0}
    found = tasks.apply_request(task, request(**given))
    assert found["num_nodes"] == 2
    resources = found["resources"]
    assert (resources["infra"], resources["accelerators"]) == ("aws", "L4:2")
    assert resources["use_spot"] is False
    assert resources["max_hourly_cost"] == 1.0  # 6 dollars over 3 hours of 2 machines
    assert "accelerators" not in tasks.apply_request(task, request(gpu="none"))["resources"]
    assert "infra" not in tasks.apply_request(task, request(on="sky"))["resources"]


def test_all_machines_get_the_code_and_no_image(task: dict[str, Any]) -> None:
    for on in ("aws", "runpod", "kubernetes"):
        wanted = request(on=on)
        found = tasks.compose(tasks.apply_request(task, wanted), wanted, JOB, INPUTS, CODE)
        assert found["secrets"] == {"CODE": CODE}
        assert "image_id" not in found["resources"]
        assert CODE not in yaml.safe_dump({**found, "secrets": None})


def test_slurm_and_kubernetes_get_a_limit_that_they_enforce(task: dict[str, Any]) -> None:
    mine = {"containers": [{"env": []}], "activeDeadlineSeconds": 1}
    task["config"] = {
        "slurm": {"sbatch_options": {"account": "me", "time": "9-0"}},
        "kubernetes": {"pod_config": {"spec": mine}},
    }
    wanted = request(on="slurm")
    job = Job(JOB.id, JOB.project, JOB.command, int(time.time() + 630))
    found = tasks.compose(tasks.apply_request(task, wanted), wanted, job, INPUTS, CODE)
    assert found["config"] == {
        "slurm": {"sbatch_options": {"account": "me", "time": 10}},
        "kubernetes": {"pod_config": {"spec": {**mine, "activeDeadlineSeconds": 1200}}},
    }


def test_a_job_carries_its_labels_and_its_deadline_and_secrets_apart(
    task: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hush")
    monkeypatch.setenv("TORCH", "cu126")
    wanted = request(on="slurm")
    found = tasks.compose(tasks.apply_request(task, wanted), wanted, JOB, INPUTS, CODE)
    assert found["name"] == "houses-abcdef01"
    assert found["resources"]["labels"] == {
        "train-project": "houses",
        "train-job": JOB.id,
        "train-deadline": "2000000000",
    }
    envs = found["envs"]
    assert envs["STORE"] == f"s3://mine/jobs/{JOB.id}"
    assert (envs["INPUTS"], envs["DEADLINE"]) == (INPUTS, "2000000000")
    assert envs["MLFLOW_TRACKING_URI"] == "https://mlflow.example"
    assert envs["TORCH"] == "cu126"
    assert found["secrets"] == {"MLFLOW_TRACKING_PASSWORD": "hush", "CODE": CODE}
    assert "hush" not in yaml.safe_dump({**found, "secrets": None})
    rented = request(on="aws")  # a machine that is not yours: runs come with the results
    found = tasks.compose(tasks.apply_request(task, rented), rented, JOB, INPUTS, CODE)
    assert found["secrets"] == {"CODE": CODE}
    assert "MLFLOW_TRACKING_URI" not in found["envs"]


@pytest.mark.parametrize("own", ["HOME", "SKY_RUNTIME_DIR"])
@pytest.mark.parametrize("line", ["setup", "run"])
def test_each_script_first_sets_the_end_of_its_machine(
    task: dict[str, Any], line: str, own: str, tmp_path: Path
) -> None:
    # On Slurm the home is one for all nodes, and what is a node's own lies elsewhere.
    places = {"HOME": "/nowhere", own: str(tmp_path)}
    wanted = request(gpu="none")
    chosen = tasks.apply_request({**task, "setup": "echo work", "run": "echo work; false"}, wanted)

    def ran(seconds: float) -> tuple[int, list[str]]:
        job = Job(JOB.id, JOB.project, JOB.command, int(time.time() + seconds))
        script = tasks.compose(chosen, wanted, job, INPUTS, CODE)[line]
        done = subprocess.run(
            ["bash", "-c", script], env={**places, "PATH": str(tmp_path)},
            capture_output=True, text=True, cwd=tmp_path,
        )  # fmt: skip
        calls = tmp_path / "calls"
        lines = [*(calls.read_text().split() if calls.exists() else []), *done.stdout.split()]
        calls.unlink(missing_ok=True)
        return done.returncode, lines

    # What SkyPilot has put on a machine: its Python, which here writes its arguments down.
    (tmp_path / ".sky").mkdir()
    (tmp_path / ".sky/python_path").write_text(f"{tmp_path}/python")
    record = 'case "$2" in *set_autostop*NONE*True*) ;; *) exit 9;; esac; '
    record += "minutes=${2#*set_autostop(}; echo ${minutes%%,*} >> calls"
    (tmp_path / "python").write_text(f"#!/bin/bash\n{record}\n")
    (tmp_path / "python").chmod(0o755)
    for program in ("bash", "cat", "date", "env"):
        (tmp_path / program).symlink_to(str(shutil.which(program)))

    code, lines = ran(601)
    if line == "setup":
        assert (code, lines) == (0, ["10", "work"])
    else:  # after the work, failed or not, the machine is not needed
        assert (code, lines) == (1, ["10", "3", "work"])
    code, lines = ran(-5)
    assert code == 1
    assert lines[0] == "3"  # for SkyPilot to see the result
    assert "work" not in lines
    (tmp_path / "python").write_text("#!/bin/bash\nexit 1\n")
    code, lines = ran(601)
    assert (code, lines) == (1, [])  # a machine that cannot end itself does no work


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("s3://mine", "s3://YOU"), "put your bucket into envs.STORE"),
        (("envs:", "envs: ]"), "is not YAML"),
        (("s3://mine/", "s3://mine/\n  MORE: null"), "envs.MORE is null, and not in the env"),
    ],
)
def test_a_mistake_in_the_file_is_reported_in_a_line(
    task: dict[str, Any], change: tuple[str, str], message: str
) -> None:
    tasks.FILE.write_text(tasks.FILE.read_text().replace(*change))
    with pytest.raises(UserError, match=re.escape(message)) as error:
        tasks.read_task()
    assert str(error.value).startswith(f"{tasks.FILE}")
    assert len(str(error.value).splitlines()) == 1


def test_another_package_brings_a_launcher_by_an_entry_point(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Mine(NamedTuple):
        on: str

    class EntryPoint:
        def load(self) -> type[Mine]:
            return Mine

    def found(group: str, name: str) -> list[EntryPoint]:
        assert group == "coldstart.launchers"
        return [EntryPoint()] if name == "mine" else []

    monkeypatch.setattr(providers, "entry_points", found)
    for on in ("mine", "mine/partition", "mine://host"):
        assert find_launcher(on) == Mine(on)
    assert isinstance(find_launcher("aws"), launcher.SkyPilotLauncher)
