"""Building images: what docker is asked, and what is told where it cannot be asked.

A program of the same name stands in for docker, so no engine is needed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from multiprocessing import Process
from pathlib import Path

import pytest

from coldstart.images._pushing import push
from engine.support import main

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
    asked = docker("exit 0")
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


def test_of_two_pushes_one_waits_for_the_other(
    docker: Docker, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = docker('case "$1" in push) sleep 0.5;; esac; echo \'[{"RepoDigests": ["here/it@1"]}]\'')
    pushing = [Process(target=push, args=("it:train", "here/it:train")) for _ in range(2)]
    for one in pushing:
        one.start()
    for one in pushing:
        one.join(30)
    assert [one.exitcode for one in pushing] == [0, 0]
    words = [line for line in asked.read_text().splitlines() if line in ("tag", "push", "rm")]
    assert words == ["tag", "push", "rm"] * 2
    assert capfd.readouterr().out.count("waiting for another push") == 1
