"""Serving: a real process on a real socket, asked as a client would ask.

The tests that use `trained` serve this project's own model, whatever its columns; all
others a small one whose columns are made in conftest.py.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from fastapi.testclient import TestClient

from coldstart.bundle._bundle import Manifest, write_checksums
from coldstart.bundle._predictor import BundlePredictor
from coldstart.serve import create_app
from engine.support import PROJECT

ROW = {
    "weight": 200,
    "length": 7.5,
    "colour": "red",
    "shop": "North",
    "grade": "A",
    "bruised": False,
    "picked": "2024-06-30",
}
LiveModel = Callable[[Path], AbstractContextManager[httpx2.Client]]
HEAVY = ("torch", "sklearn", "pandas", "polars", "mlflow", "pyarrow", "matplotlib", "tqdm")


@pytest.fixture(scope="module")
def api(small_bundle: Path, served: LiveModel) -> Iterator[httpx2.Client]:
    """The small project's API."""
    with served(small_bundle.parents[1]) as client:
        yield client


def predict(api: httpx2.Client, *rows: dict[str, Any]) -> list[dict[str, Any]]:
    """Post rows and return the answers."""
    response = api.post("/predict", json={"rows": list(rows)})
    assert response.status_code == 200, response.text
    predictions: list[dict[str, Any]] = response.json()["predictions"]
    return predictions


def test_one_row_is_answered_with_class_probability_and_version(api: httpx2.Client) -> None:
    response = api.post("/predict", json={"rows": [ROW]}).json()
    (answer,) = response["predictions"]
    assert set(answer["probabilities"]) == {"false", "true"}
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-6)
    assert answer["label"] == "true"
    assert answer["probability"] == answer["probabilities"]["true"] > 0.5
    assert response["model_version"] == "unregistered"


def test_the_threshold_and_not_the_larger_probability_decides(api: httpx2.Client) -> None:
    """The small bundle answers "true" from a probability of 0.4."""
    answers = predict(api, *(ROW | {"weight": weight} for weight in range(50, 250)))
    shares = [answer["probabilities"]["true"] for answer in answers]
    assert [answer["label"] == "true" for answer in answers] == [share >= 0.4 for share in shares]
    assert any(0.4 <= share < 0.5 for share in shares)


@pytest.mark.parametrize("n", [2, 64, 65, 1000])
def test_many_rows_are_answered_in_their_order(api: httpx2.Client, n: int) -> None:
    rows = [ROW | {"weight": 50 + i % 200, "grade": "AB"[i % 2]} for i in range(n)]
    answers = predict(api, *rows)
    assert len(answers) == n
    alone = predict(api, rows[-1])[0]["probability"]
    assert answers[-1]["probability"] == pytest.approx(alone, abs=1e-6)


def test_the_served_numbers_are_those_of_the_scorer(api: httpx2.Client, small_bundle: Path) -> None:
    rows = [ROW | {"picked": None, "weight": weight} for weight in (0, 99.9, None, 1000)]
    assert predict(api, *rows) == BundlePredictor(small_bundle).score(rows)


def test_nulls_absent_fields_and_unseen_categories_are_answered(api: httpx2.Client) -> None:
    required = {"grade": "A", "bruised": False}
    nulls = dict.fromkeys(ROW) | required
    absent, null, unseen = predict(api, required, nulls, ROW | {"colour": "ultraviolet 🐦"})
    assert absent == null
    assert math.isfinite(unseen["probability"])


def test_a_category_that_is_written_as_missing_is_one_more_unseen(api: httpx2.Client) -> None:
    assert predict(api, ROW | {"shop": ""}) == predict(api, ROW | {"shop": None})


@pytest.mark.parametrize(
    ("change", "field", "complaint"),
    [
        ({"weight": "heavy"}, "weight", "number"),
        ({"weight": 1000.5}, "weight", "less than or equal to 1000"),
        ({"weight": -1}, "weight", "greater than or equal to 0"),
        ({"colour": 7}, "colour", "string"),
        ({"colour": "r" * 1001}, "colour", "1000"),
        ({"grade": "C"}, "grade", "'A' or 'B'"),
        ({"grade": None}, "grade", "'A' or 'B'"),
        ({"bruised": "perhaps"}, "bruised", "boolean"),
        ({"picked": "30.06.2024"}, "picked", "date"),
        ({"wieght": 1}, "wieght", "not permitted"),
    ],
)
def test_a_bad_value_gets_422_with_its_row_its_field_and_what_it_should_be(
    api: httpx2.Client, change: dict[str, Any], field: str, complaint: str
) -> None:
    response = api.post("/predict", json={"rows": [ROW, ROW | change]})
    assert response.status_code == 422
    problem = response.json()["detail"][0]
    assert problem["loc"][:4] == ["body", "rows", 1, field]
    assert complaint in problem["msg"]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_none_gets_422(api: httpx2.Client, value: str) -> None:
    body = '{"rows": [{"grade": "A", "bruised": false, "length": VALUE}]}'.replace("VALUE", value)
    response = api.post("/predict", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 422
    assert "length" in response.json()["detail"][0]["loc"]


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ('{"rows": []}', "rows"),
        ('{"rows": [{"bruised": true}]}', "grade"),
        ('{"rows": [3]}', "rows"),
        ("{}", "rows"),
        ("[1]", "body"),
        ("{", "body"),
        ("", "body"),
    ],
)
def test_a_body_that_holds_no_rows_gets_422_and_says_where(
    api: httpx2.Client, body: str, where: str
) -> None:
    response = api.post("/predict", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 422
    assert where in response.json()["detail"][0]["loc"]


def test_more_rows_than_a_request_may_hold_get_422(api: httpx2.Client) -> None:
    response = api.post("/predict", json={"rows": [{"grade": "A", "bruised": True}] * 10_001})
    assert response.status_code == 422
    assert "10000" in response.json()["detail"][0]["msg"]


def test_a_ref_is_returned_with_its_prediction_and_changes_nothing(api: httpx2.Client) -> None:
    plain = predict(api, ROW, ROW | {"weight": 99})
    given = predict(api, ROW | {"ref": "order 17 🐦"}, ROW | {"weight": 99, "ref": None})
    assert given == [plain[0] | {"ref": "order 17 🐦"}, plain[1]]
    many = predict(api, *(ROW | {"ref": str(number)} for number in range(1000)))
    assert [one["ref"] for one in many] == [str(number) for number in range(1000)]
    for bad, complaint in ((17, "string"), ("r" * 1001, "1000")):
        response = api.post("/predict", json={"rows": [ROW | {"ref": bad}]})
        assert response.status_code == 422
        assert response.json()["detail"][0]["loc"] == ["body", "rows", 0, "ref"]
        assert complaint in response.json()["detail"][0]["msg"]


def test_a_feature_that_is_called_ref_is_the_models(small_bundle: Path, tmp_path: Path) -> None:
    """It is checked and read as the contract says, and not returned."""
    folder = tmp_path / "bundle"
    shutil.copytree(small_bundle, folder)
    contract = yaml.safe_load((folder / "schema.yaml").read_text())
    columns = {
        "ref" if name == "weight" else name: one for name, one in contract["columns"].items()
    }
    (folder / "schema.yaml").write_text(yaml.safe_dump({"columns": columns}, sort_keys=False))
    write_checksums(folder, open_manifest(folder))
    row = {"ref" if name == "weight" else name: value for name, value in ROW.items()}
    with TestClient(create_app(PROJECT, folder)) as api:
        (prediction,) = api.post("/predict", json={"rows": [row]}).json()["predictions"]
        assert "ref" not in prediction
        assert prediction["label"] == "true"
        refused = api.post("/predict", json={"rows": [row | {"ref": "heavy"}]})
        assert refused.status_code == 422
        lines = [
            ",".join(row),
            ",".join("" if value is None else str(value) for value in row.values()),
        ]
        csv = "\n".join(lines).replace("False", "false")
        answer = api.post("/predict", content=csv, headers={"Content-Type": "text/csv"})
        assert answer.status_code == 200, answer.text
        assert "ref" not in answer.text.splitlines()[0]


def test_health_and_model_tell_what_runs(api: httpx2.Client) -> None:
    assert api.get("/health/live").json() == {"status": "alive"}
    ready = api.get("/health/ready")
    assert ready.status_code == 200
    assert ready.json() == {"status": "ready", "version": "unregistered"}
    model = api.get("/model").json()
    assert model["family"] == "linear"
    assert model["classes"] == ["false", "true"]


def test_the_api_documents_the_columns_of_the_contract(api: httpx2.Client) -> None:
    schemas = api.get("/openapi.json").json()["components"]["schemas"]
    (row,) = (schema for schema in schemas.values() if "weight" in schema.get("properties", {}))
    assert list(row["properties"]) == [*ROW, "ref"]
    assert sorted(row["required"]) == ["bruised", "grade"]
    assert row["additionalProperties"] is False
    weight, colour, grade, bruised, picked = (
        {**field, **next(iter(field.get("anyOf", [])), {})}
        for field in (
            row["properties"][name] for name in ("weight", "colour", "grade", "bruised", "picked")
        )
    )
    assert (weight["type"], weight["minimum"], weight["maximum"]) == ("number", 0, 1000)
    assert (weight["unit"], weight["description"]) == ("g", "On our scales")
    assert (colour["type"], colour["categories"]) == ("string", ["red", "green"])
    assert (grade["type"], grade["enum"]) == ("string", ["A", "B"])
    assert bruised["type"] == "boolean"
    assert (picked["type"], picked["format"]) == ("string", "date")


def test_the_documented_example_of_the_small_project_works(api: httpx2.Client) -> None:
    post_the_example(api)


def test_the_docs_page_needs_no_other_server(api: httpx2.Client) -> None:
    page = api.get("/docs")
    assert page.status_code == 200
    loaded = re.findall(r"""<(?:script|link|img)[^>]+(?:src|href)=["']([^"']+)""", page.text)
    assert any(address.endswith(".js") for address in loaded)
    for address in loaded:
        assert re.match(r"/(?!/)", address), address
        assert api.get(address).status_code == 200, address


def post_the_example(api: httpx2.Client | TestClient) -> dict[str, Any]:
    """Post what the API's own document gives as an example, and return the answer."""
    schemas = api.get("/openapi.json").json()["components"]["schemas"]
    response = api.post("/predict", json=schemas["Rows"]["examples"][0])
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_the_trained_champion_is_served_with_its_version_metrics_and_origin(
    trained: Path, served: LiveModel
) -> None:
    with served(trained) as api:
        answer = post_the_example(api)
        assert answer["model_version"] == "1"
        model = api.get("/model").json()
    assert (model["version"], model["alias"]) == ("1", "champion")
    assert model["metrics"]["primary"] in model["metrics"]["test"]
    assert {"run_id", "git_commit", "data", "libraries"} <= set(model["provenance"])


@pytest.mark.parametrize(
    ("column", "example"),
    [("picked", dt.date(2024, 6, 30)), ("picked", None), ("grade", None), ("bruised", None)],
)
def test_the_example_works_whatever_the_contract_gives_as_one(
    small_bundle: Path, tmp_path: Path, column: str, example: Any
) -> None:
    """A day need not be quoted in YAML, and not every column need have an example."""
    folder = tmp_path / "bundle"
    shutil.copytree(small_bundle, folder)
    contract = yaml.safe_load((folder / "schema.yaml").read_text())
    contract["columns"][column]["example"] = example
    (folder / "schema.yaml").write_text(yaml.safe_dump(contract, sort_keys=False))
    write_checksums(folder, open_manifest(folder))
    with TestClient(create_app(PROJECT, folder)) as api:
        assert api.get("/health/ready").status_code == 200
        post_the_example(api)


def open_manifest(folder: Path) -> Manifest:
    """Read a manifest without checking the files that it lists."""
    return Manifest.model_validate_json((folder / "bundle.json").read_bytes())


def test_the_serving_process_loads_no_training_library(small_bundle: Path) -> None:
    script = f"""
import sys
from pathlib import Path
from bird_strikes.__main__ import PROJECT
from coldstart.serve import create_app
assert create_app(PROJECT, Path(sys.argv[1])).title == "Bird strikes"
print(*(name for name in {HEAVY!r} if name in sys.modules))
"""
    command = [sys.executable, "-c", script, str(small_bundle)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


@pytest.fixture
def corrupt(small_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the small project whose model was changed after it was sealed."""
    project = tmp_path / "corrupt"
    shutil.copytree(small_bundle.parents[1], project)
    model = project / "bundles" / "champion" / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"?")
    return project


def test_an_api_without_a_whole_bundle_is_alive_and_says_why_it_is_not_ready(
    corrupt: Path,
) -> None:
    with TestClient(create_app(PROJECT, corrupt / "bundles" / "champion")) as client:
        assert client.get("/health/live").status_code == 200
        asked = (client.get("/health/ready"), client.get("/model"), client.post("/predict"))
        for response in asked:
            assert response.status_code == 503
            assert "model.onnx was changed" in response.json()["detail"]


def test_serving_a_corrupt_bundle_ends_with_one_line(
    corrupt: Path, run_command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = run_command(corrupt, "serve")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "model.onnx was changed" in line


def test_a_busy_port_ends_with_one_line_that_names_it(
    small_bundle: Path, run_command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run_command(small_bundle.parents[1], "serve", "--serving.port", port)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"127.0.0.1:{port}" in line
    assert "in use" in line


def test_headers_and_body_of_a_response_are_sent_in_one_piece(
    small_bundle: Path, served: Callable[..., Any]
) -> None:
    body = json.dumps({"rows": [{"grade": "A", "bruised": False}]}).encode()
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    request = head + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    with served(small_bundle.parents[1]) as api:
        address = (api.base_url.host, api.base_url.port)
        with socket.create_connection(address, timeout=20) as connection:
            for _ in range(100):
                connection.sendall(request)
                assert json.loads(connection.recv(65_536).partition(b"\r\n\r\n")[2])
            connection.sendall(request.replace(b"Host: x", b"Host: x\r\nConnection: close"))
            assert json.loads(connection.recv(65_536).partition(b"\r\n\r\n")[2])
            assert connection.recv(1) == b""
