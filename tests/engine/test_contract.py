"""The contract is checked before it is used, and encodes what is missing as missing.

The tests that use the project's own schema.yaml say so in their names; they hold for
any contract, but for the one about the demo's `remarks`.
"""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from pydantic import TypeAdapter

from coldstart.contract import register_column_type
from coldstart.contract._contract import Contract
from coldstart.contract.columns import MISSING, TYPES, Boolean, Category, Number
from coldstart.errors import UserError
from engine.support import TEMPLATE

SCHEMA = TEMPLATE / "schema.yaml"
NUMBER, TARGET = {"type": "number"}, {"type": "boolean", "role": "target"}
TIME = {"type": "date", "role": "time"}


def load(write_project: Callable[..., Path], folder: Path, **columns: Any) -> Contract:
    return Contract.load(write_project(folder, columns=columns) / "schema.yaml")


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        (
            {"x": {"type": "number", "minimun": 1}, "y": TARGET},
            r"columns\.x\.minimun: there is no such setting; is it minimum",
        ),
        ({"x": {"type": "sound"}, "y": TARGET}, r"columns\.x.*'sound'.*'number'"),
        ({"x": {"role": "feature"}, "y": TARGET}, r"columns\.x.*type"),
        ({"x": {"type": "number", "role": "label"}, "y": TARGET}, r"x.*role.*'target'"),
        ({"x": NUMBER}, "needs the role target"),
        ({"x": NUMBER, "y": TARGET, "z": TARGET}, r"only one.*target.*'y', 'z'"),
        ({"x": NUMBER, "y": TARGET, "a": TIME, "b": TIME}, r"only one.*time.*'a', 'b'"),
        ({"x": NUMBER, "y": {"type": "text", "role": "target"}}, "target y must be"),
        ({"y": TARGET}, "needs the role feature"),
        (
            {"x": {"type": "boolean", "missing_values": ["?", "no"]}, "y": TARGET},
            r"columns\.x: the spelling 'no' is in missing_values and means true or false as well",
        ),
        (
            {"x": {"type": "boolean", "missing_values": ["false"], "false_values": ["n"]}},
            r"columns\.x: the spelling 'false'",
        ),
        (
            {"x": {"type": "number", "missing_values": "z" * 500}, "y": TARGET},
            r"valid list, not 'z{79}…$",
        ),
        (
            {"x": {"type": "number", "minimum": 2, "maximum": 1}, "y": TARGET},
            r"columns\.x: [^{}]*$",
        ),
    ],
)
def test_a_contract_that_makes_no_sense_is_refused_by_name(
    write_project: Callable[..., Path], tmp_path: Path, columns: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(UserError) as caught:
        load(write_project, tmp_path, **columns)
    assert re.search(complaint, str(caught.value))
    assert "schema.yaml" in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 2


def test_every_mistake_of_a_contract_is_named_at_once(
    write_project: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"x.*\bwrong\b.*y.*\bodd\b"):
        load(write_project, tmp_path, x={"type": "number", "wrong": 1}, y=dict(odd=2, **TARGET))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "file not found; see contract in config.yaml"),
        ("", "should hold settings"),
        ("columns: [", "is not YAML"),
        ("columns: {}\nextra: 1\n", "extra: there is no such setting"),
        ("columns:\n  a: {type: number}\n  a: {type: text}\n", "'a' is there twice"),
    ],
)
def test_a_file_that_is_not_a_schema_is_reported_in_a_line(
    tmp_path: Path, content: str | None, complaint: str
) -> None:
    if content is not None:
        (tmp_path / "schema.yaml").write_text(content)
    with pytest.raises(UserError, match=complaint) as caught:
        Contract.load(tmp_path / "schema.yaml")
    assert len(str(caught.value).splitlines()) <= 2


def doubling(repeat: str) -> str:
    """Return lines of YAML, each of which repeats the line before it ten times."""
    lines = [f"a{i}: &a{i} {repeat.replace('*', f'*a{i - 1}')}" for i in range(1, 10)]
    return "\n".join(["a0: &a0 {x: y}", *lines, "columns: *a9\n"])


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (doubling("[*, *, *, *, *, *, *, *, *, *]"), "aliases repeat more than"),
        (doubling("{<<: [*, *, *, *, *, *, *, *, *, *]}"), "aliases repeat more than"),
        ("columns: &a\n  y: *a\n", "an alias is part of what it repeats"),
        ("columns: " + "[" * 20_000 + "]" * 20_000, "nested too deeply"),
        ("columns: {y: !!int abc}\n", "is not YAML: .*abc"),
        ("columns: {y: !!bool abc}\n", "is not YAML: .*abc"),
        ("columns: {y: !!timestamp 2020-99-99}\n", "is not YAML: month"),
        ("columns: {y: " + "9" * 5000 + "}\n", "is not YAML: Exceeds the limit"),
        ("columns: {y: !!python/object/apply:os.getcwd []}\n", "not determine a constructor"),
        ("columns: {}\n".encode("utf-16"), "is not UTF-8 text"),
        ("columns: {ä: {}}\n".encode("latin-1"), "is not UTF-8 text"),
        (b"columns: {\0: {}}\n", "is not YAML: unacceptable character"),
    ],
)
def test_yaml_that_would_fill_memory_or_is_not_text_is_refused_in_a_line(
    tmp_path: Path, content: str | bytes, complaint: str
) -> None:
    path = tmp_path / "schema.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=complaint) as caught:
        Contract.load(path)
    assert len(str(caught.value).splitlines()) == 1


def test_a_schema_may_repeat_a_few_settings_by_aliases(tmp_path: Path) -> None:
    (tmp_path / "schema.yaml").write_text(
        "columns:\n  a: &a {type: number, minimum: 0}\n  b: *a\n  c: {<<: *a, minimum: 1}\n"
        "  d: {type: boolean, role: target}\n"
    )
    columns = Contract.load(tmp_path / "schema.yaml").columns
    assert [getattr(columns[name], "minimum", None) for name in "abc"] == [0, 0, 1]


@pytest.mark.parametrize("kind", ["pipe", "folder", "loop"])
def test_what_is_not_a_file_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "schema.yaml"
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "loop":
            path.symlink_to(path)
    with pytest.raises(UserError, match=r"schema.yaml: (this is not a file|file not found)"):
        Contract.load(path)


def test_words_that_yaml_takes_for_something_else_stay_words(tmp_path: Path) -> None:
    (tmp_path / "schema.yaml").write_text(
        "columns:\n  a: {type: category, categories: [yes, No, on, 12, 2024-01-01]}\n"
        "  b: {type: boolean, role: target, nullable: false}\n"
    )
    columns = Contract.load(tmp_path / "schema.yaml").columns
    assert isinstance(columns["a"], Category)
    assert columns["a"].categories == ["yes", "No", "on", "12", "2024-01-01"]
    assert columns["b"].nullable is False


def test_missing_values_are_encoded_as_missing_in_each_type(
    write_project: Callable[..., Path], tmp_path: Path
) -> None:
    kinds = ("number", "boolean", "date", "category", "text")
    columns = {kind: {"type": kind} for kind in kinds}
    contract = load(write_project, tmp_path, **columns, target=TARGET)
    table: dict[str, list[Any]] = {kind: [None] for kind in kinds}
    missing = contract.encode(table)
    assert missing.numbers.shape == (1, 6)  # a date is four numbers
    assert np.isnan(missing.numbers).all()
    assert missing.strings.tolist() == [[MISSING, "_missing"]]


def test_values_are_encoded_in_the_contract_order_whatever_the_tables(
    write_project: Callable[..., Path], tmp_path: Path
) -> None:
    columns = {
        "a": {"type": "number"},
        "word": {"type": "category"},
        "day": {"type": "date"},
        "flag": {"type": "boolean"},
        "y": TARGET,
    }
    contract = load(write_project, tmp_path, **columns)
    monday = dt.date(2024, 1, 1)
    found = contract.encode({"flag": [True], "day": [monday], "word": ["x"], "a": [1e300]})
    assert found.numbers.dtype == np.float32
    assert found.numbers[0, 0] == np.finfo(np.float32).max  # not infinite
    assert found.numbers[0, [3, 5]].tolist() == [0, 1]
    assert np.hypot(*found.numbers[0, 1:3]) == pytest.approx(1)
    assert found.strings.tolist() == [["x"]]


def test_every_example_of_the_project_contract_passes_its_own_request_type() -> None:
    contract = Contract.load(SCHEMA)
    for name, column in contract.features.items():
        if column.example is not None:
            TypeAdapter(column.request_type()).validate_python(column.example)
        else:
            assert column.nullable, f"{name} needs an example"


def test_every_listed_example_category_is_one_of_the_categories() -> None:
    for column in Contract.load(SCHEMA).columns.values():
        if (known := getattr(column, "categories", [])) and column.example is not None:
            assert column.example in known


def test_labels_are_of_classes_and_empty_ones_are_left_out(
    write_project: Callable[..., Path], tmp_path: Path
) -> None:
    columns: dict[str, Any] = {
        "size": NUMBER,
        "colour": {
            "type": "category",
            "categories": ["r", "g"],
            "labels": {"r": "red", "g": ""},
        },
        "sold": {**TARGET, "true_values": ["Y"], "labels": {"Y": "sold", False: "kept"}},
    }
    contract = load(write_project, tmp_path, **columns)
    colour, sold = contract.columns["colour"], contract.columns["sold"]
    assert isinstance(colour, Category)
    assert isinstance(sold, Boolean)
    assert colour.labels == {"r": "red"}
    assert sold.labels == {"true": "sold", "false": "kept"}
    (tmp_path / "schema.yaml").write_text(
        "columns:\n  a: {type: number}\n  b:\n    type: boolean\n    role: target\n"
        "    labels:\n      true: lost\n      'false': ''\n"
    )
    read = Contract.load(tmp_path / "schema.yaml").columns["b"]
    assert isinstance(read, Boolean)
    assert read.labels == {"true": "lost"}
    for name, wrong in (("colour", "b"), ("sold", "maybe")):
        columns[name]["labels"] = {wrong: "x"}
        with pytest.raises(UserError, match=f"{name}: the labels name '{wrong}', which is not"):
            load(write_project, tmp_path, **columns)
        del columns[name]["labels"]


class Money(Number):
    """An amount, entered with its currency."""

    type: Literal["money"]  # type: ignore[assignment]
    currency: str = "EUR"


def test_a_type_of_column_can_be_added(
    write_project: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = {"price": {"type": "money", "currency": "USD", "affixes": ["USD"]}, "sold": TARGET}
    with pytest.raises(UserError, match="there is no type 'money'"):
        load(write_project, tmp_path, **columns)
    before = list(TYPES)
    try:
        register_column_type(Money)
        contract = load(write_project, tmp_path, **columns)
        price = contract.columns["price"]
        assert isinstance(price, Money)
        assert price.currency == "USD"
        encoded = contract.encode({"price": [1.5, None]}).numbers[:, 0]
        assert encoded[0] == 1.5
        assert np.isnan(encoded[1])
        with pytest.raises(UserError, match=r"currenci.*is it currency"):
            load(write_project, tmp_path, **{**columns, "price": {"type": "money", "currenci": ""}})
    finally:
        TYPES[:] = before
        register_column_type(Number)
    with pytest.raises(UserError, match="there is no type 'money'"):
        load(write_project, tmp_path, **columns)
