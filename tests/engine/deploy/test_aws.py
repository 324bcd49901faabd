"""Deploying to AWS Lambda: moto stands for the account, and the real API answers in it.

What moto has not is done before it: a function that is invoked, or asked by its URL, is the
project's own API under AWS' runtime interface client, and docker's stand-in puts an image into
moto's repository. Any call can be made to fail, with or without effect.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import hashlib
import http.client
import itertools
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from urllib.request import Request, urlopen

import boto3
import pytest
import yaml
from moto.server import ThreadedMotoServer

from coldstart._aws import ignore_errors
from coldstart.bundle._predictor import BundlePredictor
from coldstart.deploy.on_aws import _account as account
from coldstart.deploy.on_aws import _cost as cost
from coldstart.deploy.on_aws import _function as function
from coldstart.deploy.on_aws import _invoke as invocation
from coldstart.deploy.on_aws import _target as target
from coldstart.serve._access import read_keys
from coldstart.serve._docs import STATIC
from engine.support import EACH, PACKAGE, PREFIX, TEMPLATE, main

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="AWS' runtime interface client runs on Linux alone"
)

NAME, REGION = "small", "eu-central-1"
REPOSITORY = f"123456789012.dkr.ecr.{REGION}.amazonaws.com/{NAME}"
SETTINGS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": REGION,
    "MOTO_LAMBDA_STUB_ECR": "false",  # a function's image must be in the repository
}
ROWS: list[dict[str, Any]] = [{"weight": 180.0, "colour": "red"}, {"weight": 90.5, "colour": None}]
KIND = "application/vnd.oci.image.manifest.v1+json"
HANDLER = "coldstart.deploy.on_aws._handler.handler"
RUNTIME = "/2018-06-01/runtime/"
DOCKER = """#!/bin/sh
echo "$@" "config=$DOCKER_CONFIG" >> FOLDER/asked
case "$1" in
context) cat FOLDER/context.json ;;
login) cat > FOLDER/password ;;
push) exec PYTHON -SE FOLDER/push.py ;;
image) test "$2" != inspect || cat FOLDER/image.json ;;
esac
"""
PUSH = """
import http.client, json
body = json.load(open("FOLDER/put.json"))
connection = http.client.HTTPConnection("127.0.0.1", PORT)
connection.request("POST", "/", json.dumps(body), {
    "X-Amz-Target": "AmazonEC2ContainerRegistry_V20150921.PutImage",
    "Content-Type": "application/x-amz-json-1.1",
    "Authorization": "AWS4-HMAC-SHA256 Credential=testing/20260101/REGION/ecr/aws4_request",
})
said = connection.getresponse()
text = said.read().decode()
assert said.status == 200 or "AlreadyExists" in text, text
"""


class Server(ThreadingHTTPServer):
    """A server on a free port of loopback, in a thread."""

    daemon_threads = True

    def __init__(self, answer: Callable[[BaseHTTPRequestHandler, bytes], None]) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # or each answer waits for 40 ms

            def do_any(self) -> None:
                answer(self, self.rfile.read(int(self.headers.get("Content-Length") or 0)))

            do_GET = do_POST = do_PUT = do_DELETE = do_any  # noqa: N815 (http.server's names)

            def log_message(self, *_: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.shutdown()
        self.server_close()


def reply(asker: BaseHTTPRequestHandler, status: int, headers: Any, body: bytes) -> None:
    """Answer a request."""
    asker.send_response(status)
    for name, value in headers:
        if name.lower() not in ("content-length", "connection", "transfer-encoding"):
            asker.send_header(name, value)
    asker.send_header("Content-Length", str(len(body)))
    asker.end_headers()
    asker.wfile.write(body)


class Lambda:
    """An instance of the function: the project's API under AWS' runtime interface client.

    Lambda's side of the interface is as documented at
    https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
    """

    def __init__(self, project: Path, log: Any = None, **environment: str) -> None:
        self.events = queue.Queue[bytes]()
        self.answers = queue.Queue[tuple[str, bytes]]()
        self.server = Server(self.serve)
        self.lock, self.count = threading.Lock(), itertools.count()
        here = {
            "AWS_LAMBDA_RUNTIME_API": self.server.address,
            "COLDSTART_PROJECT": f"{PACKAGE}.__main__:PROJECT",  # as the image has it
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "awslambdaric", HANDLER],
            cwd=project,
            env={**os.environ, **here, **environment},
            stderr=log,
        )

    def serve(self, asker: BaseHTTPRequestHandler, body: bytes) -> None:
        """Be the runtime interface."""
        if asker.path == f"{RUNTIME}invocation/next":
            about = {
                "Lambda-Runtime-Aws-Request-Id": str(next(self.count)),
                "Lambda-Runtime-Deadline-Ms": "9999999999999",
                "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:::function:small:live",
                "Content-Type": "application/json",
            }
            with contextlib.suppress(OSError):  # the process has ended
                reply(asker, 200, about.items(), self.events.get())
            return
        self.answers.put((asker.path.rpartition("/")[2], body))
        reply(asker, 202, (), b"{}")

    def invoke(self, event: bytes) -> tuple[str, bytes]:
        """`response` or `error`, and what came with it."""
        with self.lock:  # an instance has one event at a time
            self.events.put(event)
            return self.answers.get(timeout=60)

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, Any]:
        """Status and body of the answer to a request."""
        event = as_event(method, path, body, headers)
        kind, said = self.invoke(json.dumps(event).encode())
        assert kind == "response", said
        answer = json.loads(said)
        content = answer["body"]
        if answer.get("isBase64Encoded"):
            return answer["statusCode"], base64.b64decode(content)
        return answer["statusCode"], content

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.events.put(b"")
        self.server.close()


def as_event(method: str, path: str, body: bytes, headers: dict[str, str]) -> dict[str, Any]:
    """A request as a function's URL hands it on: only text is left as it is."""
    event = invocation.make_event(method, path)
    event["headers"] = {name.lower().replace("_", "-"): text for name, text in headers.items()}
    text = event["headers"].get("content-type", "").startswith(("text/", "application/json"))
    event["body"] = body.decode() if text else base64.b64encode(body).decode()
    return event | {"isBase64Encoded": not text}


class Cloud:
    """What AWS_ENDPOINT_URL names: moto, with what it has not, and with faults.

    Attributes
    ----------
    fault
        How the call number `at` fails: "refused", or "lost": it is done, and an error is answered;
        or "dropped": it is done, and the connection closed, so that boto3 asks again.
    calls, asked
        Whether each call so far was to change something, and what it was called.
    asleep
        How many requests the function refuses, as one whose image was put away.
    strange
        What the function answers to a prediction instead of what the API says.
    """

    def __init__(self, moto: int, instance: Lambda) -> None:
        self.moto, self.instance = moto, instance
        self.server = Server(self.serve)
        self.calls, self.asked = list[bool](), list[str]()
        self.at, self.fault, self.strange, self.asleep = 0, "", b"", 0

    def fail(self, at: int, fault: str) -> None:
        """Let a call fail, counted from now."""
        self.calls, self.at, self.fault = [], at, fault

    def serve(self, asker: BaseHTTPRequestHandler, body: bytes) -> None:
        """Answer a call."""
        if asker.path.startswith("/url/"):
            self.by_url(asker, body)
            return
        action = parse_qs(body.decode()).get("Action", [asker.command])[0]  # of CloudFormation
        action = asker.headers.get("X-Amz-Target", action).rpartition(".")[2]
        self.asked.append(action)
        self.calls.append(not action.lower().startswith(("get", "list", "describe")))
        fault = self.fault if len(self.calls) == self.at else ""
        said = None if fault == "refused" else self.done(asker, body)
        if fault == "dropped":
            asker.close_connection = True
            asker.connection.close()
        elif fault or said is None:
            code = "AccessDenied"
            xml = f"<E><Error><Code>{code}</Code><Message>no</Message></Error></E>"
            query = "/cloudformation/" in asker.headers["Authorization"]
            error = xml if query else json.dumps({"__type": code, "message": "no"})
            reply(asker, 403, [("x-amzn-ErrorType", code)], error.encode())
        else:
            reply(asker, *said)

    def done(self, asker: BaseHTTPRequestHandler, body: bytes) -> tuple[int, Any, bytes]:
        """What a call answers."""
        if "/invocations" in asker.path and self.asleep:
            self.asleep -= 1
            error = json.dumps({"Message": "in the following state: Pending", "Type": "User"})
            return 409, [("x-amzn-ErrorType", "ResourceConflictException")], error.encode()
        if "/invocations" in asker.path:
            kind, said = self.instance.invoke(body)
            if self.strange and b"/predict" in body:
                said = self.strange
            failed = [("X-Amz-Function-Error", "Unhandled")] if kind == "error" else []
            return 200, failed, said
        if asker.path.partition("?")[0].endswith("/policy") and asker.command == "POST":
            sid = json.loads(body)["StatementId"]
            if sid in [one["Sid"] for one in self.policy()]:  # moto would have it twice
                error = json.dumps({"Message": f"{sid} exists", "Type": "User"})
                return 409, [("x-amzn-ErrorType", "ResourceConflictException")], error.encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.moto, timeout=60)
        with contextlib.closing(connection):
            connection.request(asker.command, asker.path, body, dict(asker.headers))
            answer = connection.getresponse()
            content = answer.read()
        if asker.path.partition("?")[0].endswith("/url") and b"FunctionUrl" in content:
            found = json.loads(content)
            found["FunctionUrl"] = f"http://{self.server.address}/url/"
            content = json.dumps(found).encode()
        headers = dict(answer.getheaders())
        if b"Alias already exists" in content:  # as AWS calls it
            headers["X-Amzn-ErrorType"] = "ResourceConflictException"
        return answer.status, headers.items(), content

    def policy(self) -> list[dict[str, Any]]:
        """Who may ask for what is live."""
        session = boto3.Session()  # whose calls no test counts
        client = session.client("lambda", endpoint_url=f"http://127.0.0.1:{self.moto}")
        with ignore_errors("ResourceNotFoundException"):
            found = json.loads(client.get_policy(FunctionName=NAME, Qualifier="live")["Policy"])
            return list(found["Statement"])
        return []

    def by_url(self, asker: BaseHTTPRequestHandler, body: bytes) -> None:
        """Answer what is asked by the function's URL, if everybody may ask."""
        allowed = {
            (one["Action"], one.get("FunctionUrlAuthType"), one.get("InvokedViaFunctionUrl"))
            for one in self.policy()
        }
        needed = {("lambda:InvokeFunctionUrl", "NONE", None), ("lambda:InvokeFunction", None, True)}
        if not needed <= allowed:
            reply(asker, 403, (), b"Forbidden")
            return
        path = asker.path.removeprefix("/url")
        status, said = self.instance.ask(asker.command, path, body, **dict(asker.headers))
        reply(asker, status, (), said.encode())


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
    (folder / "pyproject.toml").write_text(f'[project]\nname = "{NAME}"\n')
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        assert main(["train"]) == 0
    return folder


@pytest.fixture(scope="module")
def instance(champion: Path) -> Iterator[Lambda]:
    """An instance of the function."""
    made = Lambda(champion, PUBLIC="yes")
    yield made
    made.close()


@pytest.fixture
def project(champion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what is deployed, to go to."""
    for name in ("config.yaml", "pyproject.toml"):
        shutil.copy(champion / name, tmp_path)
    (tmp_path / "infra/deploy").mkdir(parents=True)
    shutil.copy(TEMPLATE / account.TEMPLATE, tmp_path / account.TEMPLATE)
    shutil.copytree(champion / "bundles", tmp_path / "bundles")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def moto() -> Iterator[int]:
    """The port of moto's server."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    yield port
    server.stop()


@pytest.fixture
def cloud(
    moto: int, instance: Lambda, project: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Cloud]:
    """An empty account, reached as AWS is."""
    urlopen(Request(f"http://127.0.0.1:{moto}/moto-api/reset", method="POST")).close()
    for name in list(os.environ):
        if name.startswith("AWS_") or name == "CI":
            monkeypatch.delenv(name)
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(project))
    made = Cloud(moto, instance)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{made.server.address}")
    monkeypatch.setattr(target, "TIMEOUT", 2)
    boto3.setup_default_session()
    yield made
    made.server.close()


@pytest.fixture
def image(tmp_path: Path, moto: int, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """`image(content)`: what docker builds from now on; in the folder is what it was asked."""
    folder = tmp_path / "docker"
    folder.mkdir()

    def content(what: str) -> Path:
        layer: dict[str, Any] = {"digest": f"sha256:{what}", "size": 1}
        manifest = {"schemaVersion": 2, "mediaType": KIND, "config": {"size": 1}, "layers": [layer]}
        digest = hashlib.sha256(layer["digest"].encode()).hexdigest()
        found = {"RepoDigests": [f"{REPOSITORY}@sha256:{digest}"], "Architecture": "arm64"}
        (folder / "image.json").write_text(json.dumps([found]))
        put = {"repositoryName": NAME, "imageManifest": json.dumps(manifest), "imageTag": what}
        (folder / "put.json").write_text(json.dumps(put))
        return folder

    host = {"Docker": None, "docker": {"Host": "unix:///none"}}
    (folder / "context.json").write_text(json.dumps([{"Endpoints": host}]))
    program = folder / "docker"
    for path, text in ((program, DOCKER), (folder / "push.py", PUSH)):
        text = text.replace("FOLDER", str(folder)).replace("PYTHON", sys.executable)
        path.write_text(text.replace("PORT", str(moto)).replace("REGION", REGION))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    content("first")
    return content


def left(moto: int) -> list[str]:
    """Names of all that there is in the account."""
    at: dict[str, Any] = {"endpoint_url": f"http://127.0.0.1:{moto}"}
    functions, roles = boto3.client("lambda", **at), boto3.client("iam", **at)
    images, logs = boto3.client("ecr", **at), boto3.client("logs", **at)
    return [
        *(one["FunctionName"] for one in functions.list_functions()["Functions"]),
        *(one["RoleName"] for one in roles.list_roles()["Roles"]),
        *(one["repositoryName"] for one in images.describe_repositories()["repositories"]),
        *(one["logGroupName"] for one in logs.describe_log_groups()["logGroups"]),
        *(
            one["StackName"]
            for one in boto3.client("cloudformation", **at).list_stacks(
                StackStatusFilter=["CREATE_IN_PROGRESS", "CREATE_COMPLETE"]
            )["StackSummaries"]
        ),
    ]


def state(moto: int) -> dict[str, Any]:
    """All that a deployment has made, but for numbers and times."""
    at: dict[str, Any] = {"endpoint_url": f"http://127.0.0.1:{moto}"}
    functions, roles = boto3.client("lambda", **at), boto3.client("iam", **at)
    images, logs = boto3.client("ecr", **at), boto3.client("logs", **at)
    live = {"FunctionName": NAME, "Qualifier": "live"}
    found = functions.get_function(**live)
    keep = ("MemorySize", "Timeout", "Role", "Environment", "Architectures", "Description")
    (role,), (group,) = roles.list_roles()["Roles"], logs.describe_log_groups()["logGroups"]
    allowed = roles.get_role_policy(RoleName=role["RoleName"], PolicyName="log")
    policy = json.loads(functions.get_policy(**live)["Policy"])
    return {
        "function": {key: found["Configuration"].get(key) for key in keep},
        "image": found["Configuration"]["CodeSha256"],
        "tags": found["Tags"],
        "throttle": functions.get_function_concurrency(FunctionName=NAME)[
            "ReservedConcurrentExecutions"
        ],
        "url": functions.get_function_url_config(**live)["AuthType"],
        "policy": sorted(one["Sid"] for one in policy["Statement"]),
        "role": (role["RoleName"], role["AssumeRolePolicyDocument"]),
        "allowed": ast.literal_eval(allowed["PolicyDocument"]),  # as moto has that of a stack
        "log": (group["logGroupName"], group["retentionInDays"]),
        "images": len(images.list_images(repositoryName=NAME)["imageIds"]),
    }


def deploy(*arguments: str) -> int:
    """Run the command."""
    return main(["deploy", "--on", "aws", *arguments])


Image = Callable[[str], Path]
Capture = pytest.CaptureFixture[str]


def test_a_deployment_answers_at_its_url_with_least_rights_and_goes_without_a_trace(
    cloud: Cloud, image: Image, champion: Path, capsys: Capture
) -> None:
    assert deploy() == 0
    url = capsys.readouterr().out.splitlines()[-1].removeprefix("version 1 serves at ")
    asked = Request(
        f"{url}predict", json.dumps({"rows": ROWS}).encode(), {"Content-Type": "application/json"}
    )
    with urlopen(asked, timeout=30) as answer:
        assert json.load(answer)["predictions"] == BundlePredictor(
            champion / "bundles/champion"
        ).score(ROWS)
    made = state(cloud.moto)
    arn = f"arn:aws:logs:{REGION}:123456789012:log-group:/aws/lambda/{NAME}:*"
    (allowed,) = made["allowed"]["Statement"]
    assert allowed == {
        "Effect": "Allow",
        "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
        "Resource": arn,
    }
    assert made["tags"] == {account.TAG: NAME}
    assert made["throttle"] == 5
    assert made["function"]["Architectures"] == ["arm64"]
    assert deploy("--status") == 0
    assert f"the function's 1: serves at {url}" in capsys.readouterr().out
    assert deploy("--down") == 0
    assert left(cloud.moto) == []
    assert deploy("--down") == 0
    assert "does not exist" in capsys.readouterr().out
    assert deploy("--status") == 0
    assert "is not deployed" in capsys.readouterr().out


def test_the_password_of_the_repository_stays_nowhere(cloud: Cloud, image: Image) -> None:
    asked = image("first")
    assert deploy() == 0
    lines = (asked / "asked").read_text().splitlines()
    (login,) = (line for line in lines if line.startswith("login"))
    folder = Path(login.partition("config=")[2])
    password = (asked / "password").read_text()
    assert password
    assert password not in "".join(lines)
    assert folder != Path()
    assert not folder.exists()


@EACH
@pytest.mark.parametrize("fault", ["refused", "lost", "dropped"])
def test_a_deployment_that_fails_at_any_call_is_completed_or_removed(
    cloud: Cloud, image: Image, fault: str, every: int, capsys: Capture
) -> None:
    cloud.fail(0, "")
    assert deploy() == 0
    calls, wanted = [*cloud.calls], state(cloud.moto)
    assert len(calls) > 25
    assert sum(calls) > 7
    assert deploy("--down") == 0
    # Without an effect of its own, a call can only be refused.
    numbers = [n for n, changes in enumerate(calls, 1) if changes or fault == "refused"]
    for number in numbers[::every]:
        cloud.fail(number, fault)
        capsys.readouterr()
        done, line = deploy(), capsys.readouterr().err.rstrip().rpartition("\n")[2]
        assert done == (0 if fault == "dropped" else 2), (number, line)
        assert done == 0 or line.startswith("error: AWS: "), (number, line)
        cloud.fail(0, "")
        if number % 2:
            assert deploy() == 0
            assert state(cloud.moto) == wanted, number
        assert deploy("--down") == 0
        assert left(cloud.moto) == [], number


@EACH
@pytest.mark.parametrize("fault", ["refused", "lost", "dropped"])
def test_a_removal_that_fails_at_any_call_is_completed(
    cloud: Cloud, image: Image, fault: str, every: int, capsys: Capture
) -> None:
    assert deploy() == 0
    cloud.fail(0, "")
    assert deploy("--down") == 0
    calls = [*cloud.calls]
    assert sum(calls) > 2
    numbers = [n for n, changes in enumerate(calls, 1) if changes or fault == "refused"]
    for number in numbers[::every]:
        assert deploy() == 0
        cloud.fail(number, fault)
        capsys.readouterr()
        assert deploy("--down") == (0 if fault == "dropped" else 2), number
        cloud.fail(0, "")
        assert deploy("--down") == 0
        assert left(cloud.moto) == [], number


def test_a_new_version_is_live_once_it_has_answered_and_goes_back(
    cloud: Cloud, image: Image, champion: Path, capsys: Capture
) -> None:
    assert deploy() == 0
    first = state(cloud.moto)["image"]
    image("second")
    cloud.strange = json.dumps({"statusCode": 200, "body": '{"predictions": []}'}).encode()
    assert deploy() == 2
    assert "predicts otherwise than its bundle" in capsys.readouterr().err
    assert state(cloud.moto)["image"] == first
    cloud.strange = json.dumps({"statusCode": 500, "body": "no luck"}).encode()
    assert deploy() == 2
    assert "does not predict the example: 500 no luck" in capsys.readouterr().err
    cloud.strange = b""
    assert deploy() == 0
    second = state(cloud.moto)["image"]
    assert second != first
    for wanted in (first, second):
        assert deploy("--rollback") == 0
        assert "serves at" in capsys.readouterr().out
        assert state(cloud.moto)["image"] == wanted


def test_what_was_live_is_kept_and_older_versions_are_not(
    cloud: Cloud, image: Image, project: Path, capsys: Capture
) -> None:
    choices = project / "infra/deploy/aws.yaml"
    choices.write_text("keep: 2\nmemory: 512\nlog_days: 3\n")
    for what in ("first", "second", "third"):
        image(what)
        assert deploy() == 0
    capsys.readouterr()
    assert deploy("--status") == 0
    third, second = capsys.readouterr().out.splitlines()
    assert "the function's 3: serves at" in third
    assert "the function's 2: for ROLLBACK=1" in second
    made = state(cloud.moto)
    assert made["function"]["MemorySize"] == 512
    assert made["log"][1] == 3
    assert made["images"] == 2


def test_images_of_versions_that_were_refused_do_not_displace_the_one_that_is_live(
    cloud: Cloud, image: Image, project: Path, capsys: Capture
) -> None:
    choices = project / "infra/deploy/aws.yaml"
    choices.write_text("keep: 2\n")
    image("first")
    assert deploy() == 0
    image("second")
    assert deploy() == 0
    live = state(cloud.moto)
    cloud.strange = json.dumps({"statusCode": 500, "body": "no luck"}).encode()
    for what in ("third", "fourth", "fifth"):
        image(what)
        assert deploy() == 2
    assert state(cloud.moto)["images"] == 5
    cloud.strange = b""
    image("second")
    assert deploy() == 0  # of what was published in between the newest stays
    assert state(cloud.moto)["image"] == live["image"]
    assert state(cloud.moto)["images"] <= 3
    assert deploy("--rollback") == 0


def test_a_version_that_nobody_asked_for_weeks_is_woken_to_go_back_to(
    cloud: Cloud, image: Image, capsys: Capture
) -> None:
    for what in ("first", "second"):
        image(what)
        assert deploy() == 0
    cloud.asleep = 2
    assert deploy("--rollback") == 0
    assert cloud.asleep == 0


def test_a_version_that_is_gone_cannot_be_gone_back_to(
    cloud: Cloud, image: Image, capsys: Capture
) -> None:
    for what in ("first", "second"):
        image(what)
        assert deploy() == 0
    client = boto3.client("lambda", endpoint_url=f"http://127.0.0.1:{cloud.moto}")
    client.delete_function(FunctionName=NAME, Qualifier="1")
    capsys.readouterr()
    assert deploy("--rollback") == 2
    assert "version 1, which was live before, was deleted: make deploy" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a", "My-Model", "my.model", "x" * 45, "a--b", "-a"])
def test_a_name_that_aws_cannot_use_is_told_before_anything_is_made(
    cloud: Cloud, image: Image, project: Path, name: str, capsys: Capture
) -> None:
    (project / "pyproject.toml").write_text(f'[project]\nname = "{name}"\n')
    assert deploy() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{name!r} is not a valid name at AWS" in line
    assert left(cloud.moto) == []


def test_deploying_the_same_again_changes_nothing(
    cloud: Cloud, image: Image, capsys: Capture
) -> None:
    assert deploy() == 0
    before = state(cloud.moto)
    assert deploy() == 0
    assert state(cloud.moto) == before
    capsys.readouterr()
    assert deploy("--status") == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert deploy("--rollback") == 2
    assert "no version before this one; make deploy" in capsys.readouterr().err


def given(cloud: Cloud) -> dict[str, str]:
    """The variables of the deployed function."""
    return dict(state(cloud.moto)["function"]["Environment"]["Variables"])


def test_a_first_deployment_makes_a_key_shows_it_once_and_requires_it(
    cloud: Cloud, image: Image, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    assert deploy() == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "API key" in line]
    key = line.rpartition(" ")[2]
    assert read_keys(project / "keys.txt") == {"owner": hashlib.sha256(key.encode()).hexdigest()}
    hashes = given(cloud)
    assert [*hashes] == ["API_KEYS"]
    assert key not in json.dumps(hashes)
    cloud.instance, former = Lambda(project, **hashes), cloud.instance
    try:
        assert deploy() == 0  # it is tried, although it asks for a key
        assert key not in capsys.readouterr().out
        body = json.dumps({"rows": ROWS}).encode()
        kind = {"content_type": "application/json"}
        bearer = {"authorization": f"Bearer {key}"}
        assert cloud.instance.ask("POST", "/predict", body, **kind, **bearer)[0] == 200
        # Nothing that needs no key is longer than what the printed bound takes for it.
        events = [as_event("POST", "/predict", body, {"content-type": "application/json"})]
        for path in ("/", "/docs", "/openapi.json", "/metrics", "/page/about", "/health/ready"):
            events.append(as_event("GET", path, b"", {}))
        events.append(as_event("GET", f"{STATIC}/swagger-ui-bundle.js", b"", {}))
        events.append(as_event("GET", f"/{'x' * 8000}", b"", {"x-request-id": "x" * 128}))
        for event in events:
            said = cloud.instance.invoke(json.dumps(event).encode())[1]
            healthy = event["rawPath"] == "/health/ready"
            assert json.loads(said)["statusCode"] in ((200,) if healthy else (401, 404)), said
            assert len(said) <= cost.REFUSAL_BYTES - 400, "and some headers of Lambda's own"
        many = b"weight,colour\n" + b"180.0,red\n" * 400_000
        status, said = cloud.instance.ask(
            "POST", "/predict", many, content_type="text/csv", **bearer
        )
        assert (status, "send fewer rows" in said) == (413, True)
    finally:
        cloud.instance.close()
        cloud.instance = former


def test_a_clone_without_keys_keeps_the_deployed_ones_and_no_log_of_ci_shows_a_new_one(
    cloud: Cloud, image: Image, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("CI", "true")
    assert deploy() == 2
    out, err = capsys.readouterr()
    assert "API key" not in out
    assert err.startswith("error: the API has no key yet, and this log is no place to show one")
    assert not (project / "keys.txt").exists()
    assert left(cloud.moto) == []
    monkeypatch.delenv("CI")
    assert deploy() == 0
    before = given(cloud)
    (project / "keys.txt").unlink()
    monkeypatch.setenv("CI", "true")
    assert deploy() == 0
    assert given(cloud) == before
    monkeypatch.delenv("CI")
    assert main(["key", "--name", "ann"]) == 0
    assert deploy("--serving.keys", "keys.txt") == 0
    assert given(cloud)["API_KEYS"].startswith("ann ")
    assert deploy("--serving.keys", "keys.txt", "--public") == 2
    assert "PUBLIC=yes requires no key, and serving.keys is keys.txt" in capsys.readouterr().err


def test_a_public_function_takes_few_rows_and_sends_no_more_than_the_bound_says(
    cloud: Cloud, image: Image, project: Path, capsys: Capture
) -> None:
    assert deploy("--public") == 0
    assert "WARNING: anyone can use the API, at most for " in capsys.readouterr().out
    assert given(cloud) == {"PUBLIC": "yes"}
    assert not (project / "keys.txt").exists()
    kind = {"content-type": "application/json"}
    table = b"weight,colour\n" + b"1,red\n" * 5_000

    def sent(method: str, path: str, body: bytes = b"", content_type: str = "") -> int:
        event = as_event(method, path, body, {"content-type": content_type})
        said = cloud.instance.invoke(json.dumps(event).encode())[1]
        assert len(said) <= cost.PUBLIC_BYTES
        return int(json.loads(said)["statusCode"])

    for rows, status in ((100, 200), (101, 422)):
        body = json.dumps({"rows": ROWS[:1] * rows}).encode()
        assert sent("POST", "/predict", body, kind["content-type"]) == status
    assert sent("POST", "/predict", b" " * 70_000, kind["content-type"]) == 413
    assert sent("POST", "/predict", table * 3, "text/csv") == 413
    assert sent("POST", "/predict", table, "text/csv") == 413  # for the length of the response
    assert sent("GET", f"{STATIC}/swagger-ui-bundle.js") == 413
    for path in ("/", "/page/page.js", "/page/about", "/docs", "/openapi.json"):
        assert sent("GET", path) == 200


def test_going_back_to_a_public_version_has_to_be_said(
    cloud: Cloud, image: Image, capsys: Capture
) -> None:
    assert deploy("--public") == 0
    image("second")
    assert deploy() == 0
    live = state(cloud.moto)["image"]
    assert deploy("--rollback") == 2
    assert "requires no key: ROLLBACK=1 PUBLIC=yes opens the API" in capsys.readouterr().err
    assert state(cloud.moto)["image"] == live
    assert deploy("--rollback", "--public") == 0
    assert given(cloud) == {"PUBLIC": "yes"}
    assert deploy("--rollback") == 0
    assert [*given(cloud)] == ["API_KEYS"]


def test_requests_that_succeed_or_are_refused_write_no_line_beside_lambdas_own(
    project: Path, tmp_path: Path
) -> None:
    path = tmp_path / "log"
    every = {f"{PREFIX}SERVING__LOGS__REQUESTS": "all"}
    with path.open("w") as log:
        instance = Lambda(project, log, PUBLIC="yes", **every)
        try:
            assert instance.ask("GET", "/health/ready")[0] == 200
            before = path.read_text()
            body = json.dumps({"rows": ROWS}).encode()
            json_kind = {"content_type": "application/json"}
            assert instance.ask("POST", "/predict", body, **json_kind)[0] == 200
            assert instance.ask("POST", "/predict", b"{", **json_kind)[0] == 422
            assert instance.ask("GET", f"/{'x' * 8000}")[0] == 404
        finally:
            instance.close()
    assert path.read_text() == before


def error_at_start(project: Path, **environment: str) -> str:
    """Return what a function that cannot start reports to Lambda."""
    instance = Lambda(project, **environment)
    try:
        kind, said = instance.answers.get(timeout=60)
        assert kind == "error"
        return str(json.loads(said)["errorMessage"])
    finally:
        instance.close()


def test_a_function_without_keys_that_is_not_said_to_be_public_does_not_start(
    project: Path,
) -> None:
    assert "neither API keys nor PUBLIC" in error_at_start(project)


def test_a_function_of_others_is_neither_used_nor_removed(
    cloud: Cloud, image: Image, capsys: Capture
) -> None:
    at: dict[str, Any] = {"endpoint_url": f"http://127.0.0.1:{cloud.moto}"}
    role = boto3.client("iam", **at).create_role(RoleName="other", AssumeRolePolicyDocument="{}")
    about: dict[str, Any] = {"Role": role["Role"]["Arn"], "Code": {"ZipFile": b""}}
    boto3.client("lambda", **at).create_function(
        FunctionName=NAME, Runtime="python3.13", Handler="a.b", **about
    )
    before = left(cloud.moto)
    for arguments in ([], ["--down"]):
        assert deploy(*arguments) == 2
        line = capsys.readouterr().err.splitlines()[-1]
        assert line.startswith("error: function small exists, and make deploy did not create it")
        assert left(cloud.moto) == before


def test_a_stack_that_is_as_it_should_be_is_not_touched_and_any_change_reaches_it(
    cloud: Cloud, image: Image, project: Path
) -> None:
    assert deploy() == 0
    cloud.asked.clear()
    assert deploy() == 0
    assert not {"CreateStack", "UpdateStack"} & {*cloud.asked}
    template = project / account.TEMPLATE
    template.write_text(template.read_text().replace("PutLogEvents", "PutMetricData"))
    assert deploy() == 0
    assert "UpdateStack" in cloud.asked
    cloud.asked.clear()
    (project / "infra/deploy/aws.yaml").write_text("log_days: 3\n")
    assert deploy() == 0
    assert "UpdateStack" in cloud.asked


ACCOUNT = f"{REGION}:123456789012"
FUNCTION = f"arn:aws:lambda:{ACCOUNT}:function:{NAME}"
ROLE = f"arn:aws:iam::123456789012:role/{NAME}-{REGION}"
IMAGES = f"arn:aws:ecr:{ACCOUNT}:repository/{NAME}"
STACK = f"arn:aws:cloudformation:{ACCOUNT}:stack/{NAME}-deploy/1"
PUSHED = (  # what docker push calls, by Amazon ECR's documentation
    *("BatchCheckLayerAvailability", "BatchGetImage", "CompleteLayerUpload"),
    *("GetDownloadUrlForLayer", "InitiateLayerUpload", "PutImage", "UploadLayerPart"),
)
TO_LAMBDA = {"iam:PassedToService": "lambda.amazonaws.com"}
ANYONE = "arn:aws:iam::123456789012"
# How a principal that may deploy could become more than that: with these, on any of these.
ESCALATIONS = [
    (action, resource)
    for action in (
        *("iam:CreateRole", "iam:PutRolePolicy", "iam:AttachRolePolicy", "iam:CreatePolicy"),
        *("iam:CreatePolicyVersion", "iam:SetDefaultPolicyVersion", "iam:TagRole"),
        *("iam:UpdateAssumeRolePolicy", "iam:PutRolePermissionsBoundary"),
        *("iam:DeleteRolePermissionsBoundary", "iam:PutUserPolicy", "iam:AttachUserPolicy"),
        *("iam:PutGroupPolicy", "iam:AttachGroupPolicy", "iam:AddUserToGroup"),
        *("iam:CreateUser", "iam:CreateAccessKey", "iam:CreateLoginProfile"),
        *("iam:UpdateLoginProfile", "iam:CreateInstanceProfile", "iam:AddRoleToInstanceProfile"),
        *("iam:CreateServiceLinkedRole", "iam:CreateOpenIDConnectProvider", "sts:AssumeRole"),
        *(
            "cloudformation:CreateStack",
            "cloudformation:UpdateStack",
            "cloudformation:SetStackPolicy",
        ),
        *("cloudformation:CreateChangeSet", "cloudformation:ExecuteChangeSet", "ec2:RunInstances"),
        *("ecr:SetRepositoryPolicy", "ecr:CreateRepository", "lambda:AddLayerVersionPermission"),
        *("lambda:CreateEventSourceMapping", "codebuild:CreateProject", "glue:CreateDevEndpoint"),
        *("ssm:SendCommand", "sagemaker:CreateNotebookInstance", "logs:CreateLogGroup"),
    )
    for resource in (
        *(ROLE, f"{ANYONE}:role/{NAME}-github", f"{ANYONE}:role/admin", f"{ANYONE}:user/ann"),
        *(f"{ANYONE}:policy/own", f"{ANYONE}:group/all", STACK, FUNCTION, IMAGES, "*"),
    )
] + [
    (f"lambda:{name}", f"arn:aws:lambda:{ACCOUNT}:function:{other}")
    for name in (
        *("UpdateFunctionCode", "UpdateFunctionConfiguration", "CreateFunction", "AddPermission"),
        *("InvokeFunction", "CreateFunctionUrlConfig", "DeleteFunction"),
    )
    for other in ("admin", f"{NAME}-2", f"a-{NAME}")
]


def listed(one: Any) -> list[str]:
    """A policy's one or many words."""
    return [one] if isinstance(one, str) else one


def may(policy: Any, action: str, resource: str, **context: str) -> bool:
    """Whether a policy that only allows does so, by IAM's rules for what it is made of."""
    for one in policy["Statement"]:
        assert {*one} <= {"Sid", "Effect", "Action", "Resource", "Condition"}
        assert one["Effect"] == "Allow"
        conditions = one.get("Condition", {"StringEquals": {}})
        assert [*conditions] == ["StringEquals"]
        if (
            any(fnmatchcase(action.lower(), pattern.lower()) for pattern in listed(one["Action"]))
            and any(fnmatchcase(resource, pattern) for pattern in listed(one["Resource"]))
            and conditions["StringEquals"].items() <= context.items()
        ):
            return True
    return False


def needed(name: str, sent: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, str]]]:
    """The rights to a call of boto3, `service.Operation`: action, resource and context."""
    service, operation = name.split(".")
    if service == "lambda":
        target = f"{FUNCTION}:{sent['Qualifier']}" if "Qualifier" in sent else FUNCTION
        assert sent["FunctionName"] == NAME
        yield f"lambda:{operation.replace('Invoke', 'InvokeFunction')}", target, {}
        if "Role" in sent:
            yield "iam:PassRole", sent["Role"], TO_LAMBDA
        if "Tags" in sent:
            yield "lambda:TagResource", target, {}
        if operation == "GetFunction":
            yield "lambda:ListTags", target, {}
    elif operation == "GetAuthorizationToken":
        yield "ecr:GetAuthorizationToken", "*", {}
        yield from ((f"ecr:{pushed}", IMAGES, {}) for pushed in PUSHED)
    else:
        yield f"{service}:{operation}", {"ecr": IMAGES, "cloudformation": STACK}[service], {}


def test_the_role_of_github_may_do_what_a_deployment_calls_and_cannot_become_more(
    cloud: Cloud, image: Image, project: Path
) -> None:
    given = {"Project": NAME, "Repository": f"me/{NAME}", "Provider": f"{ANYONE}:oidc-provider/x"}
    boto3.client("cloudformation").create_stack(
        StackName=f"{NAME}-deploy",
        TemplateBody=(project / account.TEMPLATE).read_text(),
        Parameters=[{"ParameterKey": one, "ParameterValue": given[one]} for one in given],
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    found = boto3.client("iam").get_role_policy(RoleName=f"{NAME}-github", PolicyName="deploy")
    policy = ast.literal_eval(found["PolicyDocument"])
    called = list[tuple[str, dict[str, Any]]]()

    def record(model: Any, params: Any, **_: Any) -> None:
        name = f"{model.service_model.service_name}.{model.name}"
        called.append((name, dict(params)))

    assert boto3.DEFAULT_SESSION is not None
    boto3.DEFAULT_SESSION.events.register("before-parameter-build", record)
    less = "keep: 2\nmemory: 512\n"
    for what, choices in (("first", ""), ("second", ""), ("third", less), ("fourth", less)):
        (project / "infra/deploy/aws.yaml").write_text(choices)
        image(what)
        assert deploy() == 0
        assert what != "second" or deploy("--rollback") == 0
    assert deploy("--status") == 0
    rights = [right for call in called for right in needed(*call)]
    assert len(dict.fromkeys(action for action, _, _ in rights)) > 25
    refused = {right[:2] for right in rights if not may(policy, *right[:2], **right[2])}
    assert refused == set()
    offered = {action for one in policy["Statement"] for action in listed(one["Action"])}
    assert offered == {action for action, _, _ in rights}, "a right that no call needs"

    assert [one for one in ESCALATIONS if may(policy, *one, **TO_LAMBDA)] == []
    operations = boto3.client("iam").meta.service_model.operation_names
    for resource in {resource for _, resource in ESCALATIONS}:
        assert not [one for one in operations if may(policy, f"iam:{one}", resource, **TO_LAMBDA)]
    assert may(policy, "iam:PassRole", ROLE, **TO_LAMBDA)
    assert not may(policy, "iam:PassRole", f"{ANYONE}:role/admin", **TO_LAMBDA)
    assert not may(policy, "iam:PassRole", ROLE, **{"iam:PassedToService": "ec2.amazonaws.com"})


def test_an_account_with_little_room_goes_without_a_throttle(
    cloud: Cloud, image: Image, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("MOTO_LAMBDA_CONCURRENCY_QUOTA", "10")
    assert deploy() == 0
    assert "note: this account cannot reserve 5 instances" in capsys.readouterr().out


def test_a_plan_needs_no_account_and_tells_the_cost(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    for name in [*os.environ]:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("socket.create_connection", None)
    monkeypatch.setattr("boto3.client", None)
    assert deploy("--dry-run") == 0
    out = capsys.readouterr().out
    for part in ("stack", "log group", "role", "repository", "function", "URL"):
        assert f"\n  {part}" in out
    # 10 million requests of 35 ms with 1 GB, by hand: 2 dollars, 5.83 of compute, 3 of logs.
    assert cost.monthly(10_000_000, 1024) == pytest.approx(10.85, abs=0.01)
    for requests in (0, 10_000, 10_000_000):
        dollars = cost.monthly(requests, 1024)
        assert f"{requests:>13,} requests a month: {dollars:>9.2f} USD" in out


@pytest.mark.parametrize("public", [True, False])
def test_the_bound_has_all_that_others_can_cause_and_adds_up(public: bool) -> None:
    lines = cost.format_costs(1024, 5, 5, 365, public).splitlines()
    assert max(map(len, lines)) <= 80
    rows = [line.split() for line in lines if line.startswith("  ") and "month" not in line]
    found = {row[0]: float(row[-1].replace(",", "")) for row in rows}
    assert [*found] == ["requests", "compute", "log", "egress", "images", "sum,"]
    assert found.pop("sum,") == pytest.approx(sum(found.values()), abs=0.001)
    for line in rows[:-1]:  # each is what its own line says
        how = " ".join(line[1:-1]).replace(",", "")
        for unit in (" a million", " GB", " s"):
            how = how.replace(unit, "/1e6" if "million" in unit else "")
        allowed = 0.01 + 0.001 * found[line[0]]  # its numbers are rounded
        assert eval(how.replace(" x ", "*")) == pytest.approx(found[line[0]], abs=allowed)
    # By hand: 5 instances, 10 requests a second each, a month of 30 days.
    requests = 5 * 10 * 30 * 86_400
    sent = 65_536 + 1_024 if public else 1_024
    assert found["egress"] == pytest.approx(requests * sent / 1e9 * 0.09, abs=0.01)
    assert found["requests"] == pytest.approx(requests * 0.2e-6, abs=0.01)


@pytest.mark.parametrize(
    ("arguments", "removed", "complaint"),
    [
        (["--host", "local"], "", "ON=aws takes no HOST and no PORT"),
        (["--status"], "AWS_ACCESS_KEY_ID", "no credentials for AWS: run aws configure"),
        (["--status"], "AWS_DEFAULT_REGION", "no AWS region: run aws configure"),
    ],
)
def test_what_is_missing_is_told_in_a_line(
    arguments: list[str],
    removed: str,
    complaint: str,
    cloud: Cloud,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    if removed:
        monkeypatch.delenv(removed)
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY") if "KEY" in removed else None
    boto3.setup_default_session()
    assert deploy(*arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert complaint in line


def test_a_url_that_does_not_answer_is_told(
    cloud: Cloud, image: Image, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(function, "PUBLIC", {"url": function.PUBLIC["url"]})
    assert deploy() == 2
    assert "does not respond: 403" in capsys.readouterr().err


def test_files_and_mistakes_are_answered_as_the_api_does(instance: Lambda, champion: Path) -> None:
    predictor = BundlePredictor(champion / "bundles/champion")
    answers = predictor.score(ROWS)
    table = b"weight,colour\n180.0,red\n90.5,\n"
    status, said = instance.ask("POST", "/predict", table, content_type="text/csv")
    assert status == 200
    labels = [line.split(",")[0].strip('"') for line in said.splitlines()[1:]]
    assert labels == [answer["label"] for answer in answers]
    for body, wanted in ((b"{", 422), (b'{"rows": []}', 422), (b'{"rows": [{"weight": -1}]}', 422)):
        assert instance.ask("POST", "/predict", body, content_type="application/json")[0] == wanted
    assert instance.ask("POST", "/predict", b"x", content_type="application/pdf")[0] == 415
    assert instance.ask("GET", "/nothing")[0] == 404
    assert instance.ask("GET", "/health/live")[0] == 200


def test_a_champion_that_cannot_be_loaded_is_told_to_lambda(project: Path) -> None:
    (project / "bundles/champion/model.onnx").unlink()
    assert "model.onnx" in error_at_start(project, PUBLIC="yes")
