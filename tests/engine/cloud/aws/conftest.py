"""An AWS account for the tests: moto, and before it what moto has not, and faults.

moto knows neither quotas of EC2 nor `SimulatePrincipalPolicy`: these are
answered here, the last by reading the policies that the role has in moto.
"""

from __future__ import annotations

import ast
import fnmatch
import http.client
import json
import os
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import boto3
import pytest
from moto.server import ThreadedMotoServer

from coldstart.cloud.aws import _stack as stack
from coldstart.cloud.aws import _termination as termination
from engine.support import TEMPLATE as PROJECT_TEMPLATE

TEMPLATE = PROJECT_TEMPLATE / "infra/aws/account.yaml"
NAME, OTHERS = "small", "theirs"
IMAGE = "ami-12c6146b"  # one that moto has everywhere
HERE, THERE, ELSEWHERE = "eu-central-1", "us-east-1", "us-west-2"
SETTINGS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": HERE,
    "AWS_EC2_METADATA_DISABLED": "true",
}
Fault = tuple[int, str, str]  # status, code, message
Headers = list[tuple[str, str]]


class Aws:
    """What AWS_ENDPOINT_URL names.

    Attributes
    ----------
    calls
        Region and action of each call.
    faults
        What is answered instead, by region (or `*`) and action, and how many times.
    quotas
        How many processors, by the quota's code.
    changed
        What becomes of moto's answers, by action.
    off
        Seconds by which AWS' clock differs from this machine's.
    """

    def __init__(self, moto: int) -> None:
        self.moto = moto
        self.calls = list[tuple[str, str]]()
        self.faults = dict[tuple[str, str], list[Any]]()
        self.quotas = dict[str, float]()
        self.off = 0.0
        self.changed: dict[str, Callable[[bytes], bytes]] = {"DeleteStack": self.deleted}
        self.instead: dict[str, Callable[[str, dict[str, Any]], str]] = {
            "DescribeRegions": self.three_regions,
            "SimulatePrincipalPolicy": self.simulated,
            "GetServiceQuota": self.quota,
            "GetAWSDefaultServiceQuota": lambda region, asked: '{"Quota": {"Value": 5.0}}',
        }

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # or each answer waits for 40 ms

            def do_any(asker) -> None:  # noqa: N805 (self is the account)
                body = asker.rfile.read(int(asker.headers.get("Content-Length") or 0))
                self.serve(asker, body)

            do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_any  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def client(self, service: str, region: str = HERE) -> Any:
        """A client that goes to moto itself, for what a test prepares and looks at."""
        return boto3.client(
            service, region_name=region, endpoint_url=f"http://127.0.0.1:{self.moto}"
        )

    def fail(self, action: str, fault: Fault, region: str = "*", times: int = 10**9) -> None:
        """Let calls fail from now on."""
        self.faults[region, action] = [fault, times]

    def serve(self, asker: BaseHTTPRequestHandler, body: bytes) -> None:
        """Answer a call."""
        scope = asker.headers.get("Authorization", "").partition("Credential=")[2].split("/")
        region, service = scope[2:4] if len(scope) > 3 else ("", "")
        fields = {}
        if asker.headers.get("Content-Type", "").startswith("application/x-www-form"):
            fields = dict(urllib.parse.parse_qsl(body.decode()))
        target = asker.headers.get("X-Amz-Target", "").rpartition(".")[2]
        action = fields.get("Action") or target or asker.command
        self.calls.append((region, action))
        status, headers, answer = 200, list[tuple[str, str]](), b""
        fault = self.faults.get((region, action)) or self.faults.get(("*", action))
        if fault and fault[1] > 0:
            fault[1] -= 1
            status, answer = fault[0][0], error(service, *fault[0][1:])
        elif action in self.instead and (action != "DescribeRegions" or "AllRegions" not in fields):
            asked = fields or json.loads(body)
            try:
                answer = self.instead[action](region, asked).encode()
            except LookupError:
                status, answer = 400, error(service, "NoSuchResourceException", "none")
        else:
            status, headers, answer = self.done(asker, body)
            answer = self.changed.get(action, bytes)(answer)
        self.reply(asker, status, headers, answer)

    def reply(
        self, asker: BaseHTTPRequestHandler, status: int, headers: Headers, answer: bytes
    ) -> None:
        """Send an answer, with AWS' time on it."""
        dropped = ("date", "content-length", "connection", "transfer-encoding", "server")
        asker.send_response_only(status)
        for name, value in headers:
            if name.lower() not in dropped:
                asker.send_header(name, value)
        asker.send_header("Date", formatdate(time.time() + self.off, usegmt=True))
        asker.send_header("Content-Length", str(len(answer)))
        asker.end_headers()
        if asker.command != "HEAD":
            asker.wfile.write(answer)

    def done(self, asker: BaseHTTPRequestHandler, body: bytes) -> tuple[int, Headers, bytes]:
        """What moto answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.moto)
        connection.request(asker.command, asker.path, body, dict(asker.headers))
        said = connection.getresponse()
        answer = said.read()
        connection.close()
        return said.status, said.getheaders(), answer

    def deleted(self, answer: bytes) -> bytes:
        """Delete the policies that moto forgets when a stack goes."""
        iam = self.client("iam")
        for one in iam.list_policies(Scope="Local")["Policies"]:
            iam.delete_policy(PolicyArn=one["Arn"])
        return answer

    def three_regions(self, region: str, asked: dict[str, Any]) -> str:
        """All that moto has would only take time."""
        items = "".join(
            f"<item><regionName>{name}</regionName></item>" for name in (HERE, THERE, ELSEWHERE)
        )
        return f"<R><regionInfo>{items}</regionInfo></R>"

    def quota(self, region: str, asked: dict[str, Any]) -> str:
        """A quota of EC2."""
        return json.dumps({"Quota": {"Value": self.quotas[asked["QuotaCode"]]}})

    def simulated(self, region: str, asked: dict[str, Any]) -> str:
        """What the policies of a role say of an action."""
        context = {
            asked[f"ContextEntries.member.{n}.ContextKeyName"]: asked[
                f"ContextEntries.member.{n}.ContextKeyValues.member.1"
            ]
            for n in (1, 2)
            if f"ContextEntries.member.{n}.ContextKeyName" in asked
        }
        role = asked["PolicySourceArn"].rpartition("/")[2]
        action, resource = asked["ActionNames.member.1"], asked.get("ResourceArns.member.1", "*")
        may = allowed(self.statements(role), action, resource, context)
        decision = "allowed" if may else "implicitDeny"
        return (
            "<R><SimulatePrincipalPolicyResult><EvaluationResults><member>"
            f"<EvalActionName>{action}</EvalActionName><EvalDecision>{decision}</EvalDecision>"
            "</member></EvaluationResults></SimulatePrincipalPolicyResult></R>"
        )

    def statements(self, role: str) -> list[dict[str, Any]]:
        """What a role is allowed."""
        iam = self.client("iam")
        names = iam.list_role_policies(RoleName=role)["PolicyNames"]
        found = [iam.get_role_policy(RoleName=role, PolicyName=name) for name in names]
        texts = [policy["PolicyDocument"] for policy in found]
        # What comes from a stack moto keeps as Python would write it.
        read = [ast.literal_eval(text) if isinstance(text, str) else text for text in texts]
        return [one for policy in read for one in policy["Statement"]]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def allowed(
    statements: list[dict[str, Any]], action: str, resource: str, context: dict[str, str]
) -> bool:
    """Whether statements that only allow, with conditions on strings, allow an action."""

    def listed(value: Any) -> list[str]:
        return [value] if isinstance(value, str) else list(value)

    def met(kind: str, key: str, wanted: Any) -> bool:
        assert kind in ("StringEquals", "StringLike")
        return any(fnmatch.fnmatchcase(context.get(key, ""), one) for one in listed(wanted))

    for one in statements:
        assert one["Effect"] == "Allow"
        if (
            any(fnmatch.fnmatchcase(action, pattern) for pattern in listed(one["Action"]))
            and any(fnmatch.fnmatchcase(resource, pattern) for pattern in listed(one["Resource"]))
            and all(
                met(kind, key, wanted)
                for kind, keys in one.get("Condition", {}).items()
                for key, wanted in keys.items()
            )
        ):
            return True
    return False


def error(service: str, code: str, message: str) -> bytes:
    """An error in the words of a service."""
    if service in ("ecr", "servicequotas"):
        return json.dumps({"__type": code, "message": message}).encode()
    inner = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    if service == "ec2":
        return f"<Response><Errors>{inner}</Errors></Response>".encode()
    return inner.encode() if service == "s3" else f"<ErrorResponse>{inner}</ErrorResponse>".encode()


@pytest.fixture(scope="package")
def moto() -> Iterator[int]:
    """The port of moto's server."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    yield port
    server.stop()


@pytest.fixture
def aws(moto: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    """An empty account, reached as AWS is, from a project's folder."""
    urlopen(Request(f"http://127.0.0.1:{moto}/moto-api/reset", method="POST")).close()
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    Path("pyproject.toml").write_text(f'[project]\nname = "{NAME}"\n')
    Path("config.yaml").write_text("data: {table: none.csv}\n")
    Path("infra/aws").mkdir(parents=True)
    Path("infra/aws/account.yaml").write_text(TEMPLATE.read_text())
    made = Aws(moto)
    monkeypatch.setenv("AWS_ENDPOINT_URL", made.address)
    monkeypatch.setattr(termination, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(termination, "TIMEOUT", 2.0)
    monkeypatch.setattr(stack, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(stack, "TIMEOUT", 10.0)
    boto3.setup_default_session()
    yield made
    made.close()
