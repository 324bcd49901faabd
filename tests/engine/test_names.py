"""Names: a table whose columns are named as the libraries name their own is like any other."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from fastapi.testclient import TestClient

from coldstart.contract._contract import Contract
from coldstart.serve import create_app
from engine.support import PROJECT, main

NAMES = [
    "len", "index", "literal", "part", "value", "label", "x", "key", "rows", "v", "column_1",
    "probability", "prediction", "numbers", "strings", "0", "name", "row", "time", "count",
]  # fmt: skip


def table(target: str, rows: int = 1100) -> str:
    """Make categories and numbers by turns, and a target of three classes that follows two."""
    dice = random.Random(0)
    names = [name for name in NAMES if name != target]
    lines = [",".join([*names, target])]
    for _ in range(rows):
        values = [f"{dice.gauss(0, 1):.3f}" if i % 2 else dice.choice("abc") for i in range(20)]
        score = float(values[1]) + (values[0] == "a") + dice.gauss(0, 0.5)
        label = "high" if score > 1 else "middle" if score > 0 else "low"
        lines.append(",".join([*values[: len(names)], label]))
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("target", ["count", "label"])
def test_a_table_is_profiled_trained_and_watched_whatever_its_columns_are_called(
    small_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    folder = small_project(table=table(target))
    (folder / "schema.yaml").unlink()
    monkeypatch.setenv("MPLBACKEND", "agg")
    assert main(["data", "--source", "fruit.csv", "--target", target]) == 0
    assert main(["train", "--models", "linear"]) == 0
    assert main(["predict", "--file", "fruit.csv", "--out", "out.csv"]) == 0
    added = pl.read_csv("out.csv").columns[len(NAMES) + (target not in NAMES) :]
    labels = [f"probability {name}" for name in ("high", "low", "middle")]
    assert added == ["predicted label", "set", *labels]
    assert main(["monitor", "--part", "test"]) in (0, 1)
    assert main(["monitor", "--file", "fruit.csv"]) in (0, 1)


def test_a_class_of_any_length_that_the_schema_lists_is_trained_served_and_watched(
    small_project: Callable[..., Path],
) -> None:
    dice = random.Random(0)
    classes = ["a" * 5000, "b", "c"]
    lines = ["grade,size,hit"]
    for _ in range(1100):
        grade, size = dice.choice(classes), dice.gauss(0, 1)
        lines.append(f"{grade},{size:.3f},{size + (grade == 'b') + dice.gauss(0, 1) > 0}")
    columns = {
        "grade": {"type": "category", "categories": classes},
        "size": {"type": "number"},
        "hit": {"type": "boolean", "role": "target"},
    }
    folder = small_project(columns=columns, table="\n".join(lines) + "\n")
    assert main(["train", "--models", "linear"]) == 0
    assert main(["monitor", "--part", "test"]) in (0, 1)
    with TestClient(create_app(PROJECT, folder / "bundles/champion")) as api:
        told = api.post("/predict", json={"rows": [{"grade": classes[0], "size": 1.0}]})
        assert told.status_code == 200


def test_a_name_of_the_engine_is_refused() -> None:
    columns = {"__row__": {"type": "number"}, "y": {"type": "boolean", "role": "target"}}
    with pytest.raises(ValueError, match="__row__ is a reserved name"):
        Contract.model_validate({"columns": columns})


def test_a_table_with_such_a_name_is_refused_as_it_is_drafted(
    small_project: Callable[..., Path], refusal: Callable[..., str]
) -> None:
    folder = small_project(table=table("y").replace("name", "__copy__", 1))
    (folder / "schema.yaml").unlink()
    said = refusal("data", "--source", "fruit.csv", "--target", "y")
    assert "__copy__ is a reserved name" in said
