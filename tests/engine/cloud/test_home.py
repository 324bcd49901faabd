"""SkyPilot's home, which holds the credentials of one provider."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from coldstart.cli._commands import Train
from coldstart.cli._main import build
from coldstart.cloud._job import tracking_environment
from coldstart.cloud.skypilot import _environment as skypilot
from coldstart.cloud.skypilot._home import surroundings
from engine.support import PROJECT

SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "aws",
    "DATABASE_URL": "mine",
    "GOOGLE_API_KEY": "gcp",
    "HF_TOKEN": "hub",
    "KUBECONFIG": "~/.kube/other",
    "MLFLOW_TRACKING_PASSWORD": "mlflow",
    "RUNPOD_API_KEY": "runpod",
}


@pytest.fixture
def me(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user with credentials of several clouds, in a project's folder."""
    for name in (".aws", ".config/gcloud", ".kube", ".runpod", ".slurm", ".ssh"):
        (tmp_path / "me" / name).mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "project/infra").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "me"


@pytest.mark.parametrize(
    ("provider", "links", "variables"),
    [
        ("aws", {".aws"}, {"AWS_SECRET_ACCESS_KEY"}),
        ("gcp", {".config/gcloud"}, {"GOOGLE_API_KEY"}),
        ("kubernetes", {".kube"}, {"KUBECONFIG"}),
        ("k8s", {".kube"}, {"KUBECONFIG"}),
        ("runpod", {".runpod"}, {"RUNPOD_API_KEY"}),
        ("slurm", {".slurm", ".ssh"}, set()),
        ("vast", set(), set()),
    ],
)
def test_skypilot_gets_the_credentials_of_one_provider(
    me: Path, provider: str, links: set[str], variables: set[str]
) -> None:
    for _ in range(2):
        found = skypilot.environment(f"{provider}/somewhere")
    home = Path(found["HOME"])
    assert home == Path(".sky/home", provider).resolve()
    held = {path for path in home.rglob("*") if path.is_symlink()}
    assert {path.relative_to(home).as_posix(): path.resolve() for path in held} == {
        name: me / name for name in links
    }
    assert {*found} & {*SECRETS} == variables
    assert found["PATH"].endswith(os.environ["PATH"])


def test_credentials_that_are_gone_leave_no_link(me: Path) -> None:
    surroundings(Path("home"), ["runpod"])
    shutil.rmtree(me / ".runpod")
    surroundings(Path("home"), ["runpod"])
    assert not Path("home/.runpod").is_symlink()


def test_each_provider_has_a_server_of_its_own(me: Path) -> None:
    ports = {surroundings(Path(one), [one])["SKYPILOT_API_SERVER_LOCAL_PORT"] for one in SECRETS}
    assert len(ports) == len(SECRETS)
    assert "46580" not in ports


def test_without_a_provider_all_are_there(me: Path) -> None:
    Path("infra/sky.txt").write_text("skypilot[aws,runpod]==0.14.1\n")
    found = skypilot.environment("sky")
    assert {"AWS_SECRET_ACCESS_KEY", "RUNPOD_API_KEY"} == {*found} & {*SECRETS}
    assert {path.name for path in Path(".sky/home/sky").iterdir()} == {".aws", ".runpod"}


def test_a_program_that_came_with_skypilot_is_found_without_being_on_the_path(me: Path) -> None:
    program = Path(".sky/bin/aws")
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    found = shutil.which("aws", path=skypilot.environment("aws")["PATH"])
    assert found == str(program.absolute())


def test_settings_of_a_call_stand_before_those_of_the_file(me: Path) -> None:
    Path("infra/sky.config.yaml").write_text("jobs: {controller: {consolidation_mode: true}}\n")
    assert skypilot.read_config() == {"jobs": {"controller": {"consolidation_mode": True}}}
    found = skypilot.environment("aws")
    here = str(Path("infra/sky.config.yaml").absolute())
    assert found["SKYPILOT_GLOBAL_CONFIG"] == found["SKYPILOT_PROJECT_CONFIG"] == here
    python = Path(".sky/bin/python")  # prints what it would read, as SkyPilot's program does
    python.parent.mkdir(parents=True)
    read = 'import json, os; print(json.dumps(open(os.environ["SKYPILOT_PROJECT_CONFIG"]).read()))'
    python.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{read}'\n")
    python.chmod(0o755)
    settings = {"aws": {"vpc_name": "mine"}}
    assert skypilot.call("plan", {}, True, "aws", settings) == "aws:\n  vpc_name: mine\n"


def test_no_password_of_mlflow_is_sent_to_a_machine_that_is_not_yours(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sent(uri: str, yours: bool) -> dict[str, str]:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        return tracking_environment(build(PROJECT, Train, []), yours)

    server = "https://mlflow.here.org"
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    assert sent(server, yours=False) == {"MLFLOW_TRACKING_URI": server}
    assert sent("https://me:secret@mlflow.here.org", yours=False) == {}
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    assert sent(server, yours=False) == {}
    both = {"MLFLOW_TRACKING_URI": server, "MLFLOW_TRACKING_PASSWORD": "secret"}
    assert sent(server, yours=True) == both
