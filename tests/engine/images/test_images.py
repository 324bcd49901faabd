"""Building images: what docker is asked to do, and the messages if it cannot.

A program of the same name stands in for docker, so no engine is needed.
"""

from __future__ import annotations

import itertools
import json
import platform
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import distributions
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from coldstart.config._sections import PredictionLogSettings, ServingSettings
from coldstart.images._building import describe_mounts
from engine.support import ENGINE, main

Docker = Callable[[str], Path]


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("PIP_CONFIG_FILE", "UV_CONFIG_FILE", "SSL_CERT_FILE", "TORCH"):
        monkeypatch.delenv(variable, raising=False)
    Path("config.yaml").write_text("data: {table: houses.csv}\n")
    Path("pyproject.toml").write_text("[project]\nname = 'my-houses'\n")


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Docker:
    """`docker(script)`: put a docker first in the path; return the file of what it was asked."""

    def put(script: str) -> Path:
        asked = tmp_path / "asked"
        program = tmp_path / "bin" / "docker"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {asked}\n{script}\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
        return asked

    return put


# In place of an image's Python: the arguments end with a script.
LISTS_ITSELF = f'{{ for last; do :; done; exec {sys.executable} -c "$last"; }}'


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What `image` says when it must fail, in one line."""
    assert main(["image", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_without_a_champion_docker_is_not_asked(
    docker: Docker, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = docker("exit 0")
    assert "make train" in told(capsys)
    assert not asked.exists()


def test_a_missing_docker_is_told_with_where_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "docker is not installed: see https://" in told(capsys, "--target", "train")


def test_an_engine_that_does_not_answer_is_told_with_dockers_reason(
    docker: Docker, capsys: pytest.CaptureFixture[str]
) -> None:
    docker("echo first; echo 'Cannot connect to the daemon' >&2; exit 1")
    line = told(capsys, "--target", "train")
    assert "start it" in line
    assert "Cannot connect to the daemon" in line


def test_a_build_that_fails_names_the_image(
    docker: Docker, capsys: pytest.CaptureFixture[str]
) -> None:
    docker('test "$1" = version || { seq 100; echo no space >&2; exit 1; }')
    assert main(["image", "--target", "train"]) == 2
    *shown, line = capsys.readouterr().err.splitlines()
    assert "my-houses:train was not built: see above" in line
    assert shown[-2:] == ["100", "no space"]
    assert "1" not in shown


def test_settings_of_pip_and_certificates_are_given_as_secrets(
    docker: Docker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = docker(f'test "$1" != run || {LISTS_ITSELF}')
    own = tmp_path / ".config" / "pip" / "pip.conf"
    own.parent.mkdir(parents=True)
    own.write_text("[global]\nindex-url = https://me:secret@packages.example/simple\n")
    trusted = tmp_path / "trusted.crt"
    trusted.write_text("a certificate")
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    monkeypatch.setenv("TORCH", "cu129")
    assert main(["image", "--target", "train", "--base", "python:3.12-slim"]) == 0
    lines = asked.read_text().splitlines()
    given = dict(itertools.pairwise(lines))
    assert f"id=pip.conf,src={own}" in lines
    assert f"id=certificates,src={trusted}" in lines
    assert {"TORCH=cu129", "BASE=python:3.12-slim"} <= set(lines)
    assert (given["--target"], given["--tag"]) == ("train", "my-houses:train")
    assert "secret@" not in asked.read_text()


def test_the_bill_of_materials_is_valid_and_lists_what_is_installed(
    docker: Docker, capsys: pytest.CaptureFixture[str]
) -> None:
    docker(f'test "$1" != run || {LISTS_ITSELF}')
    assert main(["image", "--target", "train"]) == 0
    text = Path("train.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    broken = text.replace('"type": "library"', '"type": "book"')
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(broken) is not None
    listed = json.loads(text)["components"]
    packages = {one["name"]: one for one in listed if one["type"] == "library"}
    here = {one.name: one.version for one in distributions()}
    assert {name: one["version"] for name, one in packages.items()} == here
    assert packages["fastapi"]["purl"] == f"pkg:pypi/fastapi@{here['fastapi']}"
    assert packages["fastapi"]["licenses"] == [{"license": {"id": "MIT"}}]
    (python,) = (one for one in listed if one["type"] == "platform")
    assert python["version"] == platform.python_version()
    line = capsys.readouterr().out.splitlines()[-1]
    assert line == f"train.cdx.json: its {len(here)} packages (CycloneDX)"


def test_packages_that_cannot_be_listed_are_told_with_the_reason(
    docker: Docker, capsys: pytest.CaptureFixture[str]
) -> None:
    docker('test "$1" != run || { echo "no python here" >&2; exit 1; }')
    line = told(capsys, "--target", "train")
    assert (
        "my-houses:train was built, but its packages cannot be listed: docker run failed: no python"
        in line
    )
    assert not Path("train.cdx.json").exists()


def test_an_image_gets_the_engines_packages_and_the_projects_own(tmp_path: Path) -> None:
    own = tmp_path / "pyproject.toml"
    own.write_text(
        "[project]\nname = 'mine'\n"
        "dependencies = ['coldstart-ml[telemetry]', 'my-package>=2']\n"
        "[project.optional-dependencies]\n"
        "train = ['mine[extra]', 'coldstart-ml[all]', 'lightgbm']\nextra = ['xgboost']\n"
    )
    engine = tmp_path / "vendor/coldstart/pyproject.toml"
    engine.parent.mkdir(parents=True)
    engine.write_text((ENGINE / "pyproject.toml").read_text())
    script = str(ENGINE / "src/coldstart/images/_requirements.py")

    def packages(target: str) -> set[str]:
        # Without an environment's packages, as in the Dockerfile.
        command = [sys.executable, "-I", "-S", script, target]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        lines = done.stdout.splitlines()
        assert len(lines) == len(set(lines))
        return set(lines)

    serve, train = packages("serve"), packages("train")
    assert {"fastapi", "fastapi[opentelemetry]", "my-package>=2"} <= serve
    assert not {"torch<2.14", "mlflow", "lightgbm", "xgboost"} & serve
    assert {"torch<2.14", "mlflow", "boto3", "lightgbm", "xgboost"} <= train
    assert serve <= train
    assert not [line for line in train if line.startswith(("coldstart", "mine"))]


def test_files_that_no_image_holds_are_named_with_the_command_that_mounts_them() -> None:
    serving = ServingSettings(
        keys=Path("keys.txt"), record=PredictionLogSettings(folder=Path("/var/served"))
    )
    first, command = describe_mounts("my-houses:3", serving).splitlines()
    assert "sets serving.keys and serving.record.folder" in first
    assert command.startswith('mkdir -p "/var/served" && docker run ')
    assert '--volume "$PWD/keys.txt:/app/keys.txt:ro" --volume "/var/served:/var/served"' in command
    assert command.endswith(" my-houses:3")
    assert describe_mounts("my-houses:3", ServingSettings()) == ""
