"""A small project, and an object store that can be made to fail."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import boto3
import pytest
import yaml
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from coldstart.cloud._store import Store

COLUMNS = {
    "size": {"type": "number"},
    "age": {"type": "number"},
    "price": {"type": "number", "role": "target", "nullable": False},
}
CONFIG = {
    "data": {"table": "data/raw/houses.csv"},
    "split": {"cross_validate_below": 0},
    "neural": {"epochs": 24, "patience": 24, "batch_size": 32, "checkpoint_seconds": 0},
    "models": ["neural"],
}
BUSY = b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"


class Quiet(WSGIRequestHandler):
    """Logs no request."""

    def log_request(self, *_: Any) -> None:
        pass


class Bucket:
    """moto's S3, which responds with 503 while `busy`."""

    def __init__(self) -> None:
        self.busy = False
        self.moto = DomainDispatcherApplication(create_backend_app)
        self.server = make_server("127.0.0.1", 0, self.answer, threaded=True, request_handler=Quiet)
        self.address = f"http://127.0.0.1:{self.server.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        if self.busy and environ["REQUEST_METHOD"] != "HEAD":
            start("503 Slow Down", [("Content-Length", str(len(BUSY)))])
            return [BUSY]
        answered: Iterable[bytes] = self.moto(environ, start)
        return answered


@pytest.fixture(scope="session")
def bucket() -> Iterator[Bucket]:
    """A store for all tests; each has a folder of its own."""
    server = Bucket()
    yield server
    server.server.shutdown()


@pytest.fixture
def store(bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Store:
    """An empty folder of the bucket."""
    for name, value in {
        "AWS_ENDPOINT_URL": bucket.address,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="jobs")
    return Store(f"s3://jobs/{tmp_path.name}")


def write_project(folder: Path) -> Path:
    """Write a project about houses and their prices, for which a network takes a few seconds."""
    Path(folder, "data/raw").mkdir(parents=True)
    rows = "\n".join(f"{i % 97},{i % 89},{i % 97 // 3 * 50 + i % 89 // 20}" for i in range(1200))
    (folder / "data/raw/houses.csv").write_text("size,age,price\n" + rows)
    contract = {"columns": COLUMNS}
    (folder / "schema.yaml").write_text(yaml.safe_dump(contract, sort_keys=False))
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    return folder


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project about houses, as the working directory."""
    folder = write_project(tmp_path / "home")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    return folder


Waited = Callable[[Callable[[], Any], str], Any]


@pytest.fixture
def wait() -> Waited:
    """`wait(condition, what)`: what it returned when it was first true; a minute at most."""

    def until(condition: Callable[[], Any], what: str) -> Any:
        paused = threading.Event()
        for _ in range(6000):
            if found := condition():
                return found
            paused.wait(0.1)
        raise AssertionError(f"{what} did not happen within ten minutes")

    return until
