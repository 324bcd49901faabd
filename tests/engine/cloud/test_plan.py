"""The plan of a job, its cost and its budget; and the task that SkyPilot gets for it."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import shutil
import subprocess
import sys
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
from coldstart.cloud._gpu import DRIVERS
from coldstart.cloud._job import Job
from coldstart.cloud._plan import (
    WIDTH,
    Charge,
    Offer,
    Plan,
    check_budget,
    check_price,
    confirm_plan,
    format_plan,
)
from coldstart.cloud._providers import find_launcher
from coldstart.cloud._request import LaunchRequest
from coldstart.cloud.skypilot import _bound as bounds
from coldstart.cloud.skypilot import _deadline as deadlines
from coldstart.cloud.skypilot import _environment as skypilot
from coldstart.cloud.skypilot import _launcher as launcher
from coldstart.cloud.skypilot import _task as tasks
from coldstart.errors import UserError
from engine.support import PROJECT, ROOT, TEMPLATE, main

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


# The plan of two spot machines for 1.5 hours, and 16 minutes until they have ended.
SPOT = Plan(
    Offer("AWS g6.xlarge, L4:1, spot", 0.2, 0.45),
    2,
    1.5,
    "code",
    [Offer("AWS g5.xlarge, A10G:1, spot", 0.3, 1.0)],
    [Charge("disk", 0.04, "100 GB"), Charge("address", 0.005, "IPv4")],
    {"boot": 10, "result": 3, "daemon": 1, "termination": 2},
    ["prices of today"],
)


def test_the_most_is_the_sum_of_all_that_is_charged_for_the_most_expensive_machine() -> None:
    assert SPOT.max_cost == 3.0 + 0.12 + 0.02 + 0.56  # 2 x 1.045 x 16 minutes, rounded up
    lines = format_plan(SPOT).splitlines()
    assert all(len(line) <= WIDTH for line in lines)
    assert [line.split() for line in lines if "spot" in line][1:3] == [
        ["AWS", "g6.xlarge,", "L4:1,", "spot", "0.2000", "0.60", "1.76"],
        ["AWS", "g5.xlarge,", "A10G:1,", "spot", "0.3000", "0.90", "3.70"],
    ]
    at = next(number for number, line in enumerate(lines) if "at most     3.70 USD" in line)
    parts = [float(found[1]) for line in lines[at:] if (found := re.match(r" +(\d+\.\d\d) ", line))]
    assert parts == [3.0, 0.12, 0.02, 0.56]
    check_budget(SPOT, 3.7)
    message = r"may cost 3.70 USD, and the budget is 3 USD: HOURS=1.16 fits, or a cheaper machine"
    with pytest.raises(UserError, match=message):
        check_budget(SPOT, 3.0)


def test_a_machine_of_ones_own_costs_its_price_times_hours() -> None:
    plan = Plan(Offer("me@host", 0.5), 1, 2, "image")
    assert plan.max_cost == 1.0
    assert "at most     1.00 USD (1 x 0.5000 x 2 h)" in format_plan(plan)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    lives=st.lists(st.tuples(st.floats(0, 7200), st.floats(1, 600)), max_size=40),
    overlap=st.floats(0, 1),
)
def test_machines_that_replace_others_cost_no_more(
    lives: list[tuple[float, float]], overlap: float
) -> None:
    # A machine is billed for a minute at least, and until it has ended, while SkyPilot has noticed
    # the loss, asked for the next one and waited until that one boots: more than a minute after.
    seconds, billed = 0.0, 0.0
    for life, boot in lives:
        gap = 60 + boot
        if seconds + life > SPOT.hours * 3600:
            break
        billed += max(60, life + overlap * gap)
        seconds += life + gap
    billed += max(60, SPOT.hours * 3600 - seconds)  # the last one, requested just before the stop
    assert SPOT.max_cost is not None
    assert 2 * 1.045 * billed / 3600 <= SPOT.max_cost


@settings(max_examples=500, deadline=None, derandomize=True)
@given(
    nodes=st.integers(1, 64),
    cents=st.one_of(st.integers(1, 20_000), st.floats(0.01, 20_000)),
    budget=st.one_of(st.integers(1, 10**7).map(lambda n: n / 100), st.floats(0.01, 10**5)),
    minutes=st.sampled_from([0, 16]),
)
@example(nodes=1, cents=1, budget=1666.66, minutes=0)
@example(nodes=3, cents=7, budget=20.37, minutes=16)
def test_the_hours_that_are_advised_are_accepted_and_are_the_most(
    nodes: int, cents: float, budget: float, minutes: int
) -> None:
    price = cents / 100
    ending = {"boot": minutes}
    charges = [Charge("disk", price / 7, "")]
    plan = Plan(Offer("machine", price), nodes, 1e9, "image", [], charges, ending)
    with pytest.raises(UserError) as refused:
        check_budget(plan, budget)
    if advised := re.search(r"HOURS=(\S+) fits", str(refused.value)):
        hours = float(advised[1])  # as it is read from the command line
        check_budget(dataclasses.replace(plan, hours=hours), budget)
        with pytest.raises(UserError):
            check_budget(dataclasses.replace(plan, hours=hours + 0.0101), budget)
    else:
        with pytest.raises(UserError):
            check_budget(dataclasses.replace(plan, hours=0.0101), budget)


def test_without_a_price_no_budget_fits_and_a_confirmation_is_needed() -> None:
    plan = Plan(Offer("Kubernetes", None), 1, 2, "image")
    assert plan.max_cost is None
    check_price(plan)
    with pytest.raises(UserError, match="needs a price"):
        check_budget(plan, 5.0)
    with pytest.raises(UserError, match="YES=1 confirms"):
        confirm_plan(plan, False)
    # A price that is known of others bounds nothing.
    mixed = Plan(Offer("Kubernetes", None), 1, 2, "image", [Offer("AWS", 1.0)])
    assert mixed.max_cost is None


@pytest.mark.parametrize("price", [0.0, -1.0, math.nan, math.inf])
def test_a_price_that_cannot_be_right_is_refused(price: float) -> None:
    for plan in (
        Plan(Offer("vast", price, 2.0), 1, 24, "code"),
        Plan(Offer("aws", 1.0, price), 1, 24, "code"),
        Plan(Offer("k8s", None), 1, 24, "code", [Offer("vast", price)]),
    ):
        with pytest.raises(UserError, match="USD an hour, which cannot be right"):
            check_price(plan)


def offered(
    monkeypatch: pytest.MonkeyPatch, price: float | None, highest: float = 2.0, **more: Any
) -> None:
    """Let SkyPilot offer one machine, without asking it."""
    place = {"region": "us", "price": price, "highest": highest, "resources": {"infra": "vast/us"}}
    places = None if price is None else [place]
    offer = {"machine": "Vast 8x_H200, H200:8", "cloud": "vast", "disk": 100, "regions": 1}
    offer |= {"places": places, "resources": {"infra": "vast"}}
    found = {"offers": [offer], "date": "2026-11-30", "controller": ""} | more
    monkeypatch.setattr(shutil, "which", lambda program: program)
    monkeypatch.setattr(skypilot, "ensure_installed", lambda: None)
    monkeypatch.setattr(skypilot, "clouds", lambda: ["vast"])
    monkeypatch.setattr(skypilot, "call", lambda *_: found)


Printed = pytest.CaptureFixture[str]


def test_a_spot_machine_is_counted_at_its_price_on_demand(
    task: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    offered(monkeypatch, 0.01, 17.88)
    command = ["train-on", "--on", "vast", "--gpu", "H200:8", "--hours", "24", "--dollars", "0.5"]
    for more in (["--yes"], ["--dry-run"]):
        assert main([*command, *more]) == 2
        captured = capsys.readouterr()
        (line,) = captured.err.splitlines()
        assert re.search(r"may cost 43\d\.\d\d USD, and the budget is 0.5 USD", line)
        assert "Vast 8x_H200, H200:8: 0.0100 USD an hour" in captured.out


def test_a_plan_says_what_is_in_the_bound_and_what_is_not(
    task: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    offered(monkeypatch, 1.0)
    assert main(["train-on", "--on", "vast", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert all(len(line) <= WIDTH for line in out.splitlines())
    for said in (
        "4.00 machine: 2.0000 an hour x 2 h; Vast 8x_H200, H200:8, at its highest",
        "0.17 disk: 0.0822 an hour x 2 h; 100 GB, 0.60 a GB and month",
        "0.01 address: 0.0050 an hour x 2 h; public IPv4",
        "0.67 end: 19 min of all these after the stop (daemon 1, termination 2, late machine 16)",
        "at most 4.85 USD, the sum of",
        "note prices of 2026-11-30, from SkyPilot's catalog",
        "note not included: traffic out of the cloud, your storage, taxes",
    ):
        assert said in " ".join(out.split())


def test_a_cluster_without_spot_machines_gets_no_request_for_one(
    task: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slurm refuses it, and infra/train.sky.yaml asks for spot."""
    offered(monkeypatch, None)
    launch = launcher.SkyPilotLauncher("slurm")
    launch.plan(request(on="slurm", spot=None, dry_run=True))
    assert launch.task["resources"]["use_spot"] is False
    with_choices = {**task, "resources": {"any_of": [{"use_spot": True, "cpus": 2}]}}
    monkeypatch.setattr(tasks, "read_task", lambda dry_run: with_choices)
    launch.plan(request(on="slurm", spot=None, dry_run=True))
    assert launch.task["resources"]["any_of"] == [{"cpus": 2}]
    assert launch.task["resources"]["use_spot"] is False


def test_a_plan_says_from_when_on_machines_end_themselves(
    task: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    offered(monkeypatch, 1.0)
    found = skypilot.call("plan", {})
    for clouds, note in (
        (["aws", "kubernetes"], "machines end themselves from their boot on, whatever becomes"),
        (["vast", "aws"], "machines of vast end themselves from their setup on, before it"),
        (["vast", "aws", "gcp"], "machines of gcp and vast end themselves from their setup on"),
    ):
        offers = [found["offers"][0] | {"cloud": cloud} for cloud in clouds]
        offered(monkeypatch, 1.0, offers=offers)
        assert main(["train-on", "--on", "vast", "--dry-run"]) == 0
        out = capsys.readouterr().out
        assert all(len(line) <= WIDTH for line in out.splitlines())
        said = " ".join(out.split())
        assert f"note {note}" in said
        assert ("stay online until the log" in said) == ("vast" in clouds)


def test_the_documented_providers_end_themselves_from_their_boot_on() -> None:
    page = (ROOT / "docs/how-to/rent-machines.md").read_text()
    rows = re.findall(r"^\| (`.*`) \| .* \| yes, from (.*) on \|$", page, re.MULTILINE)
    when = {name: start for names, start in rows for name in re.findall("`(.*?)`", names)}
    assert set(when.values()) == {"its boot", "its start", "the setup"}
    early = {name for name, start in when.items() if start != "the setup"}
    assert early == {*deadlines.end_after_boot({}, 0), *deadlines.limit({}, 0)}
    assert early == set(deadlines.FROM_BOOT)


def test_skypilot_gets_the_cheapest_places_and_not_thousands() -> None:
    places = [
        {
            "region": f"r{n}",
            "price": 0.1,
            "highest": 1 + n / 1e3,
            "resources": {"infra": f"aws/r{n}"},
        }
        for n in range(300)
    ]
    one = {"machine": "AWS g6", "cloud": "aws", "regions": 300, "resources": {"infra": "aws"}}
    whole, resources = bounds.choose([one | {"places": places}], lambda price: True, None)
    assert resources == [{"infra": "aws"}]
    assert whole == [Offer("AWS g6", 0.1, 1.299)]
    part, resources = bounds.choose([one | {"places": places}], lambda price: price < 1.25, None)
    assert resources == [{"infra": f"aws/r{n}"} for n in range(bounds.MOST)]
    assert part == [Offer("AWS g6", 0.1, 1.249)]


def test_a_dry_run_needs_no_bucket_no_secret_and_no_ssh(
    task: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    offered(monkeypatch, 1.0)
    monkeypatch.setattr(shutil, "which", lambda program: None)
    template = (TEMPLATE / tasks.FILE).read_text()
    tasks.FILE.write_text(template.replace("# secrets:", "secrets:"))
    assert main(["train-on", "--on", "vast", "--dry-run"]) == 0
    assert main(["train-on", "--on", "vast", "--yes"]) == 2
    assert "SkyPilot needs rsync" in capsys.readouterr().err


def test_a_machine_that_would_watch_over_jobs_is_not_rented(
    task: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    offered(monkeypatch, 1.0, controller="~/.sky/config.yaml does not say so")
    assert main(["train-on", "--on", "vast", "--yes"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "would rent a machine to watch over jobs" in line
    assert "~/.sky/config.yaml does not say so" in line
    assert main(["train-on", "--on", "vast", "--dry-run"]) == 0


def test_a_given_price_is_for_machines_without_a_published_one(
    task: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    command = ["train-on", "--on", "vast", "--dry-run", "--price", "0.5", "--dollars", "5"]
    offered(monkeypatch, 1.0)
    assert main(command) == 2
    assert "PRICE=... is not for vast" in capsys.readouterr().err
    offered(monkeypatch, None)
    assert main(command) == 0
    assert "1.00  machine: 0.5000 an hour x 2 h" in capsys.readouterr().out
    assert main(command[:4]) == 0
    assert "at most" not in capsys.readouterr().out


def test_a_gpu_is_rented_for_model_types_that_use_one(
    task: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    offered(monkeypatch, 1.0)
    for models, gpu, has_gpu, note in (
        (None, None, True, ""),
        (["neural", "tree"], None, True, ""),
        (["tree", "linear"], None, False, "without a GPU, which tree and linear would not use"),
        (["tree"], "L4:1", True, "tree will not use the GPU (uses_gpu in models.py): GPU=none is"),
        (["tree"], "none", False, ""),
    ):
        given = [*(["--models", json.dumps(models)] if models else [])]
        given += ["--gpu", gpu] if gpu else []
        assert main(["train-on", "--on", "vast", "--dry-run", *given]) == 0
        out = " ".join(capsys.readouterr().out.split())
        assert (f"note {note}" in out) if note else ("GPU" not in out)
        settings = request().settings.model_copy(update={"models": models})
        wanted = dataclasses.replace(request(gpu=gpu), settings=settings)
        assert ("accelerators" in tasks.apply_request(task, wanted)["resources"]) == has_gpu


def test_a_misspelled_model_type_is_refused_before_the_plan(
    task: dict[str, Any], capsys: Printed
) -> None:
    assert main(["train-on", "--on", "aws", "--dry-run", "--models", '["tre"]']) == 2
    told = capsys.readouterr()
    assert "tre" in told.err
    assert "tree" in told.err
    assert not told.out


def test_a_plan_of_all_providers_warns_that_their_credentials_are_copied(
    task: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    offered(monkeypatch, 2.0)
    for on in ("vast", "aws", "slurm", "kubernetes", "sky"):
        assert main(["train-on", "--on", on, "--dry-run"]) == 0
        out = capsys.readouterr().out
        warned = "warning     with ON=sky, SkyPilot copies the credentials of all clouds" in out
        assert warned == (on == "sky")


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
    assert "accelerators" not in tasks.apply_request(task, request(gpu="none"))["resources"]
    assert "infra" not in tasks.apply_request(task, request(on="sky"))["resources"]
    task["resources"]["any_of"] = [{"accelerators": "A100:8", "disk_size": 50}, {"infra": "gcp"}]
    found = tasks.apply_request(task, request(gpu="none"))["resources"]
    assert found["any_of"] == [{"disk_size": 50}, {}]


def test_a_job_uses_all_cores_though_ray_leaves_it_one(task: dict[str, Any]) -> None:
    python = Path("app/.venv/bin/python").absolute()
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "${OMP_NUM_THREADS-all} $*"\n')
    python.chmod(0o755)
    places = {"HOME": str(Path.cwd()), "SKYPILOT_NODE_RANK": "0", "WORKER": "worker"}
    done = subprocess.run(
        ["bash", "-c", task["run"]],
        env={**os.environ, **places, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "all -m worker\n"), done.stderr


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


OLD = "driver {} is too old for CUDA 12: 525 or newer is needed. Take another machine"
LOW = "compute capability {} is too low for CUDA 13: 7.5 is needed. TORCH=cu126 make train ON=..."


@pytest.mark.parametrize(
    ("driver", "capability", "torch", "reason"),
    [
        ("", "", "", "nvidia-smi fails"),
        ("470.256.02", "", "", OLD.format("470.256.02")),  # its nvidia-smi knows no compute_cap
        ("525.60.13", "6.1", "", None),  # gets CUDA 12.6
        ("570.86.15", "7.0", "", None),
        ("580.65.06", "7.0", "", LOW.format("7.0")),
        ("580.65.06", "8.9 6.1", "", LOW.format("6.1")),
        ("580.65.06", "6.1", "auto", LOW.format("6.1")),
        ("580.65.06", "7.0", "cu126", None),
        ("580.65.06", "7.5", "", None),
        ("595.10", "12.0 10.3", "", None),
        ("580.65.06", "[N/A]", "", None),  # the worker's step will tell
    ],
)
def test_a_gpu_that_torch_cannot_use_is_found_before_the_environment_is_made(
    task: dict[str, Any],
    tmp_path: Path,
    driver: str,
    capability: str,
    torch: str,
    reason: str | None,
) -> None:
    """The driver is simulated: nvidia-smi knows the fields that a driver of its age has."""
    drivers, capabilities = ("\n".join(text.split()) for text in (driver, capability))
    program = tmp_path / "nvidia-smi"
    program.write_text(
        f"#!/bin/sh\n[ -n '{driver}' ] || {{ echo Failed to initialize NVML; exit 18; }}\n"
        f"case \"$*\" in *driver_version*) echo '{drivers}';;\n"
        f"*compute_cap*) echo '{capabilities}'; [ -n '{capability}' ];; *) echo a table;; esac\n"
    )
    program.chmod(0o755)
    wanted = request(gpu="L4:1")
    task["setup"] = "set -e -o pipefail\necho downloading"
    job = Job(JOB.id, JOB.project, JOB.command, int(time.time() + 600))
    composed = tasks.compose(tasks.apply_request(task, wanted), wanted, job, INPUTS, CODE)
    places = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "SKYPILOT_NODE_RANK": "1"}
    done = subprocess.run(
        ["bash", "-c", composed["setup"]],
        env={**places, **({"TORCH": torch} if torch else {})},
        capture_output=True,
        text=True,
    )
    *_, last = done.stdout.splitlines()
    if reason:
        assert last == f"error: the GPU that is paid for cannot be used: {reason}"
        assert done.returncode == 1
    else:
        assert (done.returncode, last) == (0, "downloading")


@pytest.mark.parametrize(
    ("driver", "newest"),
    [("524.99", 11), ("525.60.13", 12), ("579.99", 12), ("580", 13), ("600.1", 13)],
)
def test_the_drivers_that_are_refused_are_those_for_which_uv_finds_no_build(
    driver: str, newest: int, tmp_path: Path
) -> None:
    """The indexes of torch that uv prints are those that suit a driver; no network is needed."""
    line = ["pip", "install", "--dry-run", "--offline", "--no-cache", "--verbose", "torch"]
    done = subprocess.run(
        [sys.executable, "-m", "uv", *line, "--torch-backend=auto", "--target", str(tmp_path)],
        env={**os.environ, "UV_CUDA_DRIVER_VERSION": driver},
        capture_output=True,
        text=True,
    )
    assert max(map(int, re.findall(r"whl/cu(\d\d)\d", done.stderr))) == newest
    assert newest == max(cuda for cuda, oldest in DRIVERS.items() if float(driver[:3]) >= oldest)


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
