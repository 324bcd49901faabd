"""The project's app.py: routes of your own beside the engine's, in plain FastAPI."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from bird_strikes.app import create_app
from fastapi import FastAPI
from fastapi.testclient import TestClient

from coldstart._collector import collector_paused, objects_frozen
from coldstart.bundle import BundlePredictor
from coldstart.config import ServingSettings
from coldstart.serve import LiveModel, ModelService
from coldstart.serve._access import new_key
from coldstart.serve._pace import set_pace
from coldstart.serve._route import MicroBatcher
from engine.support import PROJECT, TEMPLATE, main

ROW = {"grade": "A", "bruised": False, "weight": 120.0}
APP = (TEMPLATE / "src" / "{{cookiecutter.__package}}" / "app.py").read_text(encoding="utf-8")
MARK = "    # Add routes of your own here."
OWN = '''
    @app.get("/columns")
    async def columns(prefix: str = "") -> list[str]:
        """List the columns that the model reads."""
        names = service.champion.predictor.contract.features
        return [name for name in names if name.startswith(prefix)]

    @app.post("/sweetest")
    async def sweetest(note: Note) -> dict[str, Any]:
        """Compare two weights."""
        rows = [{"grade": "A", "bruised": False, "weight": weight} for weight in note.weights]
        prediction = await service.predict(rows)
        shares = [one["probabilities"]["true"] for one in prediction["predictions"]]
        return {"weight": note.weights[shares.index(max(shares))], "note": note.text}

    @router.post("/fast")
    async def fast(body: service.request_type) -> service.response_type:
        """Predict on the way that /predict goes."""
        return await service.predict(body.rows)

'''
MODELS = '''

class Note(BaseModel):
    """Weights to compare."""

    text: str
    weights: list[float]


def create_app('''


def make_app(folder: Path, text: str, future: bool) -> Callable[[ModelService], FastAPI]:
    """Import an app.py with routes of its own."""
    assert MARK in text
    text = text.replace(MARK, f"{OWN}{MARK}").replace("\n\ndef create_app(", MODELS)
    text = text.replace(
        "from fastapi import", "from pydantic import BaseModel\nfrom fastapi import"
    )
    if future:
        docstring, end, code = text[3:].partition('"""')
        text = f'"""{docstring}{end}\nfrom __future__ import annotations\n{code}'
    name = f"own_app_{int(future)}_{abs(hash(folder))}"
    (folder / f"{name}.py").write_text(text, encoding="utf-8")
    sys.path.insert(0, str(folder))
    try:
        make: Callable[[ModelService], FastAPI] = importlib.import_module(name).create_app
    finally:
        sys.path.remove(str(folder))
    return make


@pytest.mark.parametrize("future", [False, True], ids=["plain", "with future annotations"])
def test_a_route_of_your_own_sees_the_loaded_model(
    champion: Path, tmp_path: Path, future: bool
) -> None:
    service = ModelService(LiveModel(champion), ServingSettings())
    with TestClient(make_app(tmp_path, APP, future)(service)) as api:
        assert api.get("/columns", params={"prefix": "b"}).json() == ["bruised"]
        asked = {"text": "mine", "weights": [60, 230]}
        assert api.post("/sweetest", json=asked).json() == {"weight": 230, "note": "mine"}
        refused = api.post("/sweetest", json={"text": "mine", "weights": ["heavy"]})
        assert refused.status_code == 422
        own = api.post("/predict", json={"rows": [ROW]})
        assert own.json()["model_version"] == "1"
        assert api.post("/fast", json={"rows": [ROW]}).json() == own.json()
        broken = [api.post(path, json={"rows": [{}]}).json() for path in ("/predict", "/fast")]
        assert broken[0] == broken[1]
        # They are counted by name, have an id, and are documented.
        assert 'path="/columns",status="200"' in api.get("/metrics").text
        assert api.get("/columns").headers["x-request-id"]
        paths = api.get("/openapi.json").json()["paths"]
        assert {"/columns", "/sweetest", "/fast", "/predict", "/model"} <= set(paths)


def test_a_route_of_your_own_needs_a_key_as_all_others_do(champion: Path, tmp_path: Path) -> None:
    new_key(tmp_path / "keys.txt", "ann")
    settings = ServingSettings(keys=tmp_path / "keys.txt")
    service = ModelService(LiveModel(champion), settings)
    api = TestClient(make_app(tmp_path, APP, future=False)(service))
    assert api.get("/columns").status_code == 401
    assert api.get("/health/live").status_code == 200


def test_predictions_go_the_short_way_and_with_traces_the_same_through_fastapi(
    champion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FastAPI's router hands a request to the same route that the shortcut does."""
    make = make_app(tmp_path, APP, future=False)
    monkeypatch.setattr("coldstart.serve._service.telemetry", lambda wanted: {})
    apis = [
        TestClient(make(ModelService(LiveModel(champion), ServingSettings(telemetry=traced))))
        for traced in (False, True)
    ]
    csv = "grade,bruised,weight\nA,false,120\n"
    requests: list[dict[str, Any]] = [
        {"json": {"rows": [ROW]}},
        {"json": {"rows": [{"grade": "C", "bruised": True}]}},
        {"content": csv, "headers": {"Content-Type": "text/csv"}},
        {"content": "{}", "headers": {"Content-Type": "text/plain"}},
    ]
    for request in requests:
        short, whole = (api.post("/predict", **request) for api in apis)
        assert (short.status_code, short.content) == (whole.status_code, whole.content)
    assert [api.get("/predict").status_code for api in apis] == [405, 405]


def test_a_fast_route_that_takes_more_than_a_body_is_refused_with_a_reason(
    champion: Path, tmp_path: Path
) -> None:
    text = APP.replace("async def predict(body:", "async def predict(n: int, body:")
    service = ModelService(LiveModel(champion), ServingSettings())
    with pytest.raises(TypeError, match="/predict: a route of this class takes a body and nothing"):
        make_app(tmp_path, text, future=False)(service)


def test_the_title_is_the_projects_or_the_one_in_the_settings(champion: Path) -> None:
    def title(**serving: Any) -> str:
        settings = ServingSettings(**serving)
        app = create_app(ModelService(LiveModel(champion), settings, project=PROJECT))
        about: dict[str, Any] = TestClient(app).get("/page/about").json()
        assert about["title"] == app.title
        return app.title

    assert title() == "Bird strikes"
    assert title(title="My own") == "My own"


def test_serving_leaves_the_garbage_collector_as_it_was(
    champion: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whether the API cannot start, or ran and was ended."""
    monkeypatch.chdir(champion.parents[1])
    frozen = gc.get_freeze_count()
    ran: list[bool] = []

    def run(self: uvicorn.Server, sockets: list[socket.socket]) -> None:
        ran.append(gc.isenabled() and gc.get_freeze_count() > frozen)
        sockets[0].close()

    monkeypatch.setattr(uvicorn.Server, "run", run)
    assert gc.isenabled()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["serve", "--serving.port", port]) == 2
    assert (gc.isenabled(), gc.get_freeze_count(), ran) == (True, frozen, [])
    assert main(["serve", "--serving.port", port]) == 0
    assert (gc.isenabled(), gc.get_freeze_count(), ran) == (True, 0, [True])
    (champion / "model.onnx").write_bytes(b"")
    assert main(["serve"]) == 2
    assert gc.isenabled()
    assert "model.onnx was changed" in capsys.readouterr().err


def test_the_collector_is_paused_within_a_block_and_as_before_after_it() -> None:
    with contextlib.suppress(RuntimeError), collector_paused():
        assert not gc.isenabled()
        raise RuntimeError
    assert gc.isenabled()
    gc.disable()
    try:
        with collector_paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()
    with objects_frozen():
        assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() == 0


def test_a_slow_model_predicts_in_a_thread_and_a_quick_one_where_requests_arrive(
    numeric: Callable[..., Path], champion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A matrix of 2,048 columns, twenty times for each row, takes tens of milliseconds."""
    threads: list[int] = []
    predict = LiveModel.score

    def score(self: LiveModel, rows: list[dict[str, Any]]) -> Any:
        threads.append(threading.get_ident())
        return predict(self, rows)

    monkeypatch.setattr(LiveModel, "score", score)

    def ask(folder: Path, row: dict[str, Any]) -> tuple[int, int, int]:
        model = LiveModel(folder)
        with TestClient(create_app(ModelService(model, ServingSettings()))) as api:
            assert api.portal
            loop = api.portal.call(threading.get_ident)
            threads.clear()
            for rows in ([row], [row] * 2):
                assert api.post("/predict", json={"rows": rows}).status_code == 200
            inline = sum(one == loop for one in threads)
            threads.clear()
            assert api.get("/health/ready").status_code == 200
            assert loop not in threads
        return model.inline_rows, inline, len(threads)

    slow = numeric(tmp_path / "slow", 2.0, width=2048)
    assert ask(slow, {"weight": 120}) == (0, 0, 1)
    rows, inline, _ = ask(champion, ROW)
    assert (rows > 1, inline) == (True, 2)


class Counted:
    """A model that counts the rows of each run."""

    inline_rows = 3

    def __init__(self) -> None:
        self.runs: list[int] = []

    def score(self, rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], str]:
        self.runs.append(len(rows))
        return [{"value": row["n"] / row["d"]} for row in rows], "1"


@pytest.mark.parametrize(("requests", "runs"), [(12, [12]), (15, [12, 3])])
def test_requests_that_take_long_together_are_predicted_in_turn(
    requests: int, runs: list[int]
) -> None:
    model = Counted()

    async def ask(*divisors: int) -> list[Any]:
        batcher = MicroBatcher(model)
        asked = [batcher([{"n": n, "d": divisor}]) for n, divisor in enumerate(divisors)]
        return await asyncio.gather(*asked, return_exceptions=True)

    found = asyncio.run(ask(*[1] * requests))
    assert found == [([{"value": n}], "1") for n in range(requests)]
    assert model.runs == runs
    failed = asyncio.run(ask(*[1] * (requests - 1), 0))
    wrong = [n for n, one in enumerate(failed) if isinstance(one, ZeroDivisionError)]
    assert wrong == [*range(requests)][-runs[-1] :]


@pytest.mark.parametrize(
    ("ticks", "runs"), [([2, 3, 1], [6]), ([2, 0, 0, 3], [2, 3]), ([64], [64])]
)
def test_requests_wait_for_others_only_while_each_tick_brings_some(
    ticks: list[int], runs: list[int]
) -> None:
    model = Counted()
    model.inline_rows = 100

    async def ask() -> None:
        batcher, asked = MicroBatcher(model), []
        for requests in ticks:
            asked += [batcher([{"n": 1, "d": 1}]) for _ in range(requests)]
            await asyncio.sleep(0)
        assert await asyncio.gather(*asked) == [([{"value": 1.0}], "1")] * sum(ticks)

    asyncio.run(ask())
    assert model.runs == runs


def test_threads_are_kept_for_a_slow_model_only_if_they_make_it_faster(
    numeric: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = BundlePredictor(numeric(tmp_path / "model", 2.0))
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(8))
    for times, workers, threads, rows in (
        ([0.05, 0.01], 2, 4, 0),
        ([0.05, 0.045], 2, 1, 0),
        ([0.05], 8, 1, 0),
        ([0.05, 0.004, 0.067], 1, 8, 2),
        ([0.001, 0.0325], 1, 1, 9),
    ):
        given = iter(times)
        monkeypatch.setattr("coldstart.serve._pace.measure", lambda *_, given=given: next(given))
        predictor.use_threads(1)
        assert set_pace(predictor, {"weight": 1.0}, workers) == rows
        assert predictor.threads == threads
        assert predictor.score([{"weight": 2.0}]) == [{"value": 4.0}]


def test_a_provider_that_onnxruntime_lacks_is_refused_with_those_that_it_has(
    champion: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(champion.parents[1])
    assert main(["serve", "--serving.providers", '["CUDAExecutionProvider"]']) == 2
    told = capsys.readouterr().err
    assert "onnxruntime has no CUDAExecutionProvider here" in told
    assert "CPUExecutionProvider" in told
