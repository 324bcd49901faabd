"""The demo without a server: the model runs in a browser, and answers as the API does."""

from __future__ import annotations

import contextlib
import functools
import http.server
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import yaml
from conftest import lack
from fastapi.testclient import TestClient
from playwright.sync_api import Browser, Page, expect

from coldstart.bundle._predictor import BundlePredictor
from coldstart.config._sections import ServingSettings
from coldstart.contract import DerivedColumn
from coldstart.data._dataset import load
from coldstart.portfolio import _runtime
from coldstart.portfolio._tracing import trace
from coldstart.serve import open_app
from engine.portfolio.conftest import TARGETS
from engine.support import PROJECT, load_settings, main

PAGE = 30_000  # milliseconds that a busy machine may take
PREDICT = """async (rows) => {
  const { start } = await import("./page/live.js");
  const live = await start((path) => fetch(`page/${path}`));
  return { encoded: rows.map(live.encode), values: await live.predict(rows.map(live.encode)) };
}"""
UNUSUAL = [
    {"note": "Straße, CAFÉ au lait — naïve"},
    {"note": "東京 и Москва ★ 3½", "colour": "\u3000red\u00a0"},
    {"note": " ", "colour": "", "picked": "1999-12-31", "weight": None},
    {"note": None, "shop": None, "bruised": None, "picked": "2024-02-29", "speed": -1},
    {"picked": None, "height": 1e300},
]


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files, and says nothing."""

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="session")
def runtime() -> None:
    """The runtime for browsers, from npm or an earlier run; skip where there is neither."""
    try:
        _runtime.runtime_files()
    except _runtime.RuntimeMissingError as error:
        lack(str(error))


@contextlib.contextmanager
def hosted(folder: Path) -> Iterator[str]:
    """Serve a folder's files, and yield the address."""
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextlib.contextmanager
def demo(browser: Browser, folder: Path, script: str = "") -> Iterator[Page]:
    """Open the demo of a project, after a script; fail if it asks elsewhere or has an error."""
    asked, errors = list[str](), list[str]()
    with hosted(folder / "site") as url:
        page = browser.new_page()
        page.set_default_timeout(PAGE)
        page.add_init_script(script)
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text))
        page.goto(f"{url}/demo.html")
        expect(page.locator("#prediction strong")).to_be_visible(timeout=PAGE)
        yield page
        page.close()
    assert errors == []
    assert [one for one in asked if not one.startswith((f"{url}/", "blob:", "data:"))] == []


@pytest.fixture
def project(
    request: pytest.FixtureRequest,
    trained: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A copy of the project of a task, in which to be."""
    shutil.copytree(trained(getattr(request, "param", "two classes")), tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return tmp_path


@pytest.mark.usefixtures("runtime")
@pytest.mark.parametrize("project", TARGETS, indirect=True)
def test_the_browser_predicts_all_test_rows_as_the_api_does(
    project: Path, browser: Browser
) -> None:
    """With a derived column, unusual texts and missing values; and it explains as the API does."""
    assert main(["pages"]) == 0
    dataset = load(load_settings())
    table = dataset.table[dataset.test_rows].select(list(dataset.contract.features))
    rows = json.loads(table.write_json())
    rows += [rows[0] | one for one in UNUSUAL]
    predictor = BundlePredictor(project / "bundles/champion")
    assert predictor.contract.derived
    api = TestClient(open_app(PROJECT, predictor.folder, ServingSettings()))
    answers = api.post("/predict", json={"rows": rows}).json()["predictions"]
    expected = [list(one.get("probabilities", one).values()) for one in answers]
    expected = [values[:1] if "value" in one else values
                for one, values in zip(answers, expected, strict=True)]  # fmt: skip
    with demo(browser, project) as page:
        found = page.evaluate(PREDICT, rows)
        differences = np.abs(np.array(found["values"]) - np.array(expected))
        scale = 1 if predictor.manifest.classes else np.abs(expected).max()
        print(f"largest difference {differences.max():.2e} of {len(rows)} rows")
        assert differences.max() <= 1e-4 * scale
        for row in rows[:1] + rows[-2:]:
            explained = page.evaluate(
                "async (row) => { const { start } = await import('./page/live.js');"
                " return (await start((path) => fetch(`page/${path}`))).explain(row) }",
                row,
            )
            wanted = api.post("/page/explain", json=row).json()
            assert explained["subject"] == wanted["subject"]
            assert explained["prediction"].keys() == wanted["prediction"].keys()
            for part in ("label", "set", "coverage"):
                assert explained["prediction"].get(part) == wanted["prediction"].get(part)
            ends = {"low", "high"} & wanted["prediction"].keys()
            for end in ends:
                compare(explained["prediction"][end], wanted["prediction"][end], 1e-4 * scale)
            assert bool(ends) != bool(predictor.manifest.classes)
            for part in ("value", "reference", "contributions"):
                compare(explained[part], wanted[part], 1e-4 * scale)


def compare(found: Any, wanted: Any, tolerance: float) -> None:
    """See that two values of JSON are the same but for rounding."""
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys()
        for name, value in wanted.items():
            compare(found[name], value, tolerance)
    else:
        assert found == pytest.approx(wanted, abs=tolerance, rel=1e-4)


@pytest.mark.usefixtures("runtime")
def test_any_input_gets_a_prediction_and_a_wrong_one_a_reason(
    project: Path, browser: Browser
) -> None:
    assert main(["pages"]) == 0
    names = list(yaml.safe_load((project / "schema.yaml").read_text())["columns"])
    weight, note = (f"#f{names.index(name)}" for name in ("weight", "note"))
    with demo(browser, project) as page:
        expect(page.locator("#served")).to_contain_text("runs in your browser")
        page.locator(note).fill("no such words at all")
        before = page.locator("#prediction").inner_text()
        page.locator(weight).fill("151.2345")
        expect(page.locator("#prediction")).not_to_have_text(before, use_inner_text=True)
        expect(page.locator("#prediction strong")).to_be_visible()
        expect(page.locator("#explanation .contributions li").first).to_be_attached()
        page.locator(weight).fill("2000")
        expect(page.locator(f"{weight}-error")).to_contain_text("less than or equal to 1000")


@pytest.mark.usefixtures("runtime")
def test_without_web_assembly_the_recording_answers(project: Path, browser: Browser) -> None:
    assert main(["pages"]) == 0
    with demo(browser, project, "delete globalThis.WebAssembly") as page:
        expect(page.locator("#served")).to_contain_text("shows recorded predictions")
        expect(page.locator("#prediction strong")).to_be_visible()


@pytest.mark.parametrize(
    ("failure", "told"),
    [("offline", "npm cannot be reached"), ("another file", "not the file that was expected")],
)
def test_a_package_that_cannot_be_had_leaves_the_recording(
    failure: str,
    told: str,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(project / "cache"))
    (project / "other").write_text("x")
    with hosted(project) as url:
        address = "http://127.0.0.1:9" if failure == "offline" else f"{url}/other"
        monkeypatch.setattr(_runtime, "ADDRESS", address)
        assert main(["pages"]) == 0
    assert told in capsys.readouterr().out
    recorded = json.loads((project / "site/page/recorded.json").read_bytes())
    assert recorded["live"] is False
    assert not (project / "site/page/model.onnx").exists()
    assert not list(project.glob("cache/coldstart/*"))


def branches(columns: Any) -> Any:
    return columns["speed"] if columns["height"] > 0 else columns["height"]


@pytest.mark.parametrize(
    ("function", "arithmetic"),
    [
        (lambda columns: columns["speed"] / (1 + columns["height"] / 1000), True),
        (lambda columns: np.log1p(np.abs(columns["speed"])) ** 2 - columns["height"], True),
        (lambda columns: np.maximum(-columns["speed"], 3), True),
        (lambda columns: np.where(columns["speed"] > 2, 1.0, 0.0), False),
        (lambda columns: columns["speed"].clip(0, 1), False),
        (lambda columns: np.cumsum(columns["speed"]), False),
        (lambda columns: columns["speed"] * np.random.default_rng().random(), False),
        (branches, False),
    ],
)
def test_a_derived_column_is_an_expression_or_none(
    function: DerivedColumn, arithmetic: bool
) -> None:
    assert (trace(function, ["speed", "height"]) is not None) is arithmetic


def test_the_package_is_asked_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: None
) -> None:
    def get(*_: object, **__: object) -> None:
        raise requests.ConnectionError

    monkeypatch.setattr(requests, "get", get)
    files = _runtime.runtime_files()
    assert set(files) == set(_runtime.FILES)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(_runtime.RuntimeMissingError, match="npm cannot be reached"):
        _runtime.runtime_files()
