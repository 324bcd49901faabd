"""`make deploy ON=aws`: its image under Lambda's runtime interface, and pushed to a registry.

Neither AWS nor its emulator is reached from here. A container plays Lambda's side of the interface
(https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html) on the loopback that it shares with
the image's own. Of the account, moto plays what it can, and Debian's docker-registry the rest.
"""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import hashlib
import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from conftest import GeneratedProject, free_port, lack
from test_images import BASE, LOCKED, ROWS, docker, engine, inspect, predict

pytestmark = pytest.mark.slow
__all__ = ["engine"]  # the fixture: it skips these tests where no engine answers

NAME, REGION, MIB = "lambda-birds", "eu-central-1", 2**20
ECR = f"123456789012.dkr.ecr.{REGION}.amazonaws.com"
# What moto gives out, and its hash by `htpasswd -nbB`.
TOKEN = b"123456789012-auth-token"
USERS = "AWS:$2b$05$UJtGJmSSzFFYbF9MxdY39eiZQBQQMwhmlq3UI9Dz3Y9DYKtKNH1Ee\n"
KEY = "birds"
HASHES = f"ann {hashlib.sha256(KEY.encode()).hexdigest()}"
RUNTIME = """
import itertools, json, queue, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

events, answers, count = queue.Queue(), queue.Queue(), itertools.count()

class Runtime(BaseHTTPRequestHandler):
    protocol_version, disable_nagle_algorithm = "HTTP/1.1", True

    def do_GET(self):
        self.say(200, events.get(), str(next(count)))

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/ask":
            start = time.monotonic()
            events.put(body)
            kind, said = answers.get(timeout=100)
            about = {"kind": kind, "seconds": time.monotonic() - start, "at": time.time()}
            self.say(200, json.dumps(about).encode() + b"\\n" + said)
        else:
            answers.put((self.path.rpartition("/")[2], body))
            self.say(202, b"")

    def say(self, status, body, request=""):
        self.send_response(status)
        self.send_header("Lambda-Runtime-Aws-Request-Id", request)
        self.send_header("Lambda-Runtime-Deadline-Ms", "9999999999999")
        self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:::function:x:live")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

ThreadingHTTPServer(("127.0.0.1", 9001), Runtime).serve_forever()
"""
ASK = """
import sys, urllib.request
asked = urllib.request.Request("http://127.0.0.1:9001/ask", sys.stdin.buffer.read())
sys.stdout.buffer.write(urllib.request.urlopen(asked, timeout=120).read())
"""


class Instance:
    """An image's container as Lambda runs it: an unknown user, no file to write to but in /tmp."""

    def __init__(self, image: str) -> None:
        alone = ("--network", "none", "--entrypoint", "python")
        self.runtime = docker("run", "--detach", *LOCKED, *alone, image, "-c", RUNTIME)
        self.container = docker(
            *("run", "--detach", *LOCKED, "--network", f"container:{self.runtime}"),
            *("--user", "993:990", "--tmpfs", "/tmp", "--memory", "1g", "--cpus", "0.58"),
            *(
                "--env",
                "AWS_LAMBDA_RUNTIME_API=127.0.0.1:9001",
                "--env",
                f"API_KEYS={HASHES}",
                image,
            ),
        )

    def invoke(self, event: bytes) -> tuple[dict[str, Any], bytes]:
        """What is known of an invocation, and what it answered."""
        done = subprocess.run(
            ["docker", "exec", "--interactive", self.runtime, "python", "-c", ASK],
            input=event,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode() + docker("logs", self.container)
        about, _, said = done.stdout.partition(b"\n")
        return json.loads(about), said

    def ask(self, method: str, path: str, kind: str = "", body: str = "") -> tuple[int, str]:
        """Status and body of the answer to a request that came by the function's URL."""
        about, said = self.invoke(json.dumps(event(method, path, kind, body)).encode())
        assert about["kind"] == "response", said
        answer = json.loads(said)
        return answer["statusCode"], answer["body"]

    def remove(self) -> None:
        docker("rm", "--force", self.container, self.runtime)


def event(method: str, path: str, kind: str, body: str) -> dict[str, Any]:
    """A request in the payload format 2.0."""
    headers = {"content-type": kind, "host": "x.lambda-url.eu-central-1.on.aws"}
    http = {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.9"}
    return {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": "",
        "headers": headers | {"authorization": f"Bearer {KEY}"},
        "requestContext": {"http": http, "requestId": "1", "stage": "$default"},
        "body": body,
        "isBase64Encoded": False,
    }


def host() -> str:
    """Address of the engine."""
    return docker("context", "inspect", "--format", "{{.Endpoints.docker.Host}}")


@pytest.fixture(scope="module")
def project(
    trained: GeneratedProject, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GeneratedProject]:
    """A copy of the trained project, under a name of its own; afterwards nothing of it is left."""
    project = trained.copy(tmp_path_factory.mktemp("lambda") / trained.path.name)
    about = project.path / "pyproject.toml"
    about.write_text(about.read_text().replace('name = "bird-strikes"', f'name = "{NAME}"'))
    yield project
    if made := docker("image", "ls", "--quiet", NAME).split():
        docker("image", "rm", "--force", *set(made))


@pytest.fixture(scope="module")
def expected(project: GeneratedProject) -> Any:
    """Predictions of the bundle itself."""
    return predict(project)


class Account(ThreadingHTTPServer):
    """What AWS_ENDPOINT_URL names: moto, with a real registry for ECR, and a real function."""

    daemon_threads = True

    def __init__(self, moto: int, registry: str) -> None:
        account = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version, disable_nagle_algorithm = "HTTP/1.1", True

            def do_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, headers, said = account.answer(self.command, self.path, self.headers, body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            do_GET = do_POST = do_PUT = do_DELETE = do_any  # noqa: N815 (http.server's names)

            def log_message(self, *_: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.moto, self.registry = moto, registry
        self.instances = dict[str, Instance]()  # by the image's address
        self.image = ""
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def answer(
        self, method: str, path: str, headers: Any, body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        """Answer a call of AWS, or a request that comes by the function's URL."""
        if path.startswith("/url/"):
            status, said = self.instance().ask(method, path.removeprefix("/url"))
            return status, {}, said.encode()
        if "/invocations" in path:
            about, content = self.instance().invoke(body)
            return 200, {"X-Amz-Function-Error": "x"} if about["kind"] == "error" else {}, content
        if b'"ImageUri"' in body:
            self.image = json.loads(body).get("ImageUri") or json.loads(body)["Code"]["ImageUri"]
            self.tell_moto()
        sent = body.replace(self.registry.encode(), ECR.encode())
        status, content = self.forward(method, path, dict(headers), sent)
        content = content.replace(f"https://{ECR}".encode(), f"http://{self.registry}".encode())
        content = content.replace(ECR.encode(), self.registry.encode())
        if b"FunctionUrl" in content:
            url = f"http://127.0.0.1:{self.server_port}/url/"
            content = json.dumps(json.loads(content) | {"FunctionUrl": url}).encode()
        kind = {"x-amzn-ErrorType": json.loads(content)["Type"]} if b'"Type"' in content else {}
        return status, kind, content

    def forward(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, bytes]:
        """What moto answers."""
        headers = {name: text for name, text in headers.items() if name != "Content-Length"}
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.moto)) as connection:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def tell_moto(self) -> None:
        """Let moto know of the image that came into the registry; it is where docker says."""
        address, _, digest = self.image.partition("@")
        url = f"http://{address.replace('/', '/v2/', 1)}/manifests/{digest}"
        asked = urllib.request.Request(
            url, headers={"Authorization": f"Basic {base64.b64encode(b'AWS:' + TOKEN).decode()}"}
        )
        for kind in ("oci.image.manifest.v1", "docker.distribution.manifest.v2"):
            asked.add_header("Accept", f"application/vnd.{kind}+json")
        with urllib.request.urlopen(asked) as found:
            manifest = found.read().decode()
        put = {"repositoryName": NAME, "imageManifest": manifest, "imageDigest": digest}
        put["imageTag"] = digest[7:19]
        headers = {
            "X-Amz-Target": "AmazonEC2ContainerRegistry_V20150921.PutImage",
            "Content-Type": "application/x-amz-json-1.1",
            "Authorization": f"AWS4-HMAC-SHA256 Credential=x/20260101/{REGION}/ecr/aws4_request",
        }
        status, said = self.forward("POST", "/", headers, json.dumps(put).encode())
        assert status == 200, said

    def instance(self) -> Instance:
        """An instance of the newest image."""
        if self.image not in self.instances:
            with tempfile.TemporaryDirectory() as own:
                given = {"auth": base64.b64encode(b"AWS:" + TOKEN).decode()}
                Path(own, "config.json").write_text(json.dumps({"auths": {self.registry: given}}))
                docker("--config", own, "--host", host(), "pull", "--quiet", self.image)
            self.instances[self.image] = Instance(self.image)
        return self.instances[self.image]


@pytest.fixture
def moto(project: GeneratedProject) -> Iterator[int]:
    """The port of moto's server."""
    port = free_port()
    program = Path(sys.executable).with_name("moto_server")
    environment = {**os.environ, "MOTO_LAMBDA_STUB_ECR": "false"}
    command = [str(program), "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as server:
        wait_for(port)
        yield port
        server.terminate()


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """Address of a registry that knows moto's user and token."""
    if not shutil.which("docker-registry"):
        lack("there is no docker-registry; on Debian: apt install docker-registry")
    port = free_port()
    (tmp_path / "users").write_text(USERS)
    settings = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "images")}},
        "http": {"addr": f"127.0.0.1:{port}"},
        "auth": {"htpasswd": {"realm": "tests", "path": str(tmp_path / "users")}},
    }
    (tmp_path / "registry.yml").write_text(json.dumps(settings))  # which is YAML as well
    command = ["docker-registry", "serve", str(tmp_path / "registry.yml")]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet) as server:
        wait_for(port)
        yield f"127.0.0.1:{port}"
        server.terminate()


def wait_for(port: int, host: str = "127.0.0.1") -> None:
    """Wait until a server listens."""
    for _ in range(300):
        with contextlib.suppress(OSError):
            http.client.HTTPConnection(host, port, timeout=5).connect()
            return
        time.sleep(0.1)
    pytest.fail(f"nothing listens at port {port}")


@pytest.fixture
def account(moto: int, registry: str) -> Iterator[Account]:
    """An account without anything in it."""
    made = Account(moto, registry)
    yield made
    made.shutdown()
    for address, instance in made.instances.items():
        instance.remove()
        docker("image", "rm", "--force", address)


@pytest.mark.weekly
def test_the_image_is_pushed_by_digest_predicts_and_is_removed(
    project: GeneratedProject, account: Account, expected: Any, tmp_path: Path
) -> None:
    own = tmp_path / "docker"
    shutil.copytree(os.environ.get("DOCKER_CONFIG", Path("~/.docker").expanduser()), own)
    settings = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{account.server_port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": REGION,
        "DOCKER_CONFIG": str(own),
    }
    start = time.monotonic()
    done = project.command("deploy", "--on", "aws", **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    print(f"deployed in {time.monotonic() - start:.1f} s")
    assert f"{account.registry}/{NAME}@sha256:" in account.image
    assert f"serves at http://127.0.0.1:{account.server_port}/url/" in done.stdout
    said = own / "config.json"
    assert account.registry not in (said.read_text() if said.is_file() else "")

    instance = account.instance()
    status, answer = instance.ask("POST", "/predict", "application/json", json.dumps(ROWS))
    assert (status, json.loads(answer)["predictions"]) == (200, expected)
    done = project.command("deploy", "--on", "aws", "--status", **settings)
    assert "the function's 1: serves at" in done.stdout
    done = project.command("deploy", "--on", "aws", "--down", **settings)
    assert done.returncode == 0, done.stderr
    assert "stack lambda-birds-deploy: removed" in done.stdout
    # What was pulled here by digest is left, and no name of the registry's.
    names = docker("image", "ls", "--format", "{{.Tag}}", f"{account.registry}/{NAME}")
    assert names == "<none>"


@pytest.fixture(scope="module")
def instance(project: GeneratedProject) -> Iterator[Instance]:
    """The image that was deployed, under Lambda's interface."""
    image = f"{NAME}:lambda"
    build = (
        "from coldstart.images._building import build\n"
        f"build('lambda', {image!r}, None, VERSION='1')"
    )
    done = project.run(project.python, "-c", build)
    assert done.returncode == 0, done.stdout + done.stderr
    above = inspect(image)["Size"] - inspect(BASE)["Size"]
    print(f"{above / MIB:.0f} MiB above the base image")
    assert above <= 205 * MIB
    made = Instance(image)
    yield made
    made.remove()


def test_it_starts_cold_and_reports_that_it_is_ready(instance: Instance) -> None:
    about, said = instance.invoke(json.dumps(event("GET", "/health/ready", "", "")).encode())
    started = dt.datetime.fromisoformat(inspect(instance.container)["State"]["StartedAt"][:26])
    seconds = about["at"] - started.replace(tzinfo=dt.UTC).timestamp()
    print(f"first answer {seconds:.2f} s after the container's start, at 0.58 of a core")
    assert json.loads(json.loads(said)["body"])["status"] == "ready"
    times = []
    body = json.dumps(event("POST", "/predict", "application/json", json.dumps(ROWS))).encode()
    for _ in range(20):
        times.append(instance.invoke(body)[0]["seconds"])
    print(f"then {sorted(times)[10] * 1000:.1f} ms for two rows")


def test_rows_and_files_are_predicted_as_the_bundle_does_outside(
    instance: Instance, expected: Any
) -> None:
    status, said = instance.ask("POST", "/predict", "application/json", json.dumps(ROWS))
    assert (status, json.loads(said)["predictions"]) == (200, expected)
    names = list(ROWS["rows"][0])
    lines = [",".join(str(row[name]) for name in names) for row in ROWS["rows"]]
    table = "\n".join([",".join(names), *lines])
    status, said = instance.ask("POST", "/predict", "text/csv", table)
    assert status == 200, said
    answers = [line.split(",") for line in said.splitlines()[1:]]
    assert [line[0].strip('"') for line in answers] == [answer["label"] for answer in expected]
    for body in ("{", '{"rows": [{"height": "tall"}]}'):
        status, said = instance.ask("POST", "/predict", "application/json", body)
        assert status == 422
        assert json.loads(said)["detail"]


def test_what_fits_into_an_event_is_predicted_and_more_is_refused(
    instance: Instance,
) -> None:
    names, row = list(ROWS["rows"][0]), ",".join(map(str, ROWS["rows"][0].values()))
    wide = f"{row}{' ' * 100}"  # the last is a category; its blanks do not count
    for line, count, wanted in ((wide, 5_900_000 // len(wide), 200), (row, 200_000, 413)):
        table = "\n".join([",".join(names), *[line] * count])
        status, said = instance.ask("POST", "/predict", "text/csv", table)
        print(f"{len(table) / 1e6:.1f} MB, {count} rows: {status}, {len(said) / 1e6:.1f} MB")
        assert status == wanted, said[:200]
        assert status == 413 or len(said.splitlines()) == 1 + count


def test_an_instance_that_was_frozen_continues(instance: Instance, expected: Any) -> None:
    for _ in range(2):
        docker("pause", instance.container)
        time.sleep(3)
        docker("unpause", instance.container)
        status, said = instance.ask("POST", "/predict", "application/json", json.dumps(ROWS))
        assert (status, json.loads(said)["predictions"]) == (200, expected)
    assert inspect(instance.container)["State"]["Running"]
