"""A machine that is not on AWS gets keys of a bucket there for its own job and time alone.

moto gives out the temporary keys, but does not look at their policy: the policy that it was sent is
compared with each call of a real worker that uses these keys.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest
import yaml

from coldstart.cli._commands import Train
from coldstart.cli._main import build
from coldstart.cloud._job import Job
from coldstart.cloud._packing import pack
from coldstart.cloud._request import LaunchRequest
from coldstart.cloud._store import Store
from coldstart.cloud.aws._session import make_policy
from coldstart.cloud.skypilot import _environment as skypilot
from coldstart.cloud.skypilot import _task as tasks
from coldstart.cloud.skypilot._launcher import SkyPilotLauncher
from coldstart.errors import UserError
from engine.cloud.aws.conftest import allowed
from engine.cloud.conftest import Bucket
from engine.support import PROJECT, TEMPLATE

ID = "abcdef01" + "0" * 24
KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}


class Call(NamedTuple):
    """A call to S3, as a policy names it."""

    key: str
    action: str
    resource: str
    prefix: str


class Aws:
    """moto behind a recorder of calls.

    Attributes
    ----------
    calls
        All calls to S3.
    asked
        The calls of `GetFederationToken`.
    answer
        What is answered to `GetFederationToken` instead: status and body.
    full
        Whether parts of large objects are refused.
    changed
        What becomes of moto's answer to `GetFederationToken`.
    """

    def __init__(self, bucket: Bucket) -> None:
        self.moto = bucket.moto
        self.calls: list[Call] = []
        self.asked: list[dict[str, str]] = []
        self.answer: tuple[str, bytes] | None = None
        self.full = False
        self.changed: Callable[[bytes], bytes] = bytes

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        body = b""
        if environ["REQUEST_METHOD"] == "POST":
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = io.BytesIO(body)
        if environ["PATH_INFO"] == "/":
            self.asked.append(dict(urllib.parse.parse_qsl(body.decode())))
            if self.answer:
                start(self.answer[0], [("Content-Length", str(len(self.answer[1])))])
                return [self.answer[1]]
            return [self.changed(b"".join(self.moto(environ, start)))]
        found = list(name_calls(environ, body))
        self.calls += found
        if self.full and "partNumber" in environ["QUERY_STRING"]:
            start("403 Forbidden", [("Content-Length", "0")])
            return []
        return self.moto(environ, start)


def name_calls(environ: dict[str, Any], body: bytes) -> Iterable[Call]:
    """Yield what a request to S3 is in a policy's words: one call for each object."""
    method = environ["REQUEST_METHOD"]
    asked = dict(urllib.parse.parse_qsl(environ["QUERY_STRING"], keep_blank_values=True))
    key = environ.get("HTTP_AUTHORIZATION", "").partition("Credential=")[2].partition("/")[0]
    bucket, _, name = environ["PATH_INFO"].lstrip("/").partition("/")
    resource = f"arn:aws:s3:::{bucket}/{name}" if name else f"arn:aws:s3:::{bucket}"
    if method == "POST" and "delete" in asked:
        for one in re.findall("<Key>(.*?)</Key>", body.decode()):
            yield Call(key, "s3:DeleteObject", f"{resource}/{one}", "")
    elif not name:
        assert method in ("GET", "HEAD"), environ
        yield Call(key, "s3:ListBucket", resource, asked.get("prefix", ""))
    elif method == "DELETE":
        action = "s3:AbortMultipartUpload" if "uploadId" in asked else "s3:DeleteObject"
        yield Call(key, action, resource, "")
    else:
        yield Call(
            key, "s3:PutObject" if method in ("PUT", "POST") else "s3:GetObject", resource, ""
        )


@pytest.fixture
def aws(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Aws:
    """The account of the object store."""
    made = Aws(bucket)
    monkeypatch.setattr(bucket, "moto", made)
    return made


class Started(NamedTuple):
    """A job that was started: its task, as SkyPilot got it."""

    task: dict[str, Any]

    @property
    def keys(self) -> dict[str, str]:
        return {name: one for name, one in self.task["secrets"].items() if name != "CODE"}


Start = Callable[..., Started]


@pytest.fixture
def start(project: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> Start:
    """`start(secrets, hours)`: start a job on GCP whose table and store are in a bucket on AWS."""
    rows = pl.read_csv("data/raw/houses.csv")
    rows.write_parquet("rows.parquet")
    store.put("data/1.parquet", Path("rows.parquet"))
    config = yaml.safe_load(Path("config.yaml").read_text())
    config |= {"data": {"table": f"{store.address}/data/*.parquet"}, "models": ["linear"]}
    Path("config.yaml").write_text(yaml.safe_dump(config))
    tasks.FILE.parent.mkdir()

    def begin(secrets: dict[str, str], hours: float = 0.5) -> Started:
        text = re.sub("STORE: .*", f"STORE: {store.address}", (TEMPLATE / tasks.FILE).read_text())
        tasks.FILE.write_text(f"{text}\nsecrets: {json.dumps(secrets)}\n")
        request = LaunchRequest(build(PROJECT, Train, []), "gcp", gpu="none", hours=hours)
        pack(request.settings, packed := Path("inputs.tar.gz"))
        Store(f"{store.address}/inputs").put("1.tar.gz", packed)
        launcher = SkyPilotLauncher("gcp")
        launcher.task = tasks.apply_request(tasks.read_task(), request)
        launcher.inputs, launcher.code = f"{store.address}/inputs/1.tar.gz", "https://code"
        got: list[dict[str, Any]] = []
        monkeypatch.setattr(skypilot, "call", lambda name, given, *_: got.append(given["config"]))
        launcher.start(request, Job(ID, "houses", ["train"], int(time.time() + 3600 * hours)))
        return Started(got[0])

    return begin


def test_the_machine_may_do_what_its_job_does_and_nothing_else(
    start: Start, aws: Aws, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = start(KEYS)
    (asked,) = aws.asked
    assert asked["Action"] == "GetFederationToken"
    assert 1800 <= int(asked["DurationSeconds"]) <= 2600
    assert len(asked["Policy"]) < 2048  # AWS' limit
    assert {*job.keys} == {*KEYS, "AWS_SESSION_TOKEN"}
    assert not set(job.keys.values()) & set(KEYS.values())

    aws.calls.clear()
    for name in KEYS:
        monkeypatch.delenv(name)
    mine = {name: one for name, one in os.environ.items() if not name.startswith("MLFLOW")}
    given = {**job.task["envs"], **job.keys, "SNAPSHOT_SECONDS": "0.2"}
    (tmp_path / "machine").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", *job.task["envs"]["WORKER"].split()],
        cwd=tmp_path / "machine",
        env=mine | given,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for name, value in job.keys.items():
        monkeypatch.setenv(name, value)
    large = tmp_path / "large"
    large.write_bytes(bytes(9 * 2**20))
    aws.full = True  # an object of several parts, whose upload breaks off
    with pytest.raises(UserError):
        Store(job.task["envs"]["STORE"]).put("objects/large", large)

    statements = json.loads(asked["Policy"])["Statement"]
    assert {call.key for call in aws.calls} == {job.keys["AWS_ACCESS_KEY_ID"]}
    for call in aws.calls:
        context = {"s3:prefix": call.prefix}
        assert allowed(statements, call.action, call.resource, context), call
    for one in statements:  # and each right is needed for some call
        for action, resource in itertools.product(one["Action"], one["Resource"]):
            right = one | {"Action": action, "Resource": resource}
            assert any(
                allowed([right], call.action, call.resource, {"s3:prefix": call.prefix})
                for call in aws.calls
            ), right
    here = store.address.replace("s3://", "arn:aws:s3:::")
    for action, resource, prefix in (
        ("s3:GetObject", f"{here}/jobs/another/snapshots/1.json", ""),
        ("s3:GetObject", f"{here}/inputs/another.tar.gz", ""),
        ("s3:PutObject", f"{here}/inputs/1.tar.gz", ""),
        ("s3:PutObject", f"{here}/data/1.parquet", ""),
        ("s3:DeleteObject", f"{here}/data/1.parquet", ""),
        ("s3:ListBucket", here.partition("/")[0], ""),
        ("s3:ListBucket", here.partition("/")[0], f"{store.prefix}/jobs/"),
        ("s3:GetObject", "arn:aws:s3:::another/data/1.parquet", ""),
        ("ec2:RunInstances", "*", ""),
    ):
        assert not allowed(statements, action, resource, {"s3:prefix": prefix}), (action, resource)


DENIED = b"<E><Error><Code>AccessDenied</Code><Message>not you</Message></Error></E>"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (("403 Forbidden", DENIED), "AWS: GetFederationToken: AccessDenied: not you"),
        (("200 OK", b""), "AWS narrows a root user's for an hour at most"),
    ],
)
def test_keys_that_aws_does_not_narrow_go_as_they_are_and_a_line_says_so(
    start: Start,
    aws: Aws,
    answer: tuple[str, bytes],
    reason: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if answer[1]:
        aws.answer = answer
    else:
        soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60)).encode()
        aws.changed = lambda said: re.sub(b"(?<=<Expiration>)[^<]+", soon, said)
    assert start(KEYS, 1.5).keys == KEYS
    assert len(aws.asked) == 1
    line = f"warning: machines get your own keys of the bucket, with all their rights: {reason}\n"
    assert capsys.readouterr().out == line


NARROWED = "machines get keys for this job's objects and time alone, if AWS grants them"
OWN = "machines get your own keys of the bucket, with all their rights: "


@pytest.mark.parametrize(
    ("secrets", "hours", "note"),
    [
        ({}, 1, ""),
        (KEYS, 35.8, NARROWED),
        (KEYS, 36, f"{OWN}AWS narrows keys for 36 h at most"),
        (
            {**KEYS, "AWS_ENDPOINT_URL": "https://r2.example"},
            1,
            f"{OWN}AWS_ENDPOINT_URL is set, and only AWS narrows keys",
        ),
        (
            {**KEYS, "AWS_SESSION_TOKEN": "short"},
            1,
            f"{OWN}AWS narrows no keys that are temporary already",
        ),
    ],
)
def test_the_plan_says_which_keys_machines_get_and_asks_no_one(
    start: Start, aws: Aws, secrets: dict[str, str], hours: float, note: str
) -> None:
    assert (start(secrets, hours).keys == secrets) == (note != NARROWED)
    assert len(aws.asked) == (note == NARROWED)
    place = {"region": "us", "price": 1.0, "highest": 1.0, "resources": {}}
    offer = {"machine": "GCP", "cloud": "gcp", "disk": 9, "regions": 1, "resources": {}}
    found = {"offers": [{**offer, "places": [place]}], "date": "2026-11-30", "controller": ""}
    launcher = SkyPilotLauncher("gcp")
    launcher.task = tasks.read_task(dry_run=True)
    request = LaunchRequest(build(PROJECT, Train, []), "gcp", hours=hours, dry_run=True)
    aws.asked.clear()
    notes = [one for one in launcher.choose(request, found).notes if "keys" in one]
    assert notes == ([note] if note else [])
    assert aws.asked == []


def test_keys_of_a_job_of_a_minute_are_asked_for_as_long_as_aws_wants(
    start: Start, aws: Aws
) -> None:
    start(KEYS, 1 / 60)
    assert [one["DurationSeconds"] for one in aws.asked] == ["900"]


@pytest.mark.parametrize(
    ("table", "objects", "folder"),
    [
        (Path("data/raw"), None, None),
        ("s3://mine/data/rows.parquet", "mine/data/rows.parquet", None),
        ("s3://mine/data/", "mine/data/*", "data/"),
        ("s3://yours/data", "yours/data/*", "data/"),
        ("s3://mine/data/part-[0-9].parquet", "mine/data/part-?.parquet", "data/"),
        ("s3://mine/a/b/20??-*", "mine/a/b/20??-*", "a/b/"),
    ],
)
def test_the_table_may_be_read_wherever_it_is(
    table: Path | str, objects: str | None, folder: str | None
) -> None:
    policy = make_policy("aws-cn", "s3://mine/jobs/1", "s3://mine/inputs/2.tar.gz", table)
    read, kept, listed, *more = policy["Statement"]
    assert kept["Resource"] == ["arn:aws-cn:s3:::mine/jobs/1/*"]
    assert listed["Condition"] == {"StringLike": {"s3:prefix": "jobs/1/*"}}
    tables = [f"arn:aws-cn:s3:::{objects}"] if objects else []
    assert read["Resource"] == ["arn:aws-cn:s3:::mine/inputs/2.tar.gz", *tables]
    assert [one["Condition"]["StringLike"]["s3:prefix"] for one in more] == (
        [folder] if folder else []
    )
    for one in more:
        assert one["Resource"] == [tables[0].partition("/")[0]]
