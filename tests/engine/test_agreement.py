"""A row gets one answer: from the API, from a file of rows over HTTP, and from `make predict`."""

from __future__ import annotations

import datetime as dt
import io
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from coldstart.batch import predict_file
from coldstart.errors import UserError
from coldstart.serve import create_app
from engine.support import PROJECT

KINDS: dict[str, pl.DataType] = {
    "weight": pl.Float64(),
    "length": pl.Float64(),
    "colour": pl.String(),
    "shop": pl.String(),
    "grade": pl.String(),
    "bruised": pl.Boolean(),
    "picked": pl.Date(),
}
FINITE = st.floats(allow_nan=False, allow_infinity=False)
# In a file of text a zero byte is a fault of the file, and is left out.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
PLACES = st.sampled_from(
    ["North", " North", "UNKNOWN", " UNKNOWN ", "NA", "null", "", "\xa0", "\x1f"]
)
LENGTHS = st.sampled_from([-999.0, 0.0, -0.0])
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "weight": st.none() | st.floats(0, 1000),
            "length": st.none() | LENGTHS | FINITE,
            "colour": st.none() | st.sampled_from(["red", " red", "Red", "violet"]) | TEXT,
            "shop": st.none() | PLACES | TEXT,
            "grade": st.sampled_from("AB"),
            "bruised": st.booleans(),
            "picked": st.none() | st.dates(dt.date(1900, 1, 1), dt.date(2200, 1, 1)),
        }
    ),
    min_size=10,  # many at a time: each file that is sent starts a process
    max_size=60,
)
# What the contract forbids, somewhere among the rows.
FORBIDDEN = {
    "weight": st.sampled_from([-1.0, 1000.5, 1e300]),
    "grade": st.sampled_from(["C", "a", " ", None]),
    "bruised": st.none(),
}


@pytest.fixture(scope="module")
def api(small_bundle: Path) -> Iterator[TestClient]:
    """The small project's API."""
    with TestClient(create_app(PROJECT, small_bundle)) as client:
        yield client


def asked(api: TestClient, rows: list[dict[str, Any]]) -> list[float] | None:
    """Probabilities that the API answers; None if it refuses the rows."""
    sent = [row | {"picked": row["picked"] and row["picked"].isoformat()} for row in rows]
    answer = api.post("/predict", json={"rows": sent})
    assert answer.status_code in (200, 422)
    if answer.status_code == 422:
        return None
    return [found["probabilities"]["true"] for found in answer.json()["predictions"]]


def streamed(api: TestClient, table: pl.DataFrame) -> list[float] | None:
    """The same of an Arrow stream."""
    file = io.BytesIO()
    table.write_ipc_stream(file)
    kind = {"Content-Type": "application/vnd.apache.arrow.stream"}
    answer = api.post("/predict", content=file.getvalue(), headers=kind)
    assert answer.status_code in (200, 422)
    if answer.status_code == 422:
        return None
    return pl.read_ipc_stream(answer.content)["probability true"].to_list()


def read_from(bundle: Path, table: pl.DataFrame, kind: str) -> list[float] | None:
    """The same of a file."""
    with tempfile.TemporaryDirectory() as folder:
        file, out = Path(folder, f"in.{kind}"), Path(folder, "out.parquet")
        table.write_csv(file) if kind == "csv" else table.write_parquet(file)
        try:
            predict_file(bundle, file, out)
        except UserError:
            return None
        return pl.read_parquet(out)["probability true"].to_list()


def assert_one_answer(api: TestClient, bundle: Path, rows: list[dict[str, Any]]) -> bool:
    """All ways give the same to the last bit, or all refuse; tell which."""
    table = pl.DataFrame(rows, schema=KINDS)
    expected = asked(api, rows)
    ways = [read_from(bundle, table, "csv"), read_from(bundle, table, "parquet")]
    for other in [*ways, streamed(api, table)]:
        if expected is None:
            assert other is None
        else:
            np.testing.assert_array_equal(np.float32(other), np.float32(expected))
    return expected is not None


@settings(deadline=None, max_examples=25)
@given(rows=ROWS)
def test_rows_get_the_same_answers_by_every_way(
    api: TestClient, small_bundle: Path, rows: list[dict[str, Any]]
) -> None:
    assert assert_one_answer(api, small_bundle, rows)


@settings(deadline=None, max_examples=25)
@given(rows=ROWS, data=st.data())
def test_rows_that_the_contract_forbids_are_refused_by_every_way(
    api: TestClient, small_bundle: Path, rows: list[dict[str, Any]], data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(FORBIDDEN)))
    data.draw(st.sampled_from(rows))[name] = data.draw(FORBIDDEN[name])
    assert not assert_one_answer(api, small_bundle, rows)


def test_predict_without_a_file_gives_the_apis_answer_to_its_example(
    api: TestClient, small_bundle: Path, run_command: Callable[..., Any]
) -> None:
    (example,) = api.get("/openapi.json").json()["components"]["schemas"]["Rows"]["examples"]
    (answer,) = api.post("/predict", json=example).json()["predictions"]
    done = run_command(small_bundle.parents[1], "predict")
    assert done.returncode == 0, done.stderr
    given, said, _ = done.stdout.splitlines()
    assert json.loads(given.removeprefix("request: ")) == example["rows"][0]
    assert said.endswith(f"sweet is {answer['label']} (probability {answer['probability']:.3f})")
