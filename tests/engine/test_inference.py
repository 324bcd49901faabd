"""The Open Inference Protocol: Triton's own client gets what `/predict` answers."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import tritonclient.http as triton

from coldstart.serve._access import new_key
from engine.support import resident

Api = Callable[..., AbstractContextManager[httpx2.Client]]
COLUMNS: dict[str, list[Any]] = {
    "weight": [200.0, 99.5, None],
    "length": [7.0, 3.0, 2.0],
    "colour": ["red", "green", "ultraviolet 🐦"],
    "grade": ["A", "B", "A"],
    "bruised": [False, True, True],
    "picked": ["2024-06-30", "2024-01-01", "2023-12-31"],
}
ROWS = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)]
NAME = "small"


@pytest.fixture(scope="module")
def api(
    small_bundle: Path,
    sealed: Callable[..., Path],
    served: Api,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[httpx2.Client]:
    """The small project's API, with a registered model."""
    project = tmp_path_factory.mktemp("project")
    (project / "bundles").mkdir()
    (project / "config.yaml").write_text((small_bundle.parents[1] / "config.yaml").read_text())
    sealed(small_bundle, project / "bundles" / "champion", "3")
    with served(project) as client:
        yield client


@pytest.fixture
def client(api: httpx2.Client) -> Iterator[Any]:
    """Triton's client of it."""
    with triton.InferenceServerClient(f"127.0.0.1:{api.base_url.port}") as client:
        yield client


def tensors(binary: bool, shape: tuple[int, ...] = (3,)) -> list[Any]:
    """The rows, as Triton's client sends them."""
    kinds = {"weight": "FP64", "length": "FP32", "bruised": "BOOL"}
    made = []
    for name, values in COLUMNS.items():
        kind = kinds.get(name, "BYTES")
        dtype = {"FP64": np.float64, "FP32": np.float32, "BOOL": bool}.get(kind, object)
        tensor = triton.InferInput(name, list(shape), kind)
        tensor.set_data_from_numpy(np.array(values, dtype=dtype).reshape(shape), binary_data=binary)
        made.append(tensor)
    return made


def test_a_client_finds_the_model_its_versions_and_its_tensors(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(NAME)
    assert client.is_model_ready(NAME, "3")
    assert not client.is_model_ready(NAME, "2")
    assert not client.is_model_ready("other")
    assert client.get_server_metadata()["version"] == "3"
    about = client.get_model_metadata(NAME)
    assert (about["name"], about["versions"]) == (NAME, ["3"])
    kinds = {one["name"]: one["datatype"] for one in about["inputs"]}
    assert kinds["weight"] == "FP64"
    assert kinds["bruised"] == "BOOL"
    assert kinds["picked"] == "BYTES"
    shapes = {one["name"]: one["shape"] for one in about["outputs"]}
    assert shapes == {"label": [-1], "probability": [-1], "probabilities": [-1, 2]}


@pytest.mark.parametrize("version", ["", "3"])
@pytest.mark.parametrize("shape", [(3,), (3, 1)])
@pytest.mark.parametrize("binary", [True, False])
def test_a_client_gets_what_predict_returns(
    api: httpx2.Client, client: Any, version: str, shape: tuple[int, ...], binary: bool
) -> None:
    expected = api.post("/predict", json={"rows": ROWS}).json()["predictions"]
    found = client.infer(NAME, tensors(binary, shape), model_version=version, request_id="mine")
    assert found.get_response()["id"] == "mine"
    assert found.get_response()["model_version"] == "3"
    labels = [
        label.decode() if isinstance(label, bytes) else label for label in found.as_numpy("label")
    ]
    assert labels == [one["label"] for one in expected]
    assert found.as_numpy("probability").tolist() == [one["probability"] for one in expected]
    shares = [list(one["probabilities"].values()) for one in expected]
    assert found.as_numpy("probabilities").tolist() == shares


def test_tensors_may_be_written_in_json_and_only_some_outputs_be_wanted(
    api: httpx2.Client,
) -> None:
    expected = api.post("/predict", json={"rows": ROWS}).json()["predictions"]
    kinds = {"weight": "FP64", "length": "FP64", "bruised": "BOOL"}
    inputs = [
        {"name": name, "datatype": kinds.get(name, "BYTES"), "shape": [3], "data": values}
        for name, values in COLUMNS.items()
    ]
    asked = {"inputs": inputs, "outputs": [{"name": "label"}]}
    (output,) = api.post(f"/v2/models/{NAME}/infer", json=asked).json()["outputs"]
    assert output == {
        "name": "label",
        "datatype": "BYTES",
        "shape": [3],
        "data": [one["label"] for one in expected],
    }
    nested = [one | {"shape": [3, 1], "data": [[value] for value in one["data"]]} for one in inputs]
    again = api.post(f"/v2/models/{NAME}/infer", json=asked | {"inputs": nested})
    assert again.json()["outputs"] == [output]


def test_requests_are_counted_by_their_path_and_their_rows(api: httpx2.Client, client: Any) -> None:
    def count(start: str) -> float:
        lines = api.get("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(start))

    rows = 'api_rows_total{role="champion",version="3"}'
    requests = f'api_request_seconds_count{{path="/v2/models/{NAME}/infer",status="200"}}'
    before = count(rows), count(requests)
    client.infer(NAME, tensors(True))
    assert (count(rows), count(requests)) == (before[0] + 3, before[1] + 1)


FINE = {"name": "bruised", "datatype": "BOOL", "shape": [1], "data": [True]}
GRADE = {"name": "grade", "datatype": "BYTES", "shape": [1], "data": ["A"]}


@pytest.mark.parametrize(
    ("inputs", "complaint"),
    [
        ([FINE], "rows.0.grade: Field required"),
        ([FINE, GRADE | {"data": ["C"]}], "rows.0.grade: Input should be 'A' or 'B'"),
        ([FINE, GRADE, FINE], "bruised: there are two inputs of this name"),
        ([FINE, GRADE | {"shape": [2]}], "grade: the shape is [2], and there are 1 values"),
        ([FINE, GRADE | {"shape": []}], "grade: expected the shape [n] or [n, 1], not []"),
        ([FINE, GRADE | {"shape": [2], "data": ["A", "B"]}], "different numbers of rows"),
        ([FINE | {"data": []}], "there are 0 values"),
        ([], "rows: List should have at least 1 item"),
        ([FINE, GRADE | {"name": "wieght"}], "'wieght': there is no such input; inputs: weight"),
        ([FINE, GRADE | {"shape": [10_001]}], "there are 10001 rows; a request may have 10000"),
        ([FINE, GRADE | {"shape": [10**400]}], "a request may have 10000"),
        ([FINE, GRADE | {"shape": [-1]}], "grade: the shape is [-1], and there are 1 values"),
        ([FINE, GRADE | {"parameters": {"binary_data_size": 5}}], "not as many bytes"),
        ([FINE, GRADE | {"parameters": {"binary_data_size": "x"}}], "not as many bytes"),
        ("x", "inputs: Input should be a valid"),
    ],
)
def test_a_request_that_is_not_valid_gets_400_with_the_place(
    api: httpx2.Client, inputs: Any, complaint: str
) -> None:
    response = api.post(f"/v2/models/{NAME}/infer", json={"inputs": inputs})
    assert response.status_code == 400
    assert complaint in response.json()["error"]


@pytest.mark.parametrize(
    ("content", "length", "complaint"),
    [
        (b"\x05\0\0\0A", "", "grade: a text is longer than the tensor"),
        (b"\x01\0", "", "grade: "),
        (b"\x01\0\0\0\xff", "", "grade: "),
        (b"\x01\0\0\0A", "x", "Inference-Header-Content-Length is not a number"),
        (b"\x01\0\0\0A", "3", "JSON"),
    ],
)
def test_bytes_that_are_not_the_tensors_get_400(
    api: httpx2.Client, content: bytes, length: str, complaint: str
) -> None:
    size = {"binary_data_size": len(content)}
    inputs = [FINE, {"name": "grade", "datatype": "BYTES", "shape": [1], "parameters": size}]
    header = httpx2.Request("POST", "http://x", json={"inputs": inputs}).content
    response = api.post(
        f"/v2/models/{NAME}/infer",
        content=header + content,
        headers={"Inference-Header-Content-Length": length or str(len(header))},
    )
    assert response.status_code == 400
    assert complaint in response.json()["error"]
    whole = api.post(
        f"/v2/models/{NAME}/infer",
        content=header.replace(str(len(content)).encode(), b"5") + struct.pack("<I", 1) + b"A",
        headers={"Inference-Header-Content-Length": str(len(header))},
    )
    assert whole.status_code == 200, whole.text


def test_other_models_versions_outputs_and_types_are_refused(api: httpx2.Client) -> None:
    asked = {"inputs": [FINE, GRADE]}
    for path in ("other/infer", f"{NAME}/versions/2/infer"):
        response = api.post(f"/v2/models/{path}", json=asked)
        assert response.status_code == 404
        assert "there is no model" in response.json()["error"]
    wrong = api.post(f"/v2/models/{NAME}/infer", json=asked | {"outputs": [{"name": "x"}]})
    assert wrong.status_code == 400
    assert "outputs: label, probability" in wrong.json()["error"]
    for path in ("other", "other/ready", f"{NAME}/versions/2"):
        missing = api.get(f"/v2/models/{path}")
        assert (missing.status_code, list(missing.json())) == (404, ["error"])
    with (
        triton.InferenceServerClient(f"127.0.0.1:{api.base_url.port}") as client,
        pytest.raises(triton.InferenceServerException, match="there is no model other"),
    ):
        client.get_model_metadata("other")
    # What a page of another origin can send unasked.
    for kind in ({"Origin": "https://x.org"}, {"Content-Type": "text/plain"}):
        plain = api.post(f"/v2/models/{NAME}/infer", content=b'{"inputs": []}', headers=kind)
        assert plain.status_code == 415


def big(count: int, kind: str, size: int, rows: int | None = None, name: str = "weight") -> Any:
    """A tensor of many values, or one that says that it has fewer rows."""
    shape = [count if rows is None else rows]
    parameters = {"binary_data_size": size}
    return {"name": name, "datatype": kind, "shape": shape, "parameters": parameters}


MANY = 7_900_000  # bytes
BIG = {
    "booleans": [big(MANY, "BOOL", MANY)],
    "booleans for one row": [big(MANY, "BOOL", MANY, rows=1)],
    "texts": [big(MANY // 4, "BYTES", MANY)],
    "texts for one row": [big(MANY // 4, "BYTES", MANY, rows=1)],
    "inputs that do not exist": [big(10_000, "BOOL", 10_000, name=f"x{n}") for n in range(700)],
}


@pytest.mark.parametrize("what", BIG)
def test_tensors_of_many_values_are_refused_and_fill_no_memory(
    small_bundle: Path, served: Api, what: str
) -> None:
    size = sum(one["parameters"]["binary_data_size"] for one in BIG[what])
    header = httpx2.Request("POST", "http://x", json={"inputs": BIG[what]}).content
    with served(small_bundle.parents[1]) as api:
        before = resident(api.process.pid)  # type: ignore[attr-defined]
        response = api.post(
            "/v2/models/sweet/infer",
            content=header + bytes(size),
            headers={"Inference-Header-Content-Length": str(len(header))},
        )
        assert response.status_code == 400, response.text
        assert resident(api.process.pid) - before < 100  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", ["/predict", f"/v2/models/{NAME}/infer"])
def test_a_compressed_body_is_refused_by_name(api: httpx2.Client, path: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    response = api.post(path, content=gzip.compress(b'{"rows": []}'), headers=headers)
    assert response.status_code == 415
    assert "Content-Encoding: gzip is not supported" in response.text


def test_an_output_is_wanted_once(api: httpx2.Client) -> None:
    asked = {"inputs": [FINE, GRADE], "outputs": [{"name": "probabilities"}] * 2}
    response = api.post(f"/v2/models/{NAME}/infer", json=asked)
    assert (response.status_code, response.json()["error"]) == (400, "an output is wanted twice")


def test_keys_and_limits_are_those_of_predict(
    small_bundle: Path, served: Api, tmp_path: Path
) -> None:
    key = new_key(tmp_path / "keys.txt", "ann")
    options = ("--serving.keys", str(tmp_path / "keys.txt"), "--serving.max-bytes", "2000")
    with served(small_bundle.parents[1], *options) as api:
        path = "/v2/models/sweet/infer"  # the target, since it is not registered
        asked = {"inputs": [FINE, GRADE]}
        assert api.get("/v2/health/ready").status_code == 200
        assert api.get("/v2/models/sweet").status_code == 401
        assert api.post(path, json=asked).status_code == 401
        known = {"Authorization": f"Bearer {key}"}
        assert api.post(path, json=asked, headers=known).status_code == 200
        long = asked | {"id": "x" * 2000}
        refused = api.post(path, json=long, headers=known)
        assert (refused.status_code, "longer" in refused.json()["error"]) == (413, True)
