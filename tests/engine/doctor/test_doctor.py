"""Diagnostics of this computer: each finding is caused, and its hint fixes it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from time import time
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest
import torch
import yaml
from conftest import lack, needs

from coldstart.cloud import _gpu
from coldstart.doctor import _machine as machine
from coldstart.doctor import _security as security
from coldstart.doctor import _software as software
from coldstart.doctor._pins import read_requirements
from engine.support import PACKAGE, TEMPLATE, main

Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch
Ask = Callable[..., dict[str, str]]
AUTHOR = ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "EMAIL")
posix = pytest.mark.skipif(os.name == "nt", reason="of other systems than Windows")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: Patch) -> Path:
    """A project under git in which all is well, and a home of its own."""
    home = tmp_path / "home"
    folder = home / "project"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for name in (*AUTHOR, "GIT_CONFIG_GLOBAL", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OSV_URL", "http://127.0.0.1:9")
    text = (TEMPLATE / "pyproject.toml").read_text()
    for answer in ("project_slug", "__package"):
        text = text.replace(f"{{{{cookiecutter.{answer}}}}}", PACKAGE)
    (folder / "pyproject.toml").write_text(text)
    pin_what_is_installed()
    configure()
    shell("git init --quiet")
    shell("git config user.name Ann && git config user.email ann@mail.org")
    return folder


def pin_what_is_installed() -> None:
    """Write a constraints.txt that this environment agrees with."""
    names = [one.name for one in read_requirements((TEMPLATE / "constraints.txt").read_text())]
    pins = [f"{name}=={have}" for name in names if (have := software.installed(name))]
    Path("constraints.txt").write_text("\n".join(pins))


def configure(**changed: object) -> None:
    """Write config.yaml."""
    Path("config.yaml").write_text(yaml.safe_dump({"data": {"table": "table.csv"}} | changed))


def shell(command: str) -> None:
    """Follow the hint of a finding."""
    subprocess.run(command, shell=True, check=True, capture_output=True)


@pytest.fixture
def ask(capsys: Capture) -> Ask:
    """`ask()`: findings by their subject, with the hint after a semicolon."""

    def found(*arguments: str) -> dict[str, str]:
        capsys.readouterr()
        code = main(["doctor", *arguments])
        lines = capsys.readouterr().out.replace("\n       ", "; ").splitlines()
        states = {line.partition(" ")[0] for line in lines}
        assert states <= {"ok", "note", "wrong"}
        assert code == int("wrong" in states)
        said = (line.partition(": ") for line in lines)
        return {about.split(maxsplit=1)[1]: f"{about.split()[0]} {text}" for about, _, text in said}

    return found


def programs(folder: Path, monkeypatch: Patch, **texts: str) -> None:
    """Let these programs be the only ones: shell scripts of one line."""
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        program = folder / name.replace("_", "-")
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_each_finding_is_a_line_with_a_hint_below(ask: Ask, capsys: Capture) -> None:
    found = ask()
    assert list(found) == [
        *("python", "environment", "git", "docker", "gpu", "disk"),
        *("port 8000", ".env", "config.yaml", "key files", "secrets", "vulnerabilities"),
        "port 5001",
    ]
    for about in ("python", "environment", "git", ".env", "key files"):
        assert found[about].startswith("ok "), found[about]
    Path("constraints.txt").write_text("numpy==1.0\n")
    assert main(["doctor"]) == 1
    printed = capsys.readouterr().out
    assert "\nwrong  environment: differs from" in printed
    assert "\n       python3 infra/environment.py\n" in printed


def test_the_python_is_one_that_the_project_is_for(ask: Ask) -> None:
    text = Path("pyproject.toml").read_text()
    Path("pyproject.toml").write_text(text.replace('">=3.11"', '">=3.99"'))
    assert "and the project needs >=3.99; rm -r .venv && make setup PYTHON=" in ask()["python"]


def test_packages_are_those_of_the_project(ask: Ask) -> None:
    Path("constraints.txt").write_text(
        "numpy==1.0\npandas==0.1 ; sys_platform == 'nowhere'\nnot-installed-at-all==1.0\n"
    )
    have = software.installed("numpy")
    assert ask()["environment"] == (
        f"wrong differs from constraints.txt: numpy {have} instead of ==1.0; "
        "python3 infra/environment.py"
    )
    pin_what_is_installed()
    names = ", ".join(f'"none-such-{i}>=2"' for i in range(5))
    own = Path("pyproject.toml").read_text().replace('["coldstart-ml"]', f'["numpy", {names}]')
    Path("pyproject.toml").write_text(own)
    said = "missing: none-such-0, none-such-1, none-such-2 and 2 more; python3 infra/env"
    assert said in ask()["environment"]


def test_git_knows_the_code_and_its_author(ask: Ask, tmp_path: Path, monkeypatch: Patch) -> None:
    shell("git config --unset user.name")
    found = ask()["git"]
    assert found.startswith("wrong your name or address is not set")
    shell(found.partition("; ")[2])
    assert ask()["git"] == "ok commits are by Ann <ann@mail.org>"
    shutil.rmtree(".git")
    found = ask()["git"]
    assert found.startswith("note this folder has no repository")
    shell(found.partition("; ")[2])
    assert ask()["git"].startswith("ok ")


@posix
def test_a_missing_program_is_reported_with_the_way_to_install_it(
    ask: Ask, tmp_path: Path, monkeypatch: Patch
) -> None:
    programs(tmp_path / "bin", monkeypatch)
    found = ask()
    assert found["git"].endswith("runs do not record their code; https://git-scm.com")
    assert found["docker"].startswith("note not installed")
    assert found["docker"].endswith("https://docs.docker.com/get-docker")
    programs(tmp_path / "bin", monkeypatch, dnf="")
    assert ask()["git"].endswith("; sudo dnf install git")


@posix
def test_an_engine_that_does_not_respond_is_reported(
    ask: Ask, tmp_path: Path, monkeypatch: Patch
) -> None:
    programs(tmp_path / "bin", monkeypatch, docker="echo no route >&2; exit 1")
    assert ask()["docker"].startswith("note its engine does not respond (no route); ")
    programs(tmp_path / "bin", monkeypatch, docker="echo permission denied >&2; exit 1")
    assert "you may not use its engine; sudo usermod -aG docker" in ask()["docker"]
    programs(tmp_path / "bin", monkeypatch, docker="exit 0")
    assert ask()["docker"] == "ok its engine responds"


@needs(shutil.which("docker"), "docker is not installed")
def test_dockers_own_program_reports_that_no_engine_responds(ask: Ask, monkeypatch: Patch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    assert ask()["docker"].startswith("note its engine does not respond (")


@posix
def test_the_gpus_driver_must_be_installed_and_fit_torch(
    ask: Ask, tmp_path: Path, monkeypatch: Patch
) -> None:
    """Driver and GPU are simulated. The messages are the real ones."""
    device = tmp_path / "pci/0000:01:00.0"
    device.mkdir(parents=True)
    monkeypatch.setattr(_gpu, "PCI", device.parent)
    (device / "vendor").write_text("0x10de\n")
    (device / "class").write_text("0x040300\n")  # its sound
    programs(tmp_path / "bin", monkeypatch)
    assert ask()["gpu"] == "ok no NVIDIA GPU"
    (device / "class").write_text("0x030200\n")
    assert ask()["gpu"].startswith("wrong there is an NVIDIA GPU without a driver")

    def driver(version: str) -> str:
        programs(tmp_path / "bin", monkeypatch, nvidia_smi=f"echo NVIDIA L4, {version}")
        return ask()["gpu"]

    monkeypatch.setattr(torch.version, "cuda", None)
    said = "NVIDIA L4 would not be used: torch is built for the CPU; rm -r .venv && TORCH=auto make"
    assert said in driver("580.65.06")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    said = "driver 535.10 is too old for torch with CUDA 13.0: 580 or newer; rm -r .venv"
    assert said in driver("535.10")
    assert driver("580.65.06").startswith("wrong torch does not reach NVIDIA L4; ")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert driver("580.65.06") == "ok NVIDIA L4, driver 580.65.06, torch with CUDA 13.0"
    broken = "echo NVIDIA-SMI has failed because it could not reach the driver.; exit 9"
    programs(tmp_path / "bin", monkeypatch, nvidia_smi=broken)
    assert "its driver does not respond (NVIDIA-SMI has failed" in ask()["gpu"]


def test_a_full_disk_is_reported(ask: Ask, tmp_path: Path, monkeypatch: Patch) -> None:
    new_space = ["unshare", "--map-root-user", "--mount", "sh", "-ec"]
    try:
        subprocess.run([*new_space, "mount -t tmpfs none /mnt"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        lack("no disk may be mounted here")
    (tmp_path / "disk").mkdir()
    script = (
        f"mount -t tmpfs -o size=1m none {tmp_path}/disk; cp -r . {tmp_path}/disk; "
        f"cd {tmp_path}/disk; cat /dev/zero > filling 2> /dev/null || true; "
        f"exec {sys.executable} -m {PACKAGE} doctor"
    )
    done = subprocess.run([*new_space, script], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert (
        "wrong  disk: 0.0 GB are free: a training may fill the disk\n       du -sh" in done.stdout
    )
    monkeypatch.setattr(machine, "TRAINING_GB", 0)
    monkeypatch.setattr(machine, "IMAGE_GB", 10**9)
    assert "an image with torch takes several; docker system prune" in ask()["disk"]


def test_a_port_in_use_is_reported_with_a_free_one(ask: Ask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        configure(serving={"port": number})
        found = ask()[f"port {number}"]
        said, _, other = found.rpartition("PORT=")
        assert said == "note in use; unless make serve uses it, choose another; make serve "
        assert ask("--serving.port", other)[f"port {other}"] == "ok free for make serve"
    assert ask()[f"port {number}"] == "ok free for make serve"
    configure(serving={"port": number, "host": "203.0.113.1"})
    assert "wrong cannot listen on 203.0.113.1: " in ask()[f"port {number}"]


@posix
def test_a_port_for_administrators_is_reported() -> None:
    less: list[str] = []
    if os.geteuid() == 0:  # who may do everything gives that right away
        if not shutil.which("setpriv"):
            lack("setpriv is not installed: apt install util-linux")
        less = ["setpriv", "--bounding-set", "-net_bind_service"]
    command = [*less, sys.executable, "-m", PACKAGE, "doctor", "--serving.port", "80"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "port 80: free" in done.stdout:
        lack("everybody may listen on port 80 here")
    assert "wrong  port 80: only an administrator may listen on it" in done.stdout, done.stderr
    assert "make serve PORT=1024" in done.stdout


def test_git_must_ignore_the_env_file(ask: Ask) -> None:
    Path(".env").touch()
    found = ask()[".env"]
    assert found == "wrong the next git add --all adds it; echo .env >> .gitignore"
    shell("git add --all")
    assert ask()[".env"].startswith("wrong it is in the git repository for others to read")
    shell(ask()[".env"].partition("; ")[2])
    assert ask()[".env"] == "ok git ignores it"
    assert Path(".env").exists()
    shutil.rmtree(".git")
    assert ask()[".env"] == "ok not under git"


def test_a_password_in_config_yaml_is_reported_and_not_printed(ask: Ask) -> None:
    assert ask()["config.yaml"] == "ok holds no password"
    configure(tracking_uri="postgresql://ann:secret@db.example.org/mlflow")
    assert ask()["config.yaml"] == (
        "wrong tracking_uri holds a password, and this file is in git; "
        "move tracking_uri to .env, as MLFLOW_TRACKING_URI=..."
    )


@posix
def test_only_their_owner_may_read_files_with_keys(ask: Ask, monkeypatch: Patch) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # pytest's is closed to others
        home = Path(folder)
        monkeypatch.setenv("HOME", folder)
        for name in ("aws/credentials", "ssh/id_ed25519", "ssh/id_ed25519.pub", "ssh/known_hosts"):
            file = home / f".{name}"
            file.parent.mkdir(exist_ok=True)
            file.touch(0o644)
        assert ask()["key files"] == "ok 2 found; other users cannot read them"
        home.chmod(0o755)
        keys = f"{home}/.aws/credentials {home}/.ssh/id_ed25519"
        said = f"wrong other users can read {keys}; chmod 600 {keys}"
        assert ask()["key files"] == said
        shell(f"chmod 600 {keys}")
        assert ask()["key files"] == "ok 2 found; other users cannot read them"


class Server(HTTPServer):
    """A tracking server that asks for a password, and whose clock is `off` by some seconds."""

    off: float | None = 0.0


class Handler(BaseHTTPRequestHandler):
    """Tells the time and nothing else."""

    server: Server

    def do_GET(self) -> None:
        self.send_response_only(401)
        if self.server.off is not None:
            self.send_header("Date", formatdate(time() + self.server.off, usegmt=True))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield listening
        listening.shutdown()


def test_the_clock_is_compared_with_the_tracking_servers(
    ask: Ask, server: Server, monkeypatch: Patch
) -> None:
    assert "clock" not in ask()
    place = f"127.0.0.1:{server.server_port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:secret@{place}")
    found = ask()
    assert found["clock"] == f"ok agrees with {place}'s within a minute"
    assert "port 5001" not in found  # make ui opens the server's page
    for off, said in ((-3600, "ahead of"), (3600, "behind")):
        server.off = off
        found = ask()
        assert found["clock"].startswith("wrong 3")
        assert f"{said} {place}'s; sudo timedatectl set-ntp true" in found["clock"]
    server.off = None
    assert ask()["clock"] == f"note not compared: the response of {place} holds no time"


def test_a_tracking_server_that_does_not_respond_is_reported_without_its_password(
    ask: Ask, monkeypatch: Patch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        place = f"127.0.0.1:{closed.getsockname()[1]}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:secret@{place}")
    found = ask()["tracking"]
    assert found.startswith(f"wrong {place} does not respond (ConnectionError); start it")


def test_a_provider_without_checks_is_refused(capsys: Capture) -> None:
    assert main(["doctor", "--on", "mars"]) == 2
    assert "there are no checks for ON=mars; " in capsys.readouterr().err


@needs(shutil.which("make"), "make is not installed")
def test_make_passes_the_options_on() -> None:
    # The tests may have been started by make, too.
    outside = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    asked = ["make", "--dry-run", "doctor", "ON=aws", "GPU=L4:1", "SPOT=yes", "NODES=2"]
    done = subprocess.run(
        asked, cwd=TEMPLATE, env=outside, capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith(" doctor --on aws --gpu L4:1 --spot --nodes 2\n")


TOKEN = "ghp_" + "a1B2c3D4e5F6" * 3  # of the form alone


@pytest.mark.parametrize("added", [True, False])
def test_a_token_in_a_file_that_git_keeps_is_found_and_not_printed(
    added: bool, ask: Ask, capsys: Capture
) -> None:
    Path("notes.py").write_text(f'import os\n\nkey = "{TOKEN}"\n')
    Path("ignored.py").write_text(f'key = "{TOKEN}"\n')
    Path(".gitignore").write_text("ignored.py\n")
    if added:
        shell("git add notes.py")
    said = ask()["secrets"]
    assert said.startswith("wrong git keeps GitHub Token in notes.py:3; revoke it and take it out")
    assert TOKEN[4:] not in said
    Path("notes.py").write_text(f'key = "{TOKEN}"  # pragma: allowlist secret\n')
    assert ask()["secrets"] == "ok none found in the files that git keeps"


def test_the_engines_files_are_searched_by_the_audit_alone(ask: Ask) -> None:
    Path("vendor").mkdir()
    Path("vendor/one.py").write_text(f'key = "{TOKEN}"\n')
    assert ask()["secrets"].startswith("ok ")
    assert "GitHub Token in vendor/one.py:1" in str(security.secrets(vendor=True))


class VulnerabilityService(BaseHTTPRequestHandler):
    """Stands in for OSV: it knows one vulnerability, of jinja2 1.0."""

    asked: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).asked.append(self.path)
        if self.path == "/v1/querybatch":
            content = {"results": [self.known(query) for query in body["queries"]]}
        else:
            content = self.known(body)
        encoded = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)

    def known(self, query: dict[str, Any]) -> dict[str, Any]:
        assert query["package"]["ecosystem"] == "PyPI"
        if (query["package"]["name"], query["version"]) != ("jinja2", "1.0"):
            return {}
        events = [{"introduced": "0"}, {"fixed": "2.0"}]
        affected = {
            "package": query["package"],
            "ranges": [{"type": "ECOSYSTEM", "events": events}],
        }
        return {"vulns": [{"id": "PYSEC-1", "summary": "Bad", "affected": [affected]}]}

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def osv(monkeypatch: Patch) -> Iterator[list[str]]:
    """The paths that the stand-in for OSV was asked for."""
    server = HTTPServer(("127.0.0.1", 0), VulnerabilityService)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("OSV_URL", f"http://127.0.0.1:{server.server_port}")
    VulnerabilityService.asked = []
    yield VulnerabilityService.asked
    server.shutdown()
    server.server_close()


def test_known_vulnerabilities_are_asked_for_in_one_request(ask: Ask, osv: list[str]) -> None:
    pins = "idna==3.20 \\\n    --hash=sha256:00 \\\n    --hash=sha256:11\n"
    Path("constraints.txt").write_text(pins + "numpy==1.0 ; sys_platform == 'nowhere'\n")
    assert ask()["vulnerabilities"] == "ok none known of 1 packages"
    Path("constraints.txt").write_text(pins + "jinja2==1.0 \\\n    --hash=sha256:22\n")
    assert ask()["vulnerabilities"] == (
        "note known of jinja2 1.0 (PYSEC-1); make audit tells more; make pins NOW=jinja2"
    )
    assert osv == ["/v1/querybatch"] * 2


def test_without_a_vulnerability_service_one_line_says_so(ask: Ask) -> None:
    assert ask()["vulnerabilities"] == "note not checked: 127.0.0.1 does not respond"


@pytest.mark.parametrize(
    ("version", "key", "code", "said"),
    [
        ("3.0", "", 0, "No known vulnerabilities found"),
        ("1.0", "", 1, "jinja2 1.0     PYSEC-1 2.0"),
        ("3.0", TOKEN, 1, "GitHub Token in key.py:1"),
    ],
)
def test_the_audit_fails_for_a_secret_and_for_a_vulnerability(
    version: str, key: str, code: int, said: str, osv: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    Path("constraints.txt").write_text(f"jinja2=={version} \\\n    --hash=sha256:{'0' * 64}\n")
    Path("key.py").write_text(f'key = "{key}"\n')
    assert main(["audit"]) == code
    assert said in capfd.readouterr().out
    assert osv == ["/v1/query"]


@pytest.fixture
def failing() -> Iterator[str]:
    """The address of a service that answers each request with status 501."""

    class Failing(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with HTTPServer(("127.0.0.1", 0), Failing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "https://osv.invalid", "failing"])
def test_an_audit_that_reaches_no_service_fails_in_one_line(
    address: str, failing: str, monkeypatch: Patch, capfd: pytest.CaptureFixture[str]
) -> None:
    address = address.replace("failing", failing)
    monkeypatch.setenv("OSV_URL", address)
    Path("constraints.txt").write_text(f"jinja2==3.0 \\\n    --hash=sha256:{'0' * 64}\n")
    assert main(["audit"]) == 1
    printed = capfd.readouterr()
    assert printed.err == ""
    _, line = printed.out.splitlines()
    assert line == (
        f"wrong  vulnerabilities: not checked: {urlsplit(address).hostname} does not respond; "
        "check the network, or set OSV_URL to an address that responds"
    )
