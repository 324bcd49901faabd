"""The command that deploys: what it is asked, and mistakes in it.

Deploying itself needs a Docker engine; the template tests that with a real one.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from coldstart._locking import lock
from engine.support import main


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--on", "moon"], "cannot deploy to 'moon': choose ON= among aws, docker"),
        (["--status", "--down"], "one action at a time: status or down"),
        (["--down", "--dry-run"], "one action at a time: down or dry-run"),
        (["--host", "tcp://127.0.0.1:1"], "needs TLS: there is no"),
        (["--port", "many"], "port"),
    ],
)
def test_a_mistake_is_told_in_a_line(
    arguments: list[str],
    complaint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "config.yaml").write_text("data: {table: rows.csv}\n")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "small"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    assert main(["deploy", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert complaint in line


def test_a_mistake_in_its_choices_is_told_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.yaml").write_text("data: {table: rows.csv}\n")
    choices = tmp_path / "infra" / "deploy" / "docker.yaml"
    choices.parent.mkdir(parents=True)
    choices.write_text("prot: 80\n")
    monkeypatch.chdir(tmp_path)
    assert main(["deploy", "--status"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "prot" in line


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
