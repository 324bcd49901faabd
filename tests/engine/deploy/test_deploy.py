"""The command that deploys: what it is asked, and mistakes in it.

Deploying itself needs a Docker engine; the template tests that with a real one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from coldstart._locking import lock
from coldstart.bundle import BundlePredictor
from coldstart.deploy._smoke import check_prediction
from coldstart.errors import UserError
from coldstart.images._building import CHAMPION
from engine.support import main


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with nothing but its name, to be in."""
    (tmp_path / "config.yaml").write_text("data: {table: rows.csv}\n")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "small"\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--on", "moon"], "cannot deploy to 'moon': choose ON= among aws, docker, space"),
        (["--status", "--down"], "one action at a time: status or down"),
        (["--down", "--dry-run"], "one action at a time: down or dry-run"),
        (["--host", "tcp://127.0.0.1:1"], "needs TLS: there is no"),
        (["--port", "many"], "port"),
    ],
)
def test_a_mistake_is_told_in_a_line(
    arguments: list[str],
    complaint: str,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DOCKER_CERT_PATH", str(project))
    assert main(["deploy", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert complaint in line


KEYS = ["--serving.keys", "keys.txt"]


@pytest.mark.parametrize(
    ("choices", "arguments", "said"),
    [
        ("address: 0.0.0.0", KEYS, "API keys would be sent to 0.0.0.0 unencrypted: TLS="),
        ("address: '::'", KEYS, "API keys would be sent to :: unencrypted: TLS="),
        ("address: 8.8.8.8", KEYS, "API keys would be sent to 8.8.8.8 unencrypted: TLS="),
        ("address: 8.8.8.8", [*KEYS, "--tls", "a.example.org"], "at https://a.example.org"),
        ("address: 8.8.8.8\ntls: a.example.org", KEYS, "at https://a.example.org"),
        ("address: 8.8.8.8", [*KEYS, "--proxy"], "at http://8.8.8.8:8000"),
        ("address: 8.8.8.8\nproxy: true", KEYS, "at http://8.8.8.8:8000"),
        ("address: 0.0.0.0", [], "at http://0.0.0.0:8000"),  # with a warning, as there is no key
        ("address: 192.168.1.7", KEYS, "at http://192.168.1.7:8000"),
        ("address: fd00::7", KEYS, "at http://[fd00::7]:8000"),
        ("address: 100.64.0.7", KEYS, "at http://100.64.0.7:8000"),
        ("", KEYS, "at http://127.0.0.1:8000"),
        ("", [*KEYS, "--tls", "a.example.org"], "needs an address that the internet reaches"),
        ("address: 8.8.8.8", ["--tls", "a.org", "--proxy"], "two places where TLS ends"),
        ("address: my.host", [], "address: value is not a valid IPv4 or IPv6 address"),
        ("", ["--tls", "https://a.org"], "tls: "),
        ("", ["--on", "aws", "--tls", "a.org"], "takes no TLS and no PROXY"),
    ],
)
def test_api_keys_do_not_go_unencrypted_over_a_public_address(
    choices: str,
    arguments: list[str],
    said: str,
    project: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (project / "infra/deploy").mkdir(parents=True)
    (project / "infra/deploy/docker.yaml").write_text(choices)
    accepted = said.startswith("at ")
    assert main(["deploy", "--dry-run", *arguments]) == (0 if accepted else 2)
    out, err = capsys.readouterr()
    assert said in (out if accepted else err)
    assert accepted or len(err.splitlines()) == 1
    assert ("without a key" in err) == (arguments == [] and accepted)


@pytest.mark.parametrize("target", ["docker", "aws"])
@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"prot: 80\n", "prot: there is no such setting"),
        (b"port: [\n", "is not YAML"),
        (b"port: \xff\n", "is not UTF-8"),
        (b"- 80\n", "should hold settings, one `name: value` a line"),
    ],
)
def test_a_mistake_in_its_choices_is_told_in_a_line(
    target: str,
    content: bytes,
    complaint: str,
    project: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    choices = Path("infra/deploy", f"{target}.yaml")
    choices.parent.mkdir(parents=True)
    choices.write_bytes(content)
    assert main(["deploy", "--on", target, "--status"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {choices}")
    assert complaint in line


def test_two_commands_that_use_the_champion_do_not_run_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.yaml").write_text("data: {table: rows.csv}\n")
    monkeypatch.chdir(tmp_path)
    with lock():
        for command in ("deploy", "image"):
            assert main([command]) == 2
            said = capsys.readouterr().err
            assert said == "error: another command is running in this folder; wait until it ends\n"


def test_what_runs_in_lambda_needs_no_library_of_a_deployment() -> None:
    script = (
        "import sys, coldstart.deploy.on_aws, coldstart.deploy._keys;"
        "print({'boto3', 'docker', 'mlflow', 'polars'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr


@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "without a record"])
@pytest.mark.parametrize("slope", [1e-7, 1.0, 1e7])
def test_a_new_version_has_to_predict_the_number_of_its_bundle_in_any_unit(
    numeric: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    slope: float,
    recorded: bool,
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = numeric(tmp_path / CHAMPION, slope, recorded=slope if recorded else None)
    predictor = BundlePredictor(folder)
    (expected,) = predictor.score([predictor.contract.example()])
    assert expected["value"] > 0

    def respond(value: float) -> Callable[[str], tuple[int, str]]:
        return lambda _: (200, json.dumps({"predictions": [{"value": value}]}))

    check_prediction("1", respond(expected["value"] * 1.00001), False)
    for share in (-1, 0, 1.01):
        with pytest.raises(UserError, match="predicts otherwise than its bundle"):
            check_prediction("1", respond(expected["value"] * share), False)
    check_prediction("0", respond(-expected["value"]), False)  # of another model after a rollback
