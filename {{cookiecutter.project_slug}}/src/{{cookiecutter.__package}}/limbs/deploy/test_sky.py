"""Deploying by SkyServe: what SkyPilot is given, what is done with its answers, and mistakes.

A program stands in for SkyPilot: it keeps a service as SkyServe does, whose replicas get ready or
fail. Its address is that of the project's own API. The template tests what SkyPilot itself says.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from {{cookiecutter.__package}}.__main__ import main
from {{cookiecutter.__package}}.limbs.deploy.on_sky import choices
from {{cookiecutter.__package}}.limbs.deploy.on_sky import place as places
from {{cookiecutter.__package}}.limbs.skypilot import environment as skypilot
from {{cookiecutter.__package}}.settings import PACKAGE

Capture = pytest.CaptureFixture[str]

SERVICE = Path(__file__).parents[4] / choices.FILE
SKYPILOT = """
import json, sys
from pathlib import Path

what, asked, file = sys.argv[1], json.load(sys.stdin), Path("FOLDER/state.json")
state, answer, code = json.loads(file.read_text()), None, 0
services = state["services"]

def replica(version):
    states = ["PROVISIONING", "STARTING", state["outcome"]]
    return {"version": version, "states": states, "of": asked["config"]["envs"]}

print("SkyPilot talks", file=sys.stderr)
if state["refuses"] == what:
    answer, code = f"no {what} today", 1
elif what == "plan":
    answer = state["plan"]
elif what == "status":
    for service in services:
        new = service["version"]
        for one in service["replicas"]:
            one["states"] = one["states"][-2:] if len(one["states"]) > 2 else one["states"][-1:]
            one["status"] = one["states"][0]
        now = [one for one in service["replicas"] if one["version"] == new]
        ready = [one for one in now if one["status"] == "READY"]
        if len(ready) >= 2:
            service["replicas"] = ready
    answer = services
elif what in ("up", "update"):
    if what == "up":
        services.append({"name": asked["name"], "version": 0, "replicas": [], "status": "READY"})
        services[-1]["endpoint"] = state["url"]
    (service,) = services
    service["version"] += 1
    service["config"] = asked["config"]
    same = [one for one in service["replicas"] if one["of"] == asked["config"]["envs"]]
    for one in same:
        one["version"] = service["version"]  # they are good for the new version as well
    if same:
        service["replicas"] = [one for one in service["replicas"] if one["status"] == "READY"]
    else:
        service["replicas"] += [replica(service["version"]) for _ in range(2)]
elif what == "down":
    state["services"] = []
state["asked"].append([what, asked])
file.write_text(json.dumps(state))
print(json.dumps(answer))
sys.exit(code)
"""


class SkyPilot:
    """The stand-in. `state` is what it keeps."""

    def __init__(self, folder: Path, url: str) -> None:
        self.file = folder / "state.json"
        machine = {"what": "AWS m6i.large", "price": 0.1}
        controller = {"what": "AWS m6i.xlarge", "price": 0.2}
        plan = {"least": 2, "most": 4, "replica": machine, "controller": controller}
        state = {"services": [], "asked": [], "refuses": "", "outcome": "READY", "url": url}
        self.file.write_text(json.dumps(state | {"plan": plan}))

    @property
    def state(self) -> dict[str, Any]:
        return dict(json.loads(self.file.read_text()))

    def will(self, **what: Any) -> None:
        """Let it be or answer otherwise from now on."""
        self.file.write_text(json.dumps(self.state | what))

    def given(self) -> dict[str, Any]:
        """What it was last given to run."""
        asked = [about for what, about in self.state["asked"] if what in ("up", "update")]
        return dict(asked[-1]["config"])


@pytest.fixture(scope="module")
def champion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a champion, version 1."""
    folder = tmp_path_factory.mktemp("trained")
    lines = [f"{n % 97 * 2},{'red' if n % 3 else 'blue'},{n % 97 > 40}" for n in range(600)]
    (folder / "fruit.csv").write_text("\n".join(["weight,colour,sweet", *lines]))
    columns = {
        "weight": {"type": "number", "minimum": 0, "maximum": 1000},
        "colour": {"type": "category"},
        "sweet": {"type": "boolean", "role": "target", "nullable": False},
    }
    (folder / "schema.yaml").write_text(yaml.safe_dump({"columns": columns}, sort_keys=False))
    config = {"data": {"table": "fruit.csv"}, "models": ["linear"]}
    config["split"] = {"cross_validate_below": 0}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "pyproject.toml").write_text('[project]\nname = "small"\n')
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        assert main(["train"]) == 0
    return folder


@pytest.fixture(scope="module")
def api(champion: Path) -> Iterator[str]:
    """The address of an API with the champion, as a replica serves it."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    command = [sys.executable, "-m", PACKAGE, "serve", "--serving.port", str(port)]
    with subprocess.Popen(command, cwd=champion, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        while "API:" not in server.stdout.readline():
            assert server.poll() is None
        yield f"http://127.0.0.1:{port}"
        server.terminate()


@pytest.fixture
def project(champion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what is deployed, to go to, with a registry named."""
    for name in ("config.yaml", "pyproject.toml"):
        shutil.copy(champion / name, tmp_path)
    shutil.copytree(champion / "bundles", tmp_path / "bundles")
    folder = tmp_path / choices.FILE.parent
    folder.mkdir(parents=True)
    service = SERVICE.read_text()
    (here,) = re.findall(r"image_id: docker:(\S+)", service)
    (folder / "sky.yaml").write_text(service.replace(here, ADDRESS))
    shutil.copy(SERVICE.parents[1] / "sky.txt", folder.parent)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def sky(project: Path, api: str, monkeypatch: pytest.MonkeyPatch) -> SkyPilot:
    """SkyPilot, installed; images are neither built nor pushed, but have addresses."""
    program = project / skypilot.FOLDER / skypilot.PYTHON
    program.parent.mkdir(parents=True)
    text = SKYPILOT.replace("FOLDER", str(project))
    (project / "skypilot.py").write_text(text)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {project}/skypilot.py "$3"\n')
    program.chmod(0o755)
    shutil.copy(skypilot.WANTED, project / skypilot.FOLDER / "made")
    monkeypatch.setattr(places, "build_serve", lambda base: None)
    monkeypatch.setattr(places, "build", lambda *_, **__: None)
    monkeypatch.setattr(places, "push", lambda image, remote: remote.replace(":", "@sha256:"))
    monkeypatch.setattr(places, "PAUSE", 0.01)
    return SkyPilot(project, api)


def as_version(project: Path, version: str) -> None:
    """Call the champion another version."""
    path = project / "bundles/champion/version.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": version}))


def deploy(*arguments: str) -> int:
    """Run the command."""
    return main(["deploy", "--on", "sky", "--yes", *arguments])


pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stand-in is a script of the shell")
ADDRESS = "ghcr.io/me/small"
AT = f"{ADDRESS}@sha256:"


def test_the_champion_comes_to_all_replicas_goes_back_and_is_taken_away(
    sky: SkyPilot, project: Path, api: str, capsys: Capture
) -> None:
    assert deploy("--status") == 0
    assert "is not deployed" in capsys.readouterr().out
    assert deploy() == 0
    assert f"version 1 answers at {api}" in capsys.readouterr().out
    given, written = sky.given(), yaml.safe_load(choices.FILE.read_text())
    assert given["resources"] == written["resources"] | {"image_id": f"docker:{AT}1"}
    assert {key: given[key] for key in ("service", "run")} == {
        key: written[key] for key in ("service", "run")
    }
    as_version(project, "2")
    assert deploy() == 0
    capsys.readouterr()
    assert deploy("--status") == 0
    out = capsys.readouterr().out
    assert f"version 2: ready at {api}" in out
    assert out.count("replica: ready") == 2
    assert "version 1: for ROLLBACK=1" in out
    for version in ("1", "2"):
        assert deploy("--rollback") == 0
        assert f"version {version} answers at" in capsys.readouterr().out
        assert sky.given()["resources"]["image_id"] == f"docker:{AT}{version}"
    assert deploy("--down") == 0
    assert sky.state["services"] == []
    assert deploy("--rollback") == 2
    assert "nothing to go back to: make deploy" in capsys.readouterr().err


def test_the_same_again_keeps_what_was_before(sky: SkyPilot, project: Path) -> None:
    for version in ("1", "2", "2"):
        as_version(project, version)
        assert deploy() == 0
    assert sky.given()["envs"][choices.BEFORE] == f"1 {AT}1"


@pytest.mark.parametrize("outcome", ["FAILED", "FAILED_INITIAL_DELAY", "FAILED_PROVISION"])
def test_a_version_whose_replicas_fail_is_withdrawn_and_the_old_one_goes_on(
    sky: SkyPilot, project: Path, outcome: str, capsys: Capture
) -> None:
    assert deploy() == 0
    before = sky.given()
    as_version(project, "2")
    sky.will(outcome=outcome)
    capsys.readouterr()
    assert deploy() == 2
    err = capsys.readouterr().err
    assert "going back to version 1" in err
    assert err.splitlines()[-1] == (
        f"error: a replica of the new version came to nothing: {outcome}"
    )
    assert sky.given() == before
    assert deploy("--status") == 0
    assert capsys.readouterr().out.count("  replica: ready") == 2


def test_a_version_that_answers_otherwise_than_its_bundle_is_withdrawn(
    sky: SkyPilot, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    assert deploy() == 0
    before = sky.given()
    as_version(project, "2")
    monkeypatch.setattr(places, "post", lambda url, body: (200, '{"predictions": []}'))
    assert deploy() == 2
    assert "answers otherwise than its bundle" in capsys.readouterr().err
    assert sky.given() == before


def test_a_first_version_that_fails_stays_to_be_looked_at(sky: SkyPilot, capsys: Capture) -> None:
    sky.will(outcome="FAILED")
    assert deploy() == 2
    err = capsys.readouterr().err
    assert ".sky/bin/sky serve logs small 1; DOWN=1 takes it away" in err


def test_a_deployment_that_another_one_overtakes_leaves_it_alone(
    sky: SkyPilot, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    assert deploy() == 0
    as_version(project, "2")

    def overtake(seconds: float) -> None:
        state = sky.state
        state["services"][0]["config"]["envs"][choices.IMAGE] = "theirs"
        sky.will(**state)

    monkeypatch.setattr(time, "sleep", overtake)
    assert deploy() == 2
    assert "another deployment has come in between" in capsys.readouterr().err
    assert sky.state["asked"][-1][0] == "status"


def test_replicas_that_never_get_ready_are_given_up(
    sky: SkyPilot, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    sky.will(outcome="STARTING")
    monkeypatch.setattr(places, "PATIENCE", 0.6)
    assert deploy() == 2
    assert "are not ready after" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["plan", "status", "up", "down"])
def test_what_skypilot_refuses_is_told_in_a_line(sky: SkyPilot, what: str, capsys: Capture) -> None:
    sky.will(refuses=what)
    assert deploy(*(["--down"] if what == "down" else [])) == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith(f"SkyPilot: no {what} today")
    assert sky.state["services"] == []


def test_the_plan_tells_the_price_and_does_nothing(sky: SkyPilot, capsys: Capture) -> None:
    assert deploy("--dry-run") == 0
    out = capsys.readouterr().out
    assert "2 to 4, each AWS m6i.large: 0.1000 USD an hour" in out
    # By hand: 0.2 + 2 x 0.1 and 0.2 + 4 x 0.1 an hour, times 720.
    assert "0.40 to 0.60 USD an hour, 288 to 432 a month" in out
    assert [what for what, _ in sky.state["asked"]] == ["plan"]
    plan = sky.state["plan"] | {"controller": None}
    sky.will(plan=plan | {"replica": {"what": "Kubernetes 2CPU--4GB", "price": None}})
    assert deploy("--dry-run") == 0
    out = capsys.readouterr().out
    assert "each Kubernetes 2CPU--4GB: no price" in out
    assert "in all" not in out


def test_without_a_yes_no_money_is_spent(sky: SkyPilot, capsys: Capture) -> None:
    assert main(["deploy", "--on", "sky"]) == 2  # nobody is there to ask
    assert "YES=1" in capsys.readouterr().err
    assert [what for what, _ in sky.state["asked"]] == ["plan"]


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("", 2), ("no", 2)])
def test_a_person_is_asked_before_money_is_spent(
    sky: SkyPilot, answer: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda question: answer)
    assert main(["deploy", "--on", "sky"]) == code
    assert bool(sky.state["services"]) == (code == 0)


def test_keys_come_as_hashes(sky: SkyPilot, capsys: Capture) -> None:
    assert main(["key", "--name", "ann"]) == 0
    key = capsys.readouterr().out.strip()
    assert deploy("--serving.keys", "keys.txt") == 0
    assert "WARNING" not in capsys.readouterr().err
    assert sky.given()["envs"]["API_KEYS"] == Path("keys.txt").read_text()
    assert key not in json.dumps(sky.state)


def test_what_is_null_comes_from_the_environment(
    sky: SkyPilot, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    login = "secrets: {SKYPILOT_DOCKER_SERVER: ghcr.io, SKYPILOT_DOCKER_PASSWORD: null}\n"
    choices.FILE.write_text(choices.FILE.read_text() + login)
    assert deploy() == 2
    assert "SKYPILOT_DOCKER_PASSWORD is null, and not in the environment" in capsys.readouterr().err
    monkeypatch.setenv("SKYPILOT_DOCKER_PASSWORD", "hush")
    assert deploy() == 0
    given = sky.given()["secrets"]
    assert given == {"SKYPILOT_DOCKER_SERVER": "ghcr.io", "SKYPILOT_DOCKER_PASSWORD": "hush"}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("ghcr.io/me", "ghcr.io/YOU"), "put your registry into resources.image_id"),
        (("docker:", "ami-"), "should be docker:REGISTRY/NAME"),
        (("ghcr.io/me", "https://ghcr.io/me"), "should be docker:REGISTRY/NAME"),
        (("ghcr.io/me", "GHCR.io/Me"), "should be docker:REGISTRY/NAME"),
        (("min_replicas: 1", "min_replicas: 0"), "min_replicas must be 1 or more"),
        (("service:", "service: ]"), "is not YAML"),
    ],
)
def test_a_mistake_in_the_file_is_told_in_a_line(
    project: Path, change: tuple[str, str], complaint: str, capsys: Capture
) -> None:
    choices.FILE.write_text(choices.FILE.read_text().replace(*change))
    assert deploy() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {choices.FILE}")
    assert complaint in line


def test_what_the_command_cannot_use_is_told(project: Path, capsys: Capture) -> None:
    assert deploy("--host", "local") == 2
    assert "ON=sky takes no HOST and no PORT" in capsys.readouterr().err
    skypilot.WANTED.write_text("skypilot==0.14.1\n")
    assert deploy("--dry-run") == 2
    assert "should name SkyPilot and clouds" in capsys.readouterr().err
    choices.FILE.unlink()
    assert deploy() == 2
    assert "No such file" in capsys.readouterr().err


def test_an_environment_is_made_once_and_again_when_another_is_wanted(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = list[tuple[str, ...]]()

    def uv(*arguments: str) -> None:
        done.append(arguments)
        skypilot.FOLDER.mkdir(exist_ok=True)

    monkeypatch.setattr(skypilot, "uv", uv)
    for _ in range(2):
        skypilot.ensure()
    assert [arguments[0] for arguments in done] == ["venv", "pip"]
    assert skypilot.clouds() == ["aws", "kubernetes", "slurm"]
    skypilot.WANTED.write_text("skypilot[gcp, lambda]==0.14.1\n")
    skypilot.ensure()
    assert len(done) == 4
    assert skypilot.clouds() == ["gcp", "lambda"]
