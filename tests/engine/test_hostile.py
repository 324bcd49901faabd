"""Hostile bodies: whatever is sent, the API says what is wrong with it and goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coldstart.serve import create_app
from engine.support import PROJECT

GOOD = '{"rows": [{"grade": "A", "bruised": false, "weight": %s}]}'
HOSTILE: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"rows=1",
    "half": b'{"rows": [{"grade": "A", "bru',
    "deep lists": b'{"rows": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep objects": b'{"rows":' * 50_000 + b"1" + b"}" * 50_000,
    "not a number": GOOD.replace("%s", "NaN").encode(),
    "infinity": GOOD.replace("%s", "Infinity").encode(),
    "too large a number": GOOD.replace("%s", "1e400").encode(),
    "very many figures": GOOD.replace("%s", "9" * 100_000).encode(),
    "a number as text": GOOD.replace("%s", '"heavy"').encode(),
    "a number in quotes": GOOD.replace("%s", '"120"').encode(),
    "a boolean for a number": GOOD.replace("%s", "true").encode(),
    "a number for a boolean": GOOD.replace("false", "0").replace("%s", "1").encode(),
    "a number for a day": GOOD.replace("%s", '1, "picked": 0').encode(),
    "ten million letters": GOOD.replace("%s", '"' + "x" * 7_000_000 + '"').encode(),
    "too long": GOOD.replace("%s", '"' + "x" * 10_000_000 + '"').encode(),
    "another encoding": GOOD.replace("A", "Ä").replace("%s", "1").encode("latin-1"),
    "two bytes a letter": GOOD.replace("%s", "1").encode("utf-16"),
    "half a letter": GOOD.replace("A", r"\ud800").replace("%s", "1").encode(),
    "zero bytes": b"\x00" * 1000,
    "no rows": b'{"rows": []}',
    "more rows than are allowed": json.dumps({"rows": [{}] * 20_000}).encode(),
    "very many mistakes": json.dumps({"rows": [{}] * 10_000}).encode(),
    "other keys": b'{"rows": [{"grade": "A", "bruised": false, "__proto__": 1}], "x": 1}',
    "a list": b"[]",
    "null": b"null",
}


@pytest.fixture(scope="module")
def api(small_bundle: Path) -> Iterator[TestClient]:
    """The small project's API; an exception in it would end the test."""
    with TestClient(create_app(PROJECT, small_bundle)) as client:
        yield client


def post(api: TestClient, body: bytes) -> int:
    """Post a body; why it is refused must be told, and not at any length."""
    told = api.post("/predict", content=body, headers={"Content-Type": "application/json"})
    if told.status_code == 422:
        assert told.json()["detail"]
    assert len(told.content) < 100_000
    return told.status_code


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_body_is_refused_with_what_is_wrong(api: TestClient, case: str) -> None:
    assert post(api, HOSTILE[case]) == (413 if case == "too long" else 422)
    assert post(api, GOOD.replace("%s", "120").encode()) == 200


def test_of_many_mistakes_the_first_are_listed_and_the_others_counted(api: TestClient) -> None:
    def last(rows: list[dict[str, int]]) -> tuple[int, dict[str, object]]:
        detail = api.post("/predict", json={"rows": rows}).json()["detail"]
        return len(detail), detail[-1]

    more = {"loc": ["body"], "msg": "and 19900 more errors", "type": "more_errors"}
    assert last([{}] * 10_000) == (101, more)
    count, only = last([{f"k{number}": 1 for number in range(300_000)}])
    assert count == 1  # to list the first of so many, pydantic would have to make all of them
    assert only["msg"] == "300002 errors, too many to list; send one of the rows alone"


def test_of_a_key_that_is_there_twice_the_last_counts_as_in_all_of_json(api: TestClient) -> None:
    twice = GOOD.replace("%s", '1, "weight": 200')
    answers = [
        api.post("/predict", content=body, headers={"Content-Type": "application/json"}).json()
        for body in (twice, GOOD.replace("%s", "200"))
    ]
    assert answers[0] == answers[1]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
ROW = st.fixed_dictionaries({}, optional=dict.fromkeys(("grade", "weight", "picked"), ANYTHING))


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(body=st.binary() | (ANYTHING | st.fixed_dictionaries({"rows": st.lists(ROW)})).map(
    lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
))  # fmt: skip
def test_no_body_at_all_makes_it_fail(api: TestClient, body: bytes) -> None:
    assert post(api, body) in (200, 422)
