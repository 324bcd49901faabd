"""A bundle that somebody tampered with is refused, and nothing in it is run."""

from __future__ import annotations

import os
import pickle
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, external_data_helper, helper, numpy_helper

from coldstart.bundle import _bundle as bundle
from coldstart.bundle._predictor import BundlePredictor
from coldstart.errors import UserError

Tamper = Callable[[Path, Path], object]


class Payload:
    """Makes a file where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def contract_that_calls(folder: Path, mark: Path) -> None:
    called = f"!!python/object/apply:os.mknod ['{mark}']"
    (folder / bundle.CONTRACT).write_text(f"columns: {called}\n")


def pickle_for_a_graph(folder: Path, mark: Path) -> None:
    (folder / bundle.MODEL).write_bytes(pickle.dumps(Payload(mark)))


def operator_of_its_own(folder: Path, mark: Path) -> None:
    model = onnx.load(folder / bundle.MODEL)
    (output,) = model.graph.output
    model.graph.node.append(helper.make_node("PyOp", [output.name], ["x"], domain="evil"))
    model.opset_import.append(helper.make_opsetid("evil", 1))
    onnx.save(model, folder / bundle.MODEL)


def weights_from_elsewhere(folder: Path, mark: Path) -> None:
    """A graph whose weights are another file's content, which its answers would tell."""
    secret = folder.parents[1] / "secret"
    secret.write_bytes(os.urandom(64))
    model = onnx.load(folder / bundle.MODEL)
    weights = numpy_helper.from_array(np.zeros(16, np.float32), "secret")
    external_data_helper.set_external_data(weights, "../../secret")
    weights.data_location = TensorProto.EXTERNAL
    weights.ClearField("raw_data")
    model.graph.initializer.append(weights)
    (output,) = model.graph.output
    model.graph.node.append(helper.make_node("ReduceSum", ["secret"], ["sum"], keepdims=0))
    model.graph.node.append(helper.make_node("Add", [output.name, "sum"], ["told"]))
    model.graph.output[0].name = "told"
    (folder / bundle.MODEL).write_bytes(model.SerializeToString())


TAMPERED: dict[str, Tamper] = {
    "a contract that calls a function": contract_that_calls,
    "a pickle for a graph": pickle_for_a_graph,
    "a graph with an operator of its own": operator_of_its_own,
    "a graph with weights from elsewhere": weights_from_elsewhere,
    "a graph that is empty": lambda folder, _: (folder / bundle.MODEL).write_bytes(b""),
    "a contract of fewer features": lambda folder, _: (folder / bundle.CONTRACT).write_text(
        "columns: {grade: {type: category}, sweet: {type: boolean, role: target}}"
    ),
}


def predict(project: Path, small_bundle: Path, run_command: Callable[..., Any]) -> Any:
    """Run `predict` with the bundle that lies there."""
    shutil.copy(small_bundle.parents[1] / "config.yaml", project)
    (project / "rows.csv").write_text("grade,bruised\nA,no\n")
    return run_command(project, "predict", "--file", "rows.csv", "--out", "out.csv")


@pytest.mark.parametrize("case", TAMPERED)
def test_a_bundle_that_is_tampered_with_and_sealed_anew_is_refused_in_a_line(
    small_bundle: Path,
    tmp_path: Path,
    sealed: Callable[..., Path],
    run_command: Callable[..., Any],
    case: str,
) -> None:
    mark = tmp_path / "mark"
    project = tmp_path / "project"
    folder = project / "bundles" / "champion"
    sealed(small_bundle, folder, "2", lambda copy: TAMPERED[case](copy, mark))
    done = predict(project, small_bundle, run_command)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: bundles/champion")
    assert "Traceback" not in done.stderr
    assert not mark.exists()
    assert not (project / "out.csv").exists()


def test_programs_that_lie_in_a_bundle_are_not_run(
    small_bundle: Path, tmp_path: Path, sealed: Callable[..., Path], run_command: Callable[..., Any]
) -> None:
    mark = tmp_path / "mark"
    project = tmp_path / "project"
    folder = project / "bundles" / "champion"

    def add(copy: Path) -> None:
        for name in ("__init__", "onnxruntime", "numpy", "sitecustomize", "conftest"):
            (copy / f"{name}.py").write_text(f"open({str(mark)!r}, 'w')")
        (copy / "model.pkl").write_bytes(pickle.dumps(Payload(mark)))

    sealed(small_bundle, folder, "2", add)
    done = predict(project, small_bundle, run_command)
    assert done.returncode == 0, done.stderr
    assert not mark.exists()


def test_a_byte_that_changed_is_noticed_wherever_it_is(
    small_bundle: Path, tmp_path: Path, sealed: Callable[..., Path]
) -> None:
    folder = sealed(small_bundle, tmp_path / "copy", "1")
    dice = random.Random(0)
    for path in sorted(folder.iterdir()):
        if path.name in (bundle.MANIFEST, bundle.VERSION):
            continue
        sound = path.read_bytes()
        for _ in range(20):
            place = dice.randrange(len(sound))
            path.write_bytes(sound[:place] + bytes([sound[place] ^ 1]) + sound[place + 1 :])
            with pytest.raises(UserError, match=f"{path.name} was changed"):
                bundle.verify_bundle(folder)
        path.write_bytes(sound)
    BundlePredictor(folder)
