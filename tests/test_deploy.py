"""`make deploy ON=docker`: on a real Docker engine, under load, with images that are broken."""

from __future__ import annotations

import base64
import getpass
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from conftest import GeneratedProject, ask, free_port, needs
from test_images import ROWS, docker, engine
from test_lambda import TOKEN, registry

pytestmark = pytest.mark.slow
# Fixtures: where no engine answers, the first one skips these tests.
__all__ = ["engine", "registry"]


class Load:
    """Asks again and again, over connections that stay and over new ones."""

    def __init__(self, port: int) -> None:
        self.port, self.ended = port, threading.Event()
        self.versions: list[str] = []
        self.failures: list[str] = []
        self.threads = [
            threading.Thread(target=self.run, args=[stays]) for stays in (True, True, False)
        ]

    def run(self, stays: bool) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        while not self.ended.is_set():
            try:
                headers = {"Content-Type": "application/json"}
                connection.request("POST", "/predict", json.dumps(ROWS), headers)
                answer = connection.getresponse()
                content = answer.read()
                if answer.status == 200:
                    self.versions.append(json.loads(content)["model_version"])
                else:
                    self.failures.append(f"{answer.status} {content!r}")
            except OSError as error:
                self.failures.append(repr(error))
            if not stays:
                connection.close()

    def __enter__(self) -> Load:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        time.sleep(1)
        self.ended.set()
        for thread in self.threads:
            thread.join()


@pytest.fixture(scope="module")
def project(
    trained: GeneratedProject, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GeneratedProject]:
    """A copy of the trained project, under a name of its own; afterwards nothing of it is left."""
    project = trained.copy(tmp_path_factory.mktemp("deployed") / trained.path.name)
    about = project.path / "pyproject.toml"
    about.write_text(about.read_text().replace('name = "bird-strikes"', 'name = "deployed-birds"'))
    yield project
    names = docker("ps", "--all", "--quiet", "--filter", "label=deploy.project=deployed-birds")
    if names:
        docker("rm", "--force", *names.split())
    if made := docker("image", "ls", "--quiet", "deployed-birds").split():
        docker("image", "rm", "--force", *set(made))


def deploy(project: GeneratedProject, *arguments: Any, **env: str) -> Any:
    """Run the command, from the copy's own sources."""
    return project.command("deploy", *arguments, **env)


def left() -> str:
    """What there is of the project at the engine, but images."""
    mark = ("--filter", "name=deployed-birds", "--quiet")
    listed = [docker("ps", "--all", *mark), docker("network", "ls", *mark)]
    return "".join([*listed, docker("volume", "ls", *mark)])


def as_version(project: GeneratedProject, version: str) -> None:
    """Call the champion another version."""
    path = project.path / "bundles/champion/version.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": version}))


def test_versions_are_deployed_rolled_back_and_removed_and_no_request_fails(
    project: GeneratedProject,
) -> None:
    port = str(free_port())
    as_version(project, "1")
    done = deploy(project, "--port", port)
    assert done.returncode == 0, done.stderr
    assert "version 1 serves at" in done.stdout
    url = f"http://127.0.0.1:{port}"
    assert ask(f"{url}/predict", ROWS)["model_version"] == "1"

    as_version(project, "2")
    with Load(int(port)) as load:
        done = deploy(project, "--port", port)
    assert done.returncode == 0, done.stderr
    assert not load.failures
    assert load.versions[0] == "1"
    assert load.versions[-1] == "2"
    status = deploy(project, "--port", port, "--status").stdout
    assert "version 2" in status
    assert "for ROLLBACK=1" in status

    broken = project.path / "src" / project.package / "app.py"
    sound = broken.read_text()
    broken.write_text(sound + "\nraise SystemExit('no luck')\n")
    as_version(project, "3")
    with Load(int(port)) as load:
        done = deploy(project, "--port", port)
    assert done.returncode == 2
    assert "no luck" in done.stderr
    assert not load.failures
    assert set(load.versions) == {"2"}
    broken.write_text(sound)

    with Load(int(port)) as load:
        done = deploy(project, "--port", port, "--rollback")
    assert done.returncode == 0, done.stderr
    assert not load.failures
    assert load.versions[-1] == "1"

    assert deploy(project, "--port", port, "--down").returncode == 0
    assert left() == ""


def test_settings_of_serving_hold_there_and_predictions_come_back(
    project: GeneratedProject,
) -> None:
    config, port = project.path / "config.yaml", str(free_port())
    before = config.read_text()
    key = project.command("key", "--name", "ann").stdout.strip()
    config.write_text(
        f"{before}\nserving:\n  keys: keys.txt\n  record: {{folder: served}}\n"
        "  canary: 0.5\n  shadow: true\n"
    )
    url = f"http://127.0.0.1:{port}"
    try:
        done = deploy(project, "--port", port)
        assert done.returncode == 0, done.stderr
        with pytest.raises(HTTPError, match="401"):
            ask(f"{url}/predict", ROWS)
        for _ in range(3):
            ask(f"{url}/predict", ROWS, key)
        done = deploy(project, "--port", port, "--down")
        assert done.returncode == 0, done.stderr
        (kept,) = (project.path / "served").glob("*.parquet")
        assert f"1 new files of the prediction log in {kept.parent.name}" in done.stdout
        count = "import sys, polars; print(polars.read_parquet(sys.argv[1]).height)"
        assert project.run(project.python, "-c", count, kept).stdout.strip() == "6"
    finally:
        deploy(project, "--port", port, "--down")
        config.write_text(before)
    assert left() == ""


def curl(address: str, url: str, *options: Any) -> tuple[int, str]:
    """Status and body of what localhost answers at another address of loopback."""
    to = [f"localhost:{port}:{address}" for port in (80, 443)]
    write = ["--write-out", "\n%{http_code} %{redirect_url}", "--silent", "--show-error"]
    rows = ["--data", json.dumps(ROWS), "--header", "Content-Type: application/json"]
    said = run("curl", *write, "--resolve", to[0], "--resolve", to[1], *rows, *options, url)
    body, _, last = said.rpartition("\n")
    status, _, redirected = last.partition(" ")
    return int(status), redirected or body


def test_https_ends_in_caddy_whose_certificate_is_verified_and_http_is_sent_there(
    project: GeneratedProject, tmp_path: Path
) -> None:
    """Caddy's own authority stands for the one that is asked by ACME: that was not tried."""
    config, choices = project.path / "config.yaml", project.path / "infra/deploy/docker.yaml"
    before = config.read_text(), choices.read_text()
    key = project.command("key", "--name", "bob", "--file", "keys.txt").stdout.strip()
    config.write_text(f"{before[0]}\nserving:\n  keys: keys.txt\n")
    address = f"127.{os.getpid() % 200 + 20}.{os.getpid() // 200 % 250}.7"
    choices.write_text(before[1].replace("127.0.0.1", address) + "tls: localhost\n")
    port = str(free_port())
    bearer = ("--header", f"Authorization: Bearer {key}")
    try:
        ids = []
        for version in ("1", "2"):
            as_version(project, version)
            done = deploy(project, "--port", port)
            assert done.returncode == 0, done.stdout + done.stderr
            assert f"version {version} serves at https://localhost" in done.stdout
            ids.append(docker("inspect", "--format", "{{.Id}}", "deployed-birds-tls"))
            root = tmp_path / "root.crt"
            authority = "/data/caddy/pki/authorities/local/root.crt"
            docker("cp", f"deployed-birds-tls:{authority}", root)
            verified = ("--cacert", root)
            status, said = curl(address, "https://localhost/predict", *verified, *bearer)
            assert (status, json.loads(said)["model_version"]) == (200, version)
        assert ids[0] == ids[1], "TLS goes on while a version takes over"
        assert curl(address, "https://localhost/predict", *verified)[0] == 401
        redirected = curl(address, "http://localhost/predict", *bearer)
        assert redirected == (308, "https://localhost/predict")
        with pytest.raises(AssertionError, match="certificate"):
            curl(address, "https://localhost/predict")
        checked = [
            "caddy",
            "validate",
            "--config",
            "/etc/caddy/Caddyfile",
            "--adapter",
            "caddyfile",
        ]
        docker("exec", "--env", "TLS=models.example.org", "deployed-birds-tls", *checked)
    finally:
        done = deploy(project, "--port", port, "--down")
        config.write_text(before[0])
        choices.write_text(before[1])
    assert done.returncode == 0, done.stderr
    assert left() == ""


def test_a_proxy_that_is_said_to_be_before_it_names_the_client_and_nobody_else_does(
    project: GeneratedProject,
) -> None:
    config, port = project.path / "config.yaml", str(free_port())
    before = config.read_text()
    config.write_text(f"{before}\nserving:\n  per_minute: 1\n")
    url = f"http://127.0.0.1:{port}/predict"

    def asked(client: str) -> int:
        return curl("127.0.0.1", url, "--header", f"X-Forwarded-For: {client}")[0]

    try:
        for options, statuses in ((["--proxy"], [200, 200, 429]), ([], [200, 429, 429])):
            done = deploy(project, "--port", port, *options)
            assert done.returncode == 0, done.stdout + done.stderr
            assert [asked(client) for client in ("1.1.1.1", "2.2.2.2", "1.1.1.1")] == statuses
    finally:
        deploy(project, "--port", port, "--down")
        config.write_text(before)
    assert left() == ""


def test_an_engine_or_a_port_that_cannot_be_had_is_told_in_a_line(
    project: GeneratedProject, tmp_path: Path
) -> None:
    for host in (f"unix://{tmp_path}/none.sock", "ssh://nobody@127.0.0.1:1", "tcp://127.0.0.1:1"):
        done = deploy(project, "--host", host)
        assert done.returncode == 2
        assert done.stderr.splitlines()[-1].startswith("error: ")
        assert "Traceback" not in done.stderr
    assert "is not deployed at local" in deploy(project, "--status").stdout


@contextmanager
def engine_in_a_network_of_its_own(folder: Path) -> Iterator[Path]:
    """Run a second engine that has nothing of the first; yield its socket."""
    network = f"far{os.getpid()}"
    run("ip", "netns", "add", network)
    enter = ["nsenter", f"--net=/run/netns/{network}"]
    run(*enter, "ip", "link", "set", "lo", "up")
    address = folder / "docker.sock"
    command = [*enter, "dockerd", "--host", f"unix://{address}", "--bridge", "none"]
    for option, name in (("data-root", "data"), ("exec-root", "exec"), ("pidfile", "pid")):
        command += [f"--{option}", str(folder / name)]
    with (folder / "log").open("w") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            limit = time.monotonic() + 60
            while not address.exists():
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < limit
                time.sleep(0.1)
            yield address
        finally:
            process.terminate()
            process.wait(60)
            subprocess.run(["umount", folder / "exec/netns/default"], capture_output=True)
            run("ip", "netns", "delete", network)
            shutil.rmtree(folder)


@contextmanager
def ssh_server(folder: Path, engine: Path) -> Iterator[tuple[str, str]]:
    """Run sshd on loopback; yield its address, and a PATH whose ssh knows the key."""
    folder.mkdir()
    port = str(free_port())
    for key in ("host", "user"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key)
    known = f"[127.0.0.1]:{port} " + (folder / "host.pub").read_text()
    (folder / "known").write_text(known)
    (folder / "server").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host\nPidFile none\n"
        f"AuthorizedKeysFile {folder}/user.pub\nStrictModes no\nPasswordAuthentication no\n"
        f"SetEnv DOCKER_HOST=unix://{engine} PATH={os.environ['PATH']}\nMaxStartups 100\n"
    )
    # The ssh of the machine, told where the key is as a person's ~/.ssh/config would.
    program = folder / "bin" / "ssh"
    program.parent.mkdir()
    options = f"-i {folder}/user -o UserKnownHostsFile={folder}/known -o BatchMode=yes"
    program.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} {options} "$@"\n')
    program.chmod(0o755)
    Path("/run/sshd").mkdir(exist_ok=True)
    server = shutil.which("sshd", path="/usr/sbin:" + os.environ["PATH"])
    with subprocess.Popen([str(server), "-D", "-e", "-f", folder / "server"]) as process:
        try:
            path = f"{program.parent}:{os.environ['PATH']}"
            yield f"ssh://{getpass.getuser()}@127.0.0.1:{port}", path
        finally:
            process.terminate()


@contextmanager
def tls_front(folder: Path, engine: Path) -> Iterator[str]:
    """Stand before an engine's socket as its own TLS does; yield the address.

    The client's certificates are in `folder`, named as Docker names them.
    """
    folder.mkdir()
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    make += ["-nodes", "-days", "1", "-subj", "/CN=engine", "-addext"]
    # One self-signed certificate is the authority, the server's and the client's.
    run(
        *make,
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        folder / "key.pem",
        "-out",
        folder / "ca.pem",
    )
    shutil.copy(folder / "ca.pem", folder / "cert.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    context.load_verify_locations(folder / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED

    def pump(source: socket.socket, target: socket.socket) -> None:
        try:
            while piece := source.recv(65536):
                target.sendall(piece)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def serve(plain: socket.socket) -> None:
        try:
            client = context.wrap_socket(plain, server_side=True)
        except (ssl.SSLError, OSError):
            return
        behind = socket.socket(socket.AF_UNIX)
        behind.connect(str(engine))
        threading.Thread(target=pump, args=[client, behind], daemon=True).start()
        pump(behind, client)

    def accept() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=[plain], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def run(*command: Any) -> str:
    """Output of a command that must succeed."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs(os.getuid() == 0, "a second engine is started by root alone")
@pytest.mark.weekly
def test_a_host_elsewhere_is_reached_over_ssh_and_over_tls(
    project: GeneratedProject, tmp_path: Path
) -> None:
    home = Path(os.environ["DOCKER_HOST"].removeprefix("unix://")).parents[1] / f"far{os.getpid()}"
    home.mkdir()
    with ExitStack() as stack:
        far = stack.enter_context(engine_in_a_network_of_its_own(home))
        over_ssh, path = stack.enter_context(ssh_server(tmp_path / "ssh", far))
        over_tls = stack.enter_context(tls_front(tmp_path / "tls", far))
        certificates = str(tmp_path / "tls")
        inside = ["nsenter", f"--net=/run/netns/far{os.getpid()}", "curl", "-sS"]
        asked = ["-H", "Content-Type: application/json", "-d", json.dumps(ROWS)]

        as_version(project, "1")
        done = deploy(project, "--host", over_ssh, PATH=path)
        assert done.returncode == 0, done.stderr
        answer = json.loads(run(*inside, *asked, "http://127.0.0.1:8000/predict"))
        assert answer["model_version"] == "1"

        as_version(project, "2")
        done = deploy(project, "--host", over_tls)
        assert done.returncode == 2
        assert "needs TLS: there is no" in done.stderr
        done = deploy(project, "--host", over_tls, DOCKER_CERT_PATH=certificates)
        assert done.returncode == 0, done.stderr
        answer = json.loads(run(*inside, *asked, "http://127.0.0.1:8000/predict"))
        assert answer["model_version"] == "2"

        shown = deploy(project, "--host", over_ssh, "--status", PATH=path).stdout
        assert "version 1" in shown
        assert "version 2" in shown
        assert deploy(project, "--host", over_ssh, "--down", PATH=path).returncode == 0
        assert docker("--host", f"unix://{far}", "ps", "--all", "--quiet") == ""


@pytest.mark.weekly
@needs(os.getuid() == 0, "a second engine is started by root alone")
def test_images_go_by_a_registry_with_the_persons_own_login(
    project: GeneratedProject, tmp_path: Path, registry: str
) -> None:
    """The far engine's loopback has a registry of its own, with the images of ours."""
    home = Path(os.environ["DOCKER_HOST"].removeprefix("unix://")).parents[1] / f"far{os.getpid()}"
    home.mkdir()
    own = tmp_path / "docker"
    shutil.copytree(os.environ.get("DOCKER_CONFIG", Path("~/.docker").expanduser()), own)
    login = {"auth": base64.b64encode(b"AWS:" + TOKEN).decode()}
    choices = project.path / "infra/deploy/docker.yaml"
    before = choices.read_text()
    serve = ["docker-registry", "serve", str(tmp_path / "registry.yml")]
    try:
        with engine_in_a_network_of_its_own(home) as far:
            host = f"unix://{far}"
            inside = ["nsenter", f"--net=/run/netns/far{os.getpid()}"]
            body = ["-H", "Content-Type: application/json", "-d", json.dumps(ROWS)]
            ask = [*inside, "curl", "-sS", *body, "http://127.0.0.1:8000/predict"]

            as_version(project, "1")
            done = deploy(project, "--host", host, DOCKER_CONFIG=str(own))
            assert done.returncode == 0, done.stderr  # copied
            choices.write_text(f"{before}registry: {registry}/me\n")
            as_version(project, "2")

            done = deploy(project, "--host", host, DOCKER_CONFIG=str(own))
            assert done.returncode == 2
            (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
            assert "docker push failed" in line
            assert f"docker login {registry}" in line
            assert json.loads(run(*ask))["model_version"] == "1"

            (own / "config.json").write_text(json.dumps({"auths": {registry: login}}))
            done = deploy(project, "--host", host, DOCKER_CONFIG=str(own))
            assert done.returncode == 2
            assert "could not be pulled by the host" in done.stderr.splitlines()[-1]
            assert json.loads(run(*ask))["model_version"] == "1"

            with subprocess.Popen([*inside, *serve], stderr=subprocess.DEVNULL) as other:
                done = deploy(project, "--host", host, DOCKER_CONFIG=str(own))
                other.terminate()
            assert done.returncode == 0, done.stdout + done.stderr
            assert "pulling" in done.stdout
            assert json.loads(run(*ask))["model_version"] == "2"
            (address,) = inspect_at(host, "deployed-birds:2")["RepoDigests"]
            assert address.startswith(f"{registry}/me/deployed-birds@sha256:")
            names = docker("image", "ls", "--format", "{{.Repository}}")
            assert registry not in names
            assert deploy(project, "--host", host, "--down").returncode == 0
    finally:
        choices.write_text(before)


def inspect_at(host: str, image: str) -> Any:
    """What an engine knows of an image."""
    return json.loads(docker("--host", host, "image", "inspect", image))[0]
