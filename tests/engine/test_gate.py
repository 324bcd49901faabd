"""The gate's decision between two models, at each of its limits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
import polars as pl
import pytest
import yaml

from coldstart.bundle._bundle import CONTRACT, MODEL, TESTED, Manifest, write_checksums
from coldstart.bundle._predictor import BundlePredictor
from coldstart.contract import Contract
from coldstart.data._dataset import Dataset
from coldstart.data._splitting import Split
from coldstart.tracking import _gate
from coldstart.tracking._gate import compare, is_as_good, promotion_blockers
from coldstart.tracking._tested import keep_tested
from coldstart.train._intervals import interval
from engine.held_out import held_out_once

ROWS = 120
WEIGHT = np.linspace(1, 100, ROWS)
PRICE = WEIGHT + 5 * np.sin(np.arange(ROWS))  # slope 1 is best
NONE = np.array([], np.int64)
EVEN, ODD = np.arange(0, ROWS, 2), np.arange(1, ROWS, 2)


@pytest.fixture
def model(tmp_path: Path, numeric: Callable[..., Path]) -> Callable[..., BundlePredictor]:
    """`model(name, slope)`: a loaded bundle that predicts `slope` times the weight."""
    return lambda name, slope: BundlePredictor(numeric(tmp_path / name, slope))


def prepared(group: np.ndarray | None = None, splits: int = 1) -> Dataset:
    """Return the rows, of which those with odd numbers are tested."""
    columns: dict[str, Any] = {
        "weight": {"type": "number", "nullable": False},
        "price": {"type": "number", "role": "target", "nullable": False},
    }
    table = pl.DataFrame({"weight": WEIGHT, "price": PRICE})
    if group is not None:
        columns["farm"] = {"type": "category", "role": "group", "nullable": False}
        table = table.with_columns(farm=pl.Series([f"f{number}" for number in group]))
    contract = Contract.model_validate({"columns": columns})
    halves = [Split(EVEN, NONE, ODD, NONE), Split(ODD, NONE, EVEN, NONE)]
    return Dataset(contract, table, halves[:splits], [], "digest")


def of_size(predictor: BundlePredictor, size: int) -> BundlePredictor:
    """Give a bundle that is loaded a graph of so many bytes."""
    (predictor.folder / MODEL).write_bytes(bytes(size))
    return predictor


def taking(monkeypatch: pytest.MonkeyPatch, seconds: dict[str, float]) -> None:
    """Let models take that long for one row."""

    def time(predictor: BundlePredictor, row: Any) -> float:
        assert len(row.numbers) == 1
        return seconds[predictor.folder.name]

    monkeypatch.setattr(_gate, "one_row_time", time)


def test_a_better_model_passes_and_a_worse_one_does_not_with_the_interval_of_the_test_rows(
    model: Callable[..., BundlePredictor],
) -> None:
    good, bad = model("good", 1.0), model("bad", 0.8)
    held = [held_out_once(ODD, PRICE[ODD], (slope * WEIGHT[ODD])[:, None]) for slope in (1.0, 0.8)]
    low, high = interval(*held)
    assert low > 0
    gain = f"r2 {low:+.4f} to {high:+.4f} compared with the champion (95% CI)"
    assert compare(good, bad, prepared(), 0.02) == (True, gain)
    passes, why = compare(bad, good, prepared(), 0.02)
    assert not passes
    assert why == f"it is worse: r2 {-high:+.4f} to {-low:+.4f} compared with the champion (95% CI)"


def test_where_rows_are_grouped_the_interval_that_decides_is_by_group(
    model: Callable[..., BundlePredictor],
) -> None:
    group = np.arange(ROWS) // 20
    held = [
        held_out_once(ODD, PRICE[ODD], (slope * WEIGHT[ODD])[:, None], group[ODD])
        for slope in (1.0, 0.9)
    ]
    low, high = interval(*held)
    found = compare(model("good", 1.0), model("bad", 0.9), prepared(group), 0.02)
    assert f"r2 {low:+.4f} to {high:+.4f} " in found[1]


@pytest.mark.parametrize(
    ("size", "seconds", "passes", "why"),
    [
        (800, 1.0, True, "1.2 times smaller"),
        (801, 0.8, True, "1.2 times faster"),
        (801, 0.81, False, "nor smaller or faster"),
        (400, 1.0, True, "2.5 times smaller"),
        (2000, 0.25, True, "4.0 times faster"),
    ],
)
def test_an_equal_model_passes_if_it_is_a_fifth_smaller_or_faster(
    model: Callable[..., BundlePredictor],
    monkeypatch: pytest.MonkeyPatch,
    size: int,
    seconds: float,
    passes: bool,
    why: str,
) -> None:
    new, old = of_size(model("new", 1.0), size), of_size(model("old", 1.0), 1000)
    taking(monkeypatch, {"new": 2 * seconds, "old": 2.0})
    found, reason = compare(new, old, prepared(), 0.02)
    assert (found, reason.endswith(why)) == (passes, True), reason
    assert "r2 +0.0000 to +0.0000" in reason
    assert "a loss of 0.02 or more is excluded" in reason


def test_a_smaller_model_that_may_have_lost_the_margin_does_not_pass(
    model: Callable[..., BundlePredictor],
) -> None:
    """The interval of two equal models is 0 to 0, which excludes any loss but one of 0."""
    new, old = of_size(model("new", 1.0), 100), of_size(model("old", 1.0), 1000)
    assert compare(new, old, prepared(), 1e-9)[0]
    found, why = compare(new, old, prepared(), 0.0)
    assert not found
    assert why.startswith("it may be more than 0 worse: r2 +0.0000 to +0.0000 ")
    assert why.endswith("margin in config.yaml is the loss that a smaller or faster model may have")


@pytest.mark.parametrize(
    ("low", "margin", "good"),
    [(-0.25, 0.25, False), (-0.24, 0.25, True), (0.1, 0.25, True), (0.0, 0.0, False)],
)
def test_the_lower_end_has_to_exclude_a_loss_of_the_margin(
    low: float, margin: float, good: bool
) -> None:
    assert is_as_good(low, margin) is good


def test_a_champion_of_another_target_or_of_columns_that_are_gone_gives_way(
    model: Callable[..., BundlePredictor],
) -> None:
    new, old = model("new", 0.0), model("old", 1.0)
    old.manifest.target = "height"
    assert compare(new, old, prepared(), 0.02) == (True, "the champion predicts height")
    old.manifest.target = "price"
    dataset = prepared()
    gone = Dataset(dataset.contract, dataset.table.rename({"weight": "mass"}), dataset.splits, [],
                   "digest")  # fmt: skip
    expected = "the champion reads columns that the data no longer has"
    assert compare(new, old, gone, 0.02) == (True, expected)


def test_of_few_rows_the_predictions_that_both_bundles_keep_are_compared(
    model: Callable[..., BundlePredictor],
) -> None:
    """Each is right on the rows that the other one lacks; on those of both, the new one is."""
    new, old = model("new", 0.0), model("old", 0.0)
    of = {"new": (np.arange(100), 1.0, 40), "old": (np.arange(20, ROWS), 0.8, 100)}
    held = {}
    for predictor in (new, old):
        rows, slope, right = of[predictor.folder.name]
        values = np.where(rows < right, slope * WEIGHT[rows], PRICE[rows])
        held[predictor] = held_out_once(rows, PRICE[rows], values[:, None])
        keep_tested(held[predictor], predictor.folder / TESTED, 10_000)
        predictor.manifest.provenance["data"] = "digest"
    low, high = interval(held[new][held[new].rows >= 20], held[old][held[old].rows < 100])
    passes, why = compare(new, old, prepared(splits=2), 0.02)
    assert passes
    assert why.startswith(f"r2 {low:+.4f} to {high:+.4f} ")


@pytest.mark.parametrize(("found", "passes"), [(0.75, True), (0.7499, False), (1.0, True)])
def test_models_of_different_few_rows_are_compared_by_their_scores_and_the_margin(
    model: Callable[..., BundlePredictor], found: float, passes: bool
) -> None:
    new, old = model("new", 1.0), model("old", 1.0)
    new.manifest.metrics["test"], old.manifest.metrics["test"] = {"r2": found}, {"r2": 1.0}
    old.manifest.provenance["data"] = "of another time"
    decided, why = compare(new, old, prepared(splits=2), 0.25)
    assert decided is passes
    assert why.startswith("r2 " if passes else "it is worse: r2 ")
    assert f"r2 {found:.4f} on its own data; the champion's was 1.0000 on other data" in why
    assert why.endswith("0.25 less is accepted: margin in config.yaml)")


def of_three_classes(folder: Path, weights: list[float], classes: str = "abc") -> BundlePredictor:
    """Return a bundle that gives the classes the shares 0.4, 0.3 and 0.3 whatever the weight."""
    folder.mkdir()
    columns = {
        "weight": {"type": "number", "nullable": False},
        "kind": {"type": "category", "role": "target", "nullable": False},
    }
    (folder / CONTRACT).write_text(yaml.safe_dump({"columns": columns}))
    constants = {
        "slopes": np.zeros((1, 3), np.float32),
        "shares": np.array([0.4, 0.3, 0.3], np.float32),
    }
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("MatMul", ["numbers", "slopes"], ["nothing"]),
            onnx.helper.make_node("Add", ["nothing", "shares"], ["prediction"]),
        ],
        "three",
        [info("numbers", onnx.TensorProto.FLOAT, [None, 1])],
        [info("prediction", onnx.TensorProto.FLOAT, [None, 3])],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), folder / MODEL)
    manifest = Manifest(family="any", target="kind", classes=[*classes], weights=weights)
    write_checksums(folder, manifest)
    return BundlePredictor(folder)


def test_models_of_three_classes_are_compared_by_the_labels_that_they_give(tmp_path: Path) -> None:
    contract = Contract.model_validate(
        {
            "columns": {
                "weight": {"type": "number", "nullable": False},
                "kind": {"type": "category", "role": "target", "nullable": False},
            }
        }
    )
    kinds = ["b" if row % 3 else "a" if row % 2 else "c" for row in range(ROWS)]
    table = pl.DataFrame({"weight": WEIGHT, "kind": kinds})
    dataset = Dataset(contract, table, [Split(EVEN, NONE, ODD, NONE)], ["a", "b", "c"], "digest")
    even = [1.0, 1.0, 1.0]
    plain = of_three_classes(tmp_path / "plain", even)  # says a, which a third of the rows are
    weighted = of_three_classes(tmp_path / "weighted", [1.0, 2.0, 1.0])  # says b, as two thirds
    other = of_three_classes(tmp_path / "other", even, "cab")  # says c, and no tested row is
    for new, old in ((weighted, plain), (plain, other)):
        passes, why = compare(new, old, dataset, 0.02)
        assert passes, why
        assert why.startswith("f1_macro +")


DUMMY = "on the test rows it is not significantly better than the dummy baseline"


@pytest.mark.parametrize(
    ("change", "against"),
    [
        ({}, []),
        (
            {"git_dirty": True},
            ["it was trained with changes that are not committed (git commit, then make train)"],
        ),
        ({"data": "other"}, ["it was trained on other data than is prepared now (make train)"]),
        ({"interval": (0.5, 0.9)}, [DUMMY]),
        ({"baseline": {}}, [DUMMY]),
        (
            {"interval": "wide"},
            ["its bundle.json was not written by make train: interval is missing or invalid"],
        ),
    ],
)
def test_reasons_against_a_challenger_that_no_champion_is_needed_for(
    model: Callable[..., BundlePredictor], change: dict[str, Any], against: list[str]
) -> None:
    new = model("new", 1.0)
    provenance = {"git_dirty": False, "data": "digest"}
    metrics = {
        "primary": "r2",
        "interval": (0.51, 0.9),
        "baseline": {"r2": 0.5},
        "test": {"r2": 0.7},
        "validation": 0.7,
    }
    for name, value in change.items():
        (provenance if name in provenance else metrics)[name] = value
    new.manifest.provenance, new.manifest.metrics = provenance, metrics
    assert promotion_blockers(new, prepared()) == against
