"""Watching: what the API tells of itself."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from coldstart.bundle._predictor import BundlePredictor
from coldstart.config._sections import PredictionLogSettings, ServingSettings
from coldstart.errors import UserError
from coldstart.serve import _prediction_log as record
from coldstart.serve import open_app
from engine.support import PROJECT

ROW = {"grade": "A", "bruised": False, "weight": 120.0, "colour": "red", "picked": "2024-06-30"}
Sealed = Callable[..., Path]
Server = Callable[..., AbstractContextManager[httpx2.Client]]
Client = Callable[..., TestClient]


@pytest.fixture
def client(champion: Path) -> Client:
    """`client(**serving)`: the API of version 1, with these settings."""
    return lambda **serving: TestClient(open_app(PROJECT, champion, ServingSettings(**serving)))


def counted(api: TestClient | httpx2.Client, series: str) -> float:
    """Value of one series of the metrics."""
    lines = api.get("/metrics").text.splitlines()
    values = [float(line.rpartition(" ")[2]) for line in lines if line.startswith(series + " ")]
    return values[0] if values else 0.0


def test_requests_rows_and_versions_are_counted(client: Client) -> None:
    with client() as api:
        api.post("/predict", json={"rows": [ROW, ROW]})
        api.post("/predict", json={"rows": []})
        api.get("/nowhere")
        assert counted(api, 'api_request_seconds_count{path="/predict",status="200"}') == 1
        assert counted(api, 'api_request_seconds_count{path="/predict",status="422"}') == 1
        assert counted(api, 'api_request_seconds_count{path="other",status="404"}') == 1
        assert counted(api, 'api_rows_total{role="champion",version="1"}') == 2
        assert counted(api, 'model_info{family="linear",role="champion",version="1"}') == 1
        assert counted(api, "api_requests_in_progress") == 1  # the one that asks


def test_the_drift_that_was_found_last_is_among_the_metrics(client: Client, tmp_path: Path) -> None:
    folder = tmp_path / "served"
    with client(record=PredictionLogSettings(folder=folder)) as api:
        assert "model_drift" not in api.get("/metrics").text
        found = {"drifted": True, "columns": {"weight": 0.5}, "prediction": 0.25}
        (folder / record.DRIFT).write_text(json.dumps(found))
        assert counted(api, 'model_drift{column="weight"}') == 0.5
        assert counted(api, 'model_drift{column="__prediction__"}') == 0.25
        assert counted(api, "model_drifted") == 1


def test_a_request_keeps_its_id_or_gets_one(client: Client) -> None:
    api = client()
    mine = api.get("/model", headers={"X-Request-Id": "order-17"})
    assert mine.headers["x-request-id"] == "order-17"
    for bad in ("", "x" * 200, "a b", "<script>"):
        assert api.get("/model", headers={"X-Request-Id": bad}).headers["x-request-id"] != bad
    ids = {api.get("/model").headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3


def test_a_bug_is_told_with_its_id_and_the_client_sees_nothing_of_the_inside(
    client: Client, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with client() as api, caplog.at_level(logging.INFO):

        def broken(*_: Any) -> Any:
            raise RuntimeError("the secret of the house")

        monkeypatch.setattr(BundlePredictor, "predict", broken)
        answer = api.post("/predict", json={"rows": [ROW]}, headers={"X-Request-Id": "order-17"})
        ready = api.get("/health/ready", headers={"X-Request-Id": "order-17"})
        monkeypatch.undo()
        for told in (answer, ready):  # of which FastAPI sees the second alone
            assert told.status_code == 500
            assert told.json() == {"detail": "internal error; report this id: order-17"}
        assert "secret" in caplog.text
        assert api.post("/predict", json={"rows": [ROW]}).status_code == 200


def test_logs_are_json_lines_with_the_ids_of_requests(champion: Path, served: Server) -> None:
    with served(
        champion.parents[1], "--serving.logs.requests", "all", stderr=subprocess.PIPE
    ) as api:
        api.post("/predict", json={"rows": [ROW]}, headers={"X-Request-Id": "order-17"})
        api.process.terminate()  # type: ignore[attr-defined]
        told = api.process.communicate(timeout=20)[1].splitlines()  # type: ignore[attr-defined]
    lines = [json.loads(line) for line in told]
    (line,) = (line for line in lines if line.get("request") == "order-17")
    assert (line["path"], line["status"], line["level"]) == ("/predict", 200, "INFO")


def test_several_workers_answer_and_add_up_what_they_count(champion: Path, served: Server) -> None:
    with served(champion.parents[1], "--serving.workers", "2") as api:
        for _ in range(40):
            with httpx2.Client(base_url=api.base_url, timeout=20) as fresh:
                assert fresh.post("/predict", json={"rows": [ROW]}).status_code == 200
        series = 'api_request_seconds_count{path="/predict",status="200"}'
        assert counted(api, series) == 40


def test_traces_go_where_the_environment_says(champion: Path, served: Server) -> None:
    got: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Collector) as collector:
        threading.Thread(target=collector.serve_forever, daemon=True).start()
        where = f"http://127.0.0.1:{collector.server_port}"
        env = os.environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": where}
        with served(champion.parents[1], "--serving.telemetry", env=env) as api:
            assert api.post("/predict", json={"rows": [ROW]}).status_code == 200
            api.process.terminate()  # type: ignore[attr-defined]
            api.process.wait(20)  # type: ignore[attr-defined]
        collector.shutdown()
    sent = [
        ExportTraceServiceRequest.FromString(body) for path, body in got if path == "/v1/traces"
    ]
    spans = [
        span
        for request in sent
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    (span,) = (span for span in spans if span.name == "POST /predict")
    about = {one.key: one.value for one in span.attributes}
    assert about["http.response.status_code"].int_value == 200


def test_traces_that_would_go_nowhere_are_told(
    champion: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    with pytest.raises(UserError, match="set OTEL_EXPORTER_OTLP_ENDPOINT"):
        open_app(PROJECT, champion, ServingSettings(telemetry=True))


def is_refused(address: tuple[str, int]) -> bool:
    """Return whether no process listens there."""
    with socket.socket() as connection:
        return connection.connect_ex(address) != 0


def test_workers_end_when_their_parent_is_killed(champion: Path, served: Server) -> None:
    with served(champion.parents[1], "--serving.workers", "2") as api:
        pid, address = api.process.pid, (api.base_url.host, api.base_url.port)  # type: ignore[attr-defined]
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        assert len(children) >= 2
        assert not is_refused(address)
        api.process.kill()  # type: ignore[attr-defined]
        limit = time.monotonic() + 60
        try:
            while not is_refused(address) and time.monotonic() < limit:
                time.sleep(0.2)
            assert is_refused(address)
        finally:
            for child in children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(child), signal.SIGKILL)
